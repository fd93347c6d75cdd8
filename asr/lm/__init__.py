"""Words in, scores out: n-gram models, read, trained and mapped from a file; recurrent models."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asr.machine_code import discard_stale

if TYPE_CHECKING:
    from asr.lm.arpa import read_arpa as read_arpa
    from asr.lm.arpa import write_arpa as write_arpa
    from asr.lm.kneser_ney import train as train
    from asr.lm.load import load as load
    from asr.lm.ngram import NgramModel as NgramModel
    from asr.lm.perplexity import Perplexity as Perplexity
    from asr.lm.perplexity import perplexity as perplexity
    from asr.lm.rnn import RnnModel as RnnModel
    from asr.lm.rnn import load_recurrent as load_recurrent
    from asr.lm.vocabulary import Vocabulary as Vocabulary

discard_stale(Path(__file__).parent)

_HOME = {
    "NgramModel": "asr.lm.ngram",
    "Perplexity": "asr.lm.perplexity",
    "RnnModel": "asr.lm.rnn",
    "Vocabulary": "asr.lm.vocabulary",
    "load": "asr.lm.load",
    "load_recurrent": "asr.lm.rnn",
    "perplexity": "asr.lm.perplexity",
    "read_arpa": "asr.lm.arpa",
    "train": "asr.lm.kneser_ney",
    "write_arpa": "asr.lm.arpa",
}
__all__ = [
    "NgramModel",
    "Perplexity",
    "RnnModel",
    "Vocabulary",
    "load",
    "load_recurrent",
    "perplexity",
    "read_arpa",
    "train",
    "write_arpa",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.lm' has no attribute {name!r}")


class _Room(ModuleType):
    """Importing the module asr.lm.load binds it here as `load`; keep such names for their functions instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        public = name in _HOME and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if public else value)


sys.modules[__name__].__class__ = _Room

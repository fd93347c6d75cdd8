"""Words in, scores out: n-gram models, read, trained and mapped from a file; recurrent models."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asr.machine_code import discard_stale
from asr.rooms import Room

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

sys.modules[__name__].__class__ = Room

"""Log-probabilities in, text out."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.decoding.align import align as align
    from asr.decoding.greedy import greedy as greedy
    from asr.decoding.hypothesis import Hypothesis as Hypothesis
    from asr.decoding.hypothesis import TokenSpan as TokenSpan
    from asr.decoding.words import words as words

_HOME = {
    "Hypothesis": "asr.decoding.hypothesis",
    "TokenSpan": "asr.decoding.hypothesis",
    "align": "asr.decoding.align",
    "greedy": "asr.decoding.greedy",
    "words": "asr.decoding.words",
}
__all__ = ["Hypothesis", "TokenSpan", "align", "greedy", "words"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.decoding' has no attribute {name!r}")


class _Room(ModuleType):
    """Importing the module asr.decoding.greedy binds it here as `greedy`; keep that name for its function instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        public = name in _HOME and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if public else value)


sys.modules[__name__].__class__ = _Room

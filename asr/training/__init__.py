"""Config in, model bundle out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.training.speech import TrainingResult as TrainingResult
    from asr.training.speech import train as train

_HOME = {"TrainingResult": "asr.training.speech", "train": "asr.training.speech"}
__all__ = ["TrainingResult", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.training' has no attribute {name!r}")

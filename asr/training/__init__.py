"""Config in, model bundle out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.training.language import LanguageRecipe as LanguageRecipe
    from asr.training.language import LanguageTrainingResult as LanguageTrainingResult
    from asr.training.language import train_language_model as train_language_model
    from asr.training.speech import TrainingResult as TrainingResult
    from asr.training.speech import train as train

_HOME = {
    "LanguageRecipe": "asr.training.language",
    "LanguageTrainingResult": "asr.training.language",
    "TrainingResult": "asr.training.speech",
    "train": "asr.training.speech",
    "train_language_model": "asr.training.language",
}
__all__ = ["LanguageRecipe", "LanguageTrainingResult", "TrainingResult", "train", "train_language_model"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.training' has no attribute {name!r}")

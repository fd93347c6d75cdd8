"""Config in, model bundle out."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.training.augmentations import draw_augmentations as draw_augmentations
    from asr.training.initial import load_initial as load_initial
    from asr.training.language import LanguageRecipe as LanguageRecipe
    from asr.training.language import LanguageTrainingResult as LanguageTrainingResult
    from asr.training.language import train_language_model as train_language_model
    from asr.training.speech import TrainingResult as TrainingResult
    from asr.training.speech import train as train

_HOME = {
    "LanguageRecipe": "asr.training.language",
    "LanguageTrainingResult": "asr.training.language",
    "TrainingResult": "asr.training.speech",
    "draw_augmentations": "asr.training.augmentations",
    "load_initial": "asr.training.initial",
    "train": "asr.training.speech",
    "train_language_model": "asr.training.language",
}
__all__ = [
    "LanguageRecipe",
    "LanguageTrainingResult",
    "TrainingResult",
    "draw_augmentations",
    "load_initial",
    "train",
    "train_language_model",
]

sys.modules[__name__].__class__ = Room

"""Waveform in, features out."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.audio.augment import SpecAugment as SpecAugment
    from asr.audio.augment import perturb as perturb
    from asr.audio.features import LogMel as LogMel
    from asr.audio.load import AudioInfo as AudioInfo
    from asr.audio.load import info as info
    from asr.audio.load import load as load
    from asr.audio.resample import resample as resample

_HOME = {
    "AudioInfo": "asr.audio.load",
    "LogMel": "asr.audio.features",
    "SpecAugment": "asr.audio.augment",
    "info": "asr.audio.load",
    "load": "asr.audio.load",
    "perturb": "asr.audio.augment",
    "resample": "asr.audio.resample",
}
__all__ = ["AudioInfo", "LogMel", "SpecAugment", "info", "load", "perturb", "resample"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.audio' has no attribute {name!r}")


class _Room(ModuleType):
    """Importing the module asr.audio.load binds it here as `load`; keep that name for its function instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        public = name in _HOME and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if public else value)


sys.modules[__name__].__class__ = _Room

"""Waveform in, features out."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.audio.augment import SpecAugment as SpecAugment
    from asr.audio.features import LogMel as LogMel
    from asr.audio.load import AudioInfo as AudioInfo
    from asr.audio.load import info as info
    from asr.audio.load import load as load
    from asr.audio.perturb import perturb as perturb
    from asr.audio.resample import resample as resample
    from asr.audio.warp import Warp as Warp

_HOME = {
    "AudioInfo": "asr.audio.load",
    "LogMel": "asr.audio.features",
    "SpecAugment": "asr.audio.augment",
    "Warp": "asr.audio.warp",
    "info": "asr.audio.load",
    "load": "asr.audio.load",
    "perturb": "asr.audio.perturb",
    "resample": "asr.audio.resample",
}
__all__ = ["AudioInfo", "LogMel", "SpecAugment", "Warp", "info", "load", "perturb", "resample"]

sys.modules[__name__].__class__ = Room

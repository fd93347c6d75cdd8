"""Recordings in, transcripts out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.transcription.formats import FORMATS as FORMATS
    from asr.transcription.formats import format as format  # noqa: A004
    from asr.transcription.recognizer import Recognizer as Recognizer
    from asr.transcription.scoring import evaluate as evaluate

_HOME = {
    "FORMATS": "asr.transcription.formats",
    "Recognizer": "asr.transcription.recognizer",
    "evaluate": "asr.transcription.scoring",
    "format": "asr.transcription.formats",
}
__all__ = ["FORMATS", "Recognizer", "evaluate", "format"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.transcription' has no attribute {name!r}")

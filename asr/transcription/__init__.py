"""Recordings in, transcripts out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.transcription.alternatives import RANKED_FORMATS as RANKED_FORMATS
    from asr.transcription.alternatives import RankedTranscript as RankedTranscript
    from asr.transcription.alternatives import format_ranked as format_ranked
    from asr.transcription.formats import FORMATS as FORMATS
    from asr.transcription.formats import format as format  # noqa: A004
    from asr.transcription.recognizer import Recognizer as Recognizer
    from asr.transcription.scoring import emissions as emissions
    from asr.transcription.scoring import evaluate as evaluate

_HOME = {
    "FORMATS": "asr.transcription.formats",
    "RANKED_FORMATS": "asr.transcription.alternatives",
    "RankedTranscript": "asr.transcription.alternatives",
    "Recognizer": "asr.transcription.recognizer",
    "emissions": "asr.transcription.scoring",
    "evaluate": "asr.transcription.scoring",
    "format": "asr.transcription.formats",
    "format_ranked": "asr.transcription.alternatives",
}
__all__ = [
    "FORMATS",
    "RANKED_FORMATS",
    "RankedTranscript",
    "Recognizer",
    "emissions",
    "evaluate",
    "format",
    "format_ranked",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'asr.transcription' has no attribute {name!r}")

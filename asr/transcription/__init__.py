"""Recordings in, transcripts out."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.transcription.alternatives import RANKED_FORMATS as RANKED_FORMATS
    from asr.transcription.alternatives import RankedTranscript as RankedTranscript
    from asr.transcription.alternatives import format_ranked as format_ranked
    from asr.transcription.formats import FORMATS as FORMATS
    from asr.transcription.formats import format as format  # noqa: A004
    from asr.transcription.labels import choose_phrases as choose_phrases
    from asr.transcription.labels import read_labels as read_labels
    from asr.transcription.labels import unlabelled as unlabelled
    from asr.transcription.recognizer import Recognizer as Recognizer
    from asr.transcription.scoring import emissions as emissions
    from asr.transcription.scoring import evaluate as evaluate

_HOME = {
    "FORMATS": "asr.transcription.formats",
    "RANKED_FORMATS": "asr.transcription.alternatives",
    "RankedTranscript": "asr.transcription.alternatives",
    "Recognizer": "asr.transcription.recognizer",
    "choose_phrases": "asr.transcription.labels",
    "emissions": "asr.transcription.scoring",
    "evaluate": "asr.transcription.scoring",
    "format": "asr.transcription.formats",
    "format_ranked": "asr.transcription.alternatives",
    "read_labels": "asr.transcription.labels",
    "unlabelled": "asr.transcription.labels",
}
__all__ = [
    "FORMATS",
    "RANKED_FORMATS",
    "RankedTranscript",
    "Recognizer",
    "choose_phrases",
    "emissions",
    "evaluate",
    "format",
    "format_ranked",
    "read_labels",
    "unlabelled",
]

sys.modules[__name__].__class__ = Room

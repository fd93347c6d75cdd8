"""Transcripts with their rivals: the N best readings of a recording, each with its score."""

import json
import math
from dataclasses import dataclass

from asr.decoding.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.transcript import Transcript
from asr.transcription.formats import format as format_transcript

RANKED_FORMATS = ("txt", "json")


@dataclass(frozen=True, slots=True)
class RankedTranscript(Transcript):
    """A transcript, and all hypotheses of its recording, best first; the transcript says what the first one does."""

    alternatives: tuple[Hypothesis, ...] = ()


def format_ranked(transcript: Transcript, name: str) -> str:
    """Write all that may have been said; no line break at the end. A transcript without rivals is written by `format`.

    txt    a line each: the score, a natural logarithm, a tab, the text
    json   as `format` writes the best one, and a list `alternatives` of texts and scores; a score that is infinite,
           as an impossible text's is, is null

    Raises:
        ConfigError: the format has no place for alternatives.
        AsrError: there is no such format.
    """
    if not isinstance(transcript, RankedTranscript):
        return format_transcript(transcript, name)
    if name not in RANKED_FORMATS:
        raise ConfigError(
            f"{name}: shows one transcript only, no N-best list; choose one of {', '.join(RANKED_FORMATS)}"
        )
    if name == "txt":
        return "\n".join(f"{each.score:.3f}\t{each.text}" for each in transcript.alternatives)
    alternatives = [
        {
            "text": each.text,
            "score": _number(each.score),
            "acoustic_score": _number(each.acoustic_score),
            "lm_score": _number(each.lm_score),
        }
        for each in transcript.alternatives
    ]
    values = {**json.loads(format_transcript(transcript, "json")), "alternatives": alternatives}
    return json.dumps(values, ensure_ascii=False, indent=2)


def _number(score: float) -> float | None:
    return round(score, 4) if math.isfinite(score) else None

"""N-best lists as text and JSON."""

import json
import math

import pytest

from asr.decoding import Hypothesis
from asr.errors import ConfigError
from asr.transcript import Segment, Transcript, Word
from asr.transcription import RankedTranscript, format, format_ranked  # noqa: A004

WORDS = (Word(0.1, 0.3, "a", 0.9), Word(0.4, 0.5, "cab", 0.8))
PLAIN = Transcript("a cab", (Segment(0.1, 0.5, "a cab", 0.85, WORDS),), 1.0)
ALTERNATIVES = (
    Hypothesis("a cab", (1, 2), -1.23456, -1.0, -0.5, WORDS),
    Hypothesis("a car", (1, 3), -math.inf, -math.inf, 0.0, ()),
)
RANKED = RankedTranscript(PLAIN.text, PLAIN.segments, PLAIN.duration, ALTERNATIVES)


def test_text_is_a_line_each_with_its_score() -> None:
    assert format_ranked(RANKED, "txt") == "-1.235\ta cab\n-inf\ta car"


def test_json_is_that_of_the_best_and_a_list() -> None:
    values = json.loads(format_ranked(RANKED, "json"), parse_constant=pytest.fail)
    alternatives = values.pop("alternatives")
    assert values == json.loads(format(PLAIN, "json"))
    assert alternatives == [
        {"text": "a cab", "score": -1.2346, "acoustic_score": -1.0, "lm_score": -0.5},
        {"text": "a car", "score": None, "acoustic_score": None, "lm_score": 0.0},
    ]


def test_subtitles_have_no_place_for_rivals() -> None:
    with pytest.raises(ConfigError, match="srt: shows one transcript only"):
        format_ranked(RANKED, "srt")


@pytest.mark.parametrize("name", ["txt", "json", "srt", "vtt", "tsv"])
def test_without_rivals_nothing_changes(name: str) -> None:
    assert format_ranked(PLAIN, name) == format(PLAIN, name)

"""Formats of transcripts, as OpenAI's Whisper writes them."""

import json
import math

import pytest

from asr.errors import AsrError
from asr.transcript import Segment, Transcript, Word
from asr.transcription import FORMATS, format  # noqa: A004

FIRST = Segment(0.2, 1.5, "hello there", 0.7, (Word(0.2, 0.61234, "hello", 0.9), Word(0.7, 1.5, "there", 0.5)))
SECOND = Segment(3661.5, 3662.0, "a --> b", 0.0, (Word(3661.5, 3662.0, "ünïcode", 0.0),))
TRANSCRIPT = Transcript("hello there a --> b", (FIRST, SECOND), 3663.25)
EMPTY = Transcript("", (), 0.0)


def test_txt_is_the_text():
    assert format(TRANSCRIPT, "txt") == "hello there a --> b"
    assert format(EMPTY, "txt") == ""


def test_json_has_the_names_of_whisper():
    text = format(TRANSCRIPT, "json")
    values = json.loads(text)
    assert list(values) == ["text", "duration", "segments"]
    assert (values["text"], values["duration"]) == (TRANSCRIPT.text, 3663.25)
    assert values["segments"][0] == {
        "id": 0,
        "start": 0.2,
        "end": 1.5,
        "text": "hello there",
        "avg_logprob": pytest.approx((math.log(0.9) + math.log(0.5)) / 2, abs=1e-4),
        "words": [
            {"word": "hello", "start": 0.2, "end": 0.612, "probability": 0.9},
            {"word": "there", "start": 0.7, "end": 1.5, "probability": 0.5},
        ],
    }
    assert values["segments"][1]["id"] == 1
    assert "ünïcode" in text
    assert "Infinity" not in text
    assert json.loads(format(EMPTY, "json")) == {"text": "", "duration": 0.0, "segments": []}


def test_srt():
    assert format(TRANSCRIPT, "srt").split("\n") == [
        "1",
        "00:00:00,200 --> 00:00:01,500",
        "hello there",
        "",
        "2",
        "01:01:01,500 --> 01:01:02,000",
        "a -> b",
    ]
    assert format(EMPTY, "srt") == ""


def test_vtt():
    assert format(TRANSCRIPT, "vtt").split("\n") == [
        "WEBVTT",
        "",
        "00:00:00.200 --> 00:00:01.500",
        "hello there",
        "",
        "01:01:01.500 --> 01:01:02.000",
        "a --&gt; b",  # the text of a cue is escaped, says the specification
    ]
    assert format(EMPTY, "vtt") == "WEBVTT"


def test_tsv_is_in_milliseconds():
    assert format(TRANSCRIPT, "tsv") == "start\tend\ttext\n200\t1500\thello there\n3661500\t3662000\ta --> b"


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(AsrError, match=f"docx: .*{', '.join(FORMATS)}"):
        format(TRANSCRIPT, "docx")

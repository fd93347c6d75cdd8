"""Transcripts as text: plain, JSON, and subtitles, the way OpenAI's Whisper writes them, so its tools read ours."""

import html
import json
import math
from collections.abc import Callable
from typing import Any

from asr.errors import AsrError
from asr.transcript import Segment, Transcript


def format(transcript: Transcript, name: str) -> str:  # noqa: A001
    """Write a transcript in one of `FORMATS`; no line break at the end.

    txt    the text on one line
    json   Whisper's verbose JSON: times in seconds, `probability` the confidence of a word, `avg_logprob` the mean
           natural log of its words' confidences
    srt, vtt   subtitles, one for each segment
    tsv    start and end in milliseconds, text

    Raises:
        AsrError: there is no such format.
    """
    if name not in FORMATS:
        raise AsrError(f"{name}: no such transcript format; choose one of {', '.join(FORMATS)}")
    return FORMATS[name](transcript)


def _txt(transcript: Transcript) -> str:
    return transcript.text


def _json(transcript: Transcript) -> str:
    values = {
        "text": transcript.text,
        "duration": round(transcript.duration, 3),
        "segments": [_segment(number, segment) for number, segment in enumerate(transcript.segments)],
    }
    return json.dumps(values, ensure_ascii=False, indent=2)


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    logs = [math.log(max(word.confidence, 1e-10)) for word in segment.words]  # a log of 0 is not JSON
    return {
        "id": number,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "avg_logprob": round(sum(logs) / len(logs), 4) if logs else None,
        "words": [
            {
                "word": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "probability": round(word.confidence, 4),
            }
            for word in segment.words
        ],
    }


def _srt(transcript: Transcript) -> str:
    # an arrow would end the text of a subtitle
    return "\n\n".join(
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text.replace('-->', '->')}"
        for number, segment in enumerate(transcript.segments, start=1)
    )


def _vtt(transcript: Transcript) -> str:
    cues = (
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{html.escape(each.text, quote=False)}"
        for each in transcript.segments
    )
    return "\n\n".join(("WEBVTT", *cues))


def _tsv(transcript: Transcript) -> str:
    rows = (
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{segment.text}" for segment in transcript.segments
    )
    return "\n".join(("start\tend\ttext", *rows))


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds, milliseconds, e.g. 00:01:02,500."""
    total = round(1000 * seconds)
    minutes, milliseconds = divmod(total, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": _txt, "json": _json, "srt": _srt, "vtt": _vtt, "tsv": _tsv}

"""What a recogniser says of a recording: words with times, in segments, in a transcript."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word. `start` and `end` are seconds from the start of the recording; `confidence` lies in 0..1."""

    start: float
    end: float
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech. `start` and `end` are seconds; `confidence` (0..1) is the mean of its words'."""

    start: float
    end: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole recording. `duration` is seconds of audio; `text` joins the texts of the segments with a space."""

    text: str
    segments: tuple[Segment, ...]
    duration: float

"""What a decoder answers: the text, how likely it is, and when each word was said."""

from dataclasses import dataclass

from asr.transcript import Word

BLANK = 0
"""The token of CTC that writes nothing (Graves et al. 2006)."""


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Where a token lies: frames `start_frame` <= t < `end_frame`.

    `confidence` (0..1) is the geometric mean of the token's probability over these frames.
    """

    token: int
    start_frame: int
    end_frame: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One reading of an utterance. Scores are natural logarithms; each decoder says what its `score` sums over.

    `text` joins the texts of `words` with single spaces. `tokens` holds no blanks.
    """

    text: str
    tokens: tuple[int, ...]
    score: float
    acoustic_score: float
    lm_score: float
    words: tuple[Word, ...]

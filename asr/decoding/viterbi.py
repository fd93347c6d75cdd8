"""The best CTC path of given tokens (Viterbi 1967), of recordings of any length, compiled.

As in `likelihood`, l[k] is the score of the best way to say k tokens and end in the last of them, b[k] to end in a
blank after it. With y the log-probabilities of a frame, one frame makes

    l'[k] = max(l[k], b[k - 1], l[k - 1]) + y[token k]
    b'[k] = max(b[k], l[k]) + y[blank]

but without l[k - 1] where that is the same token. A table of every frame and token would take gigabytes for an hour of
speech, and most of it is hopeless, since CTC models are sure of most frames.

**The hopeless is not computed.** Picture a rival who begins some nats behind and then takes the likeliest token of
every frame, whatever it is. Who is not ahead of the rival after some frame never will be. So those who are not are
dropped from either end of the stretch that is looked at, and if the path that is found ends ahead of the rival, nothing
that was dropped could have changed it. If none does, the rival begins further behind. That holds to the bit: the
rival's score is rounded as the others are, and rounding keeps order. The bound is that of A* search (Hart, Nilsson and
Raphael 1968), the most that any future may bring.

**Little is kept.** The steps that lead back (a byte for each token and frame) are written to a buffer. When it is full,
the scores of that frame are put aside, and the buffer is used anew. The path is read from its end; steps that were
overwritten are computed again from the scores put aside, as are activations in training (Chen et al. 2016, arXiv
1604.06174).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from asr.decoding.compilation import borrowing
from asr.decoding.hypothesis import BLANK

BUFFER = 1 << 24
"""Bytes of steps that are kept, or 2 * tokens * sqrt(frames) if that is more, for then the scores put aside weigh as
much. Steps that fit are computed once."""
SLACK, WIDER = 16.0, 4.0
"""Nats by which the rival begins behind, and how many times as far when it has won. What it costs to have been wrong is
little, for a rival who starts too near wins early. Guessing the distance from where it won is no faster."""
IMPOSSIBLE = numpy.float32(-numpy.inf)


class _Tables(NamedTuple):
    """The problem, and where the search writes."""

    log_probs: Any
    """float32, shape (frames, tokens)."""
    peaks: Any
    """float32, the largest of each frame, shape (frames,)."""
    tokens: Any
    """uint32, shape (length + 1,): a blank that stands for no token, then what is said."""
    parted: Any
    """float32, shape (length + 1,): -inf where a token is the same as that before it, else 0."""
    scores: Any
    """float32, shape (2, length + 1): l and b, those between the ends of the stretch that is looked at."""
    given: Any
    """float32, shape (length + 1,): the log-probabilities of `tokens` in the frame at hand."""
    rival: Any
    """float32, shape (frames + 1,): its score before each frame, and at the end."""
    steps: Any
    """uint8: in the lower two bits how many states back l came from (`_trace`), in the third b."""
    rows: Any
    """int64, shape (frames,): where in `steps` that of k = 0 is, or would be."""


class _Mark(NamedTuple):
    """Scores put aside, shape (2, high - low + 1): those before a frame."""

    frame: int
    low: int
    high: int
    scores: Any


def best_path(log_probs: Any, tokens: Sequence[int]) -> Any:
    """The best path that writes given tokens.

    An hour of 90,000 frames and 36,000 tokens takes 0.2 s and 24 MiB where the model is sure of them, 6 s and 43 MiB
    where it has no idea. Memory grows as tokens * sqrt(frames) at most.

    Args:
        log_probs: natural logs, float32, shape (frames, tokens); very low ones in the place of -inf, say -1e4.
        tokens: at least one, none of them the blank, and no more than the frames can hold (`asr.text.required_frames`).

    Returns:
        The token of each frame, blanks included, int64, shape (frames,).

    Raises:
        ValueError: a log-probability is infinite or not a number.
    """
    tables = _new_tables(log_probs, tokens)
    if not numpy.isfinite(tables.peaks).all():
        raise ValueError("log_probs: some are infinite or not numbers; give finite natural logarithms")
    slack = SLACK
    while not (marks := _forward(tables, slack)):
        slack *= WIDER
    return _backward(tables, marks)


def _new_tables(log_probs: Any, tokens: Sequence[int]) -> _Tables:
    log_probs = numpy.ascontiguousarray(log_probs)
    said = numpy.array([BLANK, *tokens], dtype=numpy.uint32)
    frames, states = len(log_probs), len(said)
    room = max(BUFFER, 2 * states * round(frames**0.5))
    return _Tables(
        log_probs=log_probs,
        peaks=log_probs.max(axis=1),
        tokens=said,
        parted=numpy.where(said == numpy.roll(said, 1), IMPOSSIBLE, numpy.float32(0.0)),
        scores=numpy.empty((2, states), dtype=numpy.float32),
        given=numpy.empty(states, dtype=numpy.float32),
        rival=numpy.empty(frames + 1, dtype=numpy.float32),
        steps=numpy.empty(min(room, frames * states), dtype=numpy.uint8),
        rows=numpy.empty(frames, dtype=numpy.int64),
    )


def _forward(tables: _Tables, slack: float) -> list[_Mark]:
    """Hear all frames, with a rival that begins `slack` nats behind.

    Returns:
        The scores put aside; none if the rival won.
    """
    frames = len(tables.peaks)
    tables.rival[0] = -slack
    tables.scores[:, 0] = IMPOSSIBLE, 0.0  # nothing is said, which is as good as a blank
    frame, low, high = 0, 0, 0
    marks = []
    while frame < frames:
        marks.append(_Mark(frame, low, high, tables.scores[:, low : high + 1].copy()))
        frame, low, high = _advance(tables, frame, low, high)
        if low > high:
            return []
    return marks


def _backward(tables: _Tables, marks: Sequence[_Mark]) -> Any:
    """The path, read from its end when all frames have been heard."""
    end, length = len(tables.peaks), len(tables.tokens) - 1
    spoken, silent = tables.scores[:, length]
    state = 2 * length if silent > spoken else 2 * length - 1
    path = numpy.empty(end, dtype=numpy.int64)
    for mark in reversed(marks):
        if end < len(path):  # the steps from this mark to the next were overwritten
            tables.scores[:, mark.low : mark.high + 1] = mark.scores
            _advance(tables, mark.frame, mark.low, mark.high)
        state = _trace(tables, mark.frame, end, state, path)
        end = mark.frame
    return path


@borrowing
def _advance(tables: _Tables, frame: int, low: int, high: int) -> tuple[int, int, int]:
    """Hear frames from `frame` on, with l[k] and b[k] above -inf for `low` <= k <= `high` at most.

    Returns:
        The first frame not heard, since no steps of it can be kept or there is none, and the new stretch. If low > high
        the rival has won in the frame before.
    """
    frames, length, used = len(tables.peaks), len(tables.tokens) - 1, 0
    spoken, silent = tables.scores[0], tables.scores[1]
    while frame < frames and low <= high:
        stop = min(high + 2, length + 1)
        if used + stop - low > len(tables.steps):
            break
        if stop == high + 2:
            spoken[high + 1], silent[high + 1] = IMPOSSIBLE, IMPOSSIBLE
        _hear(
            tables.log_probs[frame],
            tables.tokens[low:stop],
            tables.parted[low:stop],
            spoken[low:stop],
            silent[low:stop],
            tables.given[low:stop],
            tables.steps[used : used + stop - low],
        )
        tables.rows[frame] = used - low
        used += stop - low
        behind = tables.rival[frame] + tables.peaks[frame]
        frame += 1
        tables.rival[frame] = behind
        low, high = max(low, length - (frames - frame)), stop - 1  # each token yet to come takes a frame
        while low <= high and spoken[low] <= behind and silent[low] <= behind:
            low += 1
        while low <= high and spoken[high] <= behind and silent[high] <= behind:
            high -= 1
    return frame, low, high


@borrowing
def _hear(row: Any, tokens: Any, parted: Any, spoken: Any, silent: Any, given: Any, steps: Any) -> None:
    """Hear one frame. All but `row` (tokens,) are of the stretch that is looked at; l and b are changed in place.

    Written so that LLVM makes vectors of the second loop: log-probabilities are looked up before it, conditions are
    joined by `&`, and arrays are few, for it must make sure that none overlap. Written without that, a token of a frame
    takes 9 ns instead of 1.

    Of equal scores the path takes the one of fewer steps. (Torchaudio's `forced_align` stays in l[k] where b[k - 1] and
    l[k - 1] are equal, even if both are better: through equal scores its path is not always a best one.)
    """
    for i in range(len(tokens)):
        given[i] = row[tokens[i]]
    silence = row[BLANK]
    two, one = IMPOSSIBLE, IMPOSSIBLE
    for i in range(len(tokens)):
        stay, still = spoken[i], silent[i]
        two += parted[i]
        by_two = (two > one) & (two > stay)
        by_one = (one > stay) & (one >= two)
        ends = stay > still
        spoken[i] = (two if by_two else (one if by_one else stay)) + given[i]
        silent[i] = (stay if ends else still) + silence
        steps[i] = numpy.uint8((2 if by_two else (1 if by_one else 0)) + (4 if ends else 0))
        two, one = stay, still


@borrowing
def _trace(tables: _Tables, begin: int, end: int, state: int, path: Any) -> int:
    """Write the path from frame `begin` to frame `end`, which is in `state`; returns the state before them.

    State 2 k - 1 is the k-th token, 2 k the blank after it.
    """
    for frame in range(end - 1, begin - 1, -1):
        step = int(tables.steps[tables.rows[frame] + (state + 1) // 2])
        if state % 2:
            path[frame] = tables.tokens[(state + 1) // 2]
            state -= step & 3
        else:
            path[frame] = BLANK
            state -= step >> 2
    return state

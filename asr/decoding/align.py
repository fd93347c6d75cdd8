"""Which frames belong to which token: the most likely CTC path, and its tokens' spans."""

from collections.abc import Sequence

import numpy
import torch

from asr.decoding.hypothesis import BLANK, TokenSpan
from asr.decoding.viterbi import best_path
from asr.errors import TextError
from asr.text import required_frames


def align(log_probs: torch.Tensor, tokens: Sequence[int], temperature: float = 1.0) -> list[TokenSpan]:
    """Place given tokens on the frames, as the best of all CTC paths that write them does (`viterbi`).

    Args:
        log_probs: natural logs, shape (frames, tokens), valid frames only.
        tokens: what was said, without blanks.
        temperature: of the confidences (`temper`); the spans are the same at any.

    Returns:
        One span for each token, in order; none for no tokens.

    Raises:
        TextError: there are fewer frames than the tokens need.
        ValueError: a token is the blank or outside the vocabulary, or a log-probability is not a number.
    """
    frames, vocabulary = log_probs.shape
    if not all(BLANK < token < vocabulary for token in tokens):
        raise ValueError(f"tokens to align must lie in 1..{vocabulary - 1}, found {min(tokens)}..{max(tokens)}")
    if frames < (needed := required_frames(tokens)):
        raise TextError(
            f"alignment: {frames} frames are too few for {len(tokens)} tokens, which need {needed} (a frame each, and "
            "a blank between equal neighbours); check that this is the text of this recording"
        )
    if not tokens:
        return []
    # Impossible tokens get the lowest finite number: sums of -inf would leave the best path undefined.
    emissions = log_probs.detach().cpu().float().clamp(min=-1e4)
    path = best_path(emissions.numpy(), tokens)
    return spans(path, temper(emissions, torch.from_numpy(path), temperature).numpy(), [frames])[0]


def temper(log_probs: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """The log-probability of one token in each frame, at a softmax temperature (Guo et al. 2017, equation 9).

    Above 1 the model becomes less sure, below 1 surer; at 1 it is what it says.

    Args:
        log_probs: natural logs, shape (..., frames, tokens).
        tokens: one for each frame, shape (..., frames).
        temperature: above 0.

    Returns:
        Natural logs, shape (..., frames).
    """
    chosen = log_probs.gather(-1, tokens[..., None])[..., 0]
    if temperature == 1.0:
        return chosen
    return chosen / temperature - (log_probs / temperature).logsumexp(dim=-1)


def spans(
    path: numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]],
    scores: numpy.ndarray[tuple[int], numpy.dtype[numpy.float32]],
    lengths: Sequence[int],
) -> list[list[TokenSpan]]:
    """Collapse paths: runs of equal tokens become spans, blanks are dropped.

    Args:
        path: token of each frame, blanks included; the utterances' frames lie one after the other, shape (frames,).
        scores: the natural log-probability of that token in its frame, shape (frames,).
        lengths: frames of each utterance; they add up to `frames`.

    Returns:
        The spans of each utterance, counted from its first frame.
    """
    offsets = numpy.concatenate(([0], numpy.cumsum(lengths, dtype=numpy.int64)))
    opens = numpy.ones(len(path) + 1, dtype=bool)  # frames that open a run; the last stands for the end
    opens[1:-1] = path[1:] != path[:-1]
    opens[offsets] = True
    bounds = numpy.flatnonzero(opens)
    starts, ends = bounds[:-1], bounds[1:]
    sums = numpy.concatenate(([0.0], numpy.cumsum(scores, dtype=numpy.float64)))
    confidences = numpy.exp(numpy.minimum((sums[ends] - sums[starts]) / (ends - starts), 0.0))
    kept = path[starts] != BLANK
    owners = numpy.searchsorted(offsets, starts[kept], side="right") - 1
    result: list[list[TokenSpan]] = [[] for _ in lengths]
    for owner, token, start, end, confidence in zip(
        owners.tolist(),
        path[starts][kept].tolist(),
        (starts[kept] - offsets[owners]).tolist(),
        (ends[kept] - offsets[owners]).tolist(),
        confidences[kept].tolist(),
        strict=True,
    ):
        result[owner].append(TokenSpan(token, start, end, confidence))
    return result

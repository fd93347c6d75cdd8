"""The CTC likelihood of given tokens: the sum over every path that writes them (Graves et al. 2006, section 4.1).

Between and around L tokens are L + 1 places for blanks. With y the probabilities of a frame, l[k] the probability that
the frames so far end in the k-th token, and b[k] that they end in a blank after it (b[0]: before all), one frame makes

    l'[k] = (l[k] + b[k - 1] + l[k - 1]) y[token k]
    b'[k] = (b[k] + l[k]) y[blank]

but without l[k - 1] where that is the same token: a blank must part them.

Only a few neighbouring k ever carry weight, so the others are dropped as the frames go by. What is dropped could at
most have grown by the largest probability of every frame that follows, which bounds the error; where the bound is not
negligible, less is dropped, in the end nothing. So the result is exact, at a tenth of the price.
"""

from typing import Any

import numpy

from asr.decoding.compilation import allocating, borrowing

NEGLIGIBLE = 1e-30, 1e-90, 0.0
"""States lighter than this share of their frame's weight are dropped; the first that proves harmless counts."""
TOLERANCE = 1e-10
"""The largest relative error that dropping may make."""
SMALL = 1e-100
"""Weights are scaled up when they fall below this, long before float64 rounds them."""


@allocating
def _forward(probabilities: Any, peaks: Any, tokens: Any, negligible: float) -> tuple[float, bool]:
    """The log-likelihood, and whether what was dropped could matter."""
    length = len(tokens)
    blank, label = numpy.zeros(length + 1), numpy.zeros(length + 1)  # label[k] is the token before blank k
    next_blank, next_label = numpy.zeros(length + 1), numpy.zeros(length + 1)
    follows = numpy.zeros(length + 1)  # 1 where label k may follow label k - 1 at once
    for k in range(2, length + 1):
        follows[k] = 1.0 if tokens[k - 1] != tokens[k - 2] else 0.0
    blank[0] = 1.0
    low, high = 0, 0  # states low..high carry weight
    scale, lost = 0.0, 0.0
    for t in range(len(probabilities)):
        row = probabilities[t]
        if high < length:
            high += 1
            blank[high] = 0.0
            label[high] = 0.0
        silence = float(row[0])
        before_blank = before_label = 0.0
        total = 0.0
        for k in range(low, high + 1):
            spoken = float(row[tokens[k - 1]]) if k else 0.0
            here_blank, here_label = blank[k], label[k]
            next_blank[k] = (here_blank + here_label) * silence
            next_label[k] = (here_label + before_blank + follows[k] * before_label) * spoken
            total += next_blank[k] + next_label[k]
            before_blank, before_label = here_blank, here_label
        blank, next_blank = next_blank, blank
        label, next_label = next_label, label
        lost *= peaks[t]
        least = total * negligible
        while low < high and blank[low] + label[low] < least:
            lost += blank[low] + label[low]
            low += 1
        while high > low and blank[high] + label[high] < least:
            lost += blank[high] + label[high]
            high -= 1
        if total < SMALL:
            if total == 0.0:
                return -numpy.inf, lost > 0.0
            for k in range(low, high + 1):
                blank[k] /= total
                label[k] /= total
            lost /= total
            scale += numpy.log(total)
    value = blank[length] + label[length] if high == length else 0.0
    if value == 0.0:
        return -numpy.inf, lost > 0.0
    return numpy.log(value) + scale, lost > TOLERANCE * value


@allocating
def log_likelihood(probabilities: Any, peaks: Any, tokens: Any) -> float:
    """The natural log-probability that the frames say exactly these tokens.

    Args:
        probabilities: numpy array, shape (frames, tokens).
        peaks: the largest probability of each frame, float64, shape (frames,).
        tokens: int32 array without blanks, shape (length,).

    Returns:
        At most 0 (up to rounding); -inf where no path writes these tokens.
    """
    for negligible in NEGLIGIBLE:
        value, lost = _forward(probabilities, peaks, tokens, negligible)
        if not lost:
            break
    return value


@borrowing
def examine(probabilities: Any, sums: Any, peaks: Any, tolerance: float) -> int:
    """Write each frame's sum and largest probability, shape (frames,).

    Returns:
        The first frame whose sum is further from one than the tolerance, or is not a number; -1 if there is none.
    """
    wrong = -1
    for t in range(len(probabilities)):
        total, peak = 0.0, 0.0
        for token in range(probabilities.shape[1]):
            total += probabilities[t, token]
            peak = max(peak, probabilities[t, token])
        sums[t], peaks[t] = total, peak
        if wrong < 0 and not abs(total - 1.0) <= tolerance:
            wrong = t
    return wrong

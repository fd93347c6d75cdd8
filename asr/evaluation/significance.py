"""How sure an error rate is, by the bootstrap over utterances (Bisani & Ney 2004, "Bootstrap estimates for confidence
intervals in ASR performance evaluation").

Words within an utterance share speaker, noise and topic, so utterances, not words, are drawn with replacement. That
takes utterances to be independent: with few speakers the true interval is wider.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from asr.errors import AsrError

CELLS = 1 << 22
"""Draws made at once; bounds the memory to some 100 MB, whatever the corpus."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """System B against system A on the same utterances.

    `difference` is WER(B) - WER(A), negative where B is better, with its bootstrap `interval`;
    `probability_of_improvement` is the share of resampled corpora on which B makes fewer errors, draws counted half.
    """

    difference: float
    interval: tuple[float, float]
    probability_of_improvement: float


def bootstrap_interval(
    errors: Sequence[int], words: Sequence[int], seed: int = 0, samples: int = 10000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the word error rate (a fraction) under resampling of utterances.

    Args:
        errors: word errors of each utterance.
        words: reference words of each utterance.
        seed: of the random draws; the same seed gives the same interval.
        samples: corpora to draw.
        level: share of the drawn corpora whose rate lies in the interval.

    Raises:
        AsrError: there are no reference words.
        ValueError: the sequences differ in length.
    """
    counts = _counts(errors, words)
    rates = numpy.concatenate([sums[:, 0] / sums[:, 1] for sums in _resample(counts, seed, samples)])
    return _interval(rates, level)


def standard_error(errors: Sequence[int], words: Sequence[int]) -> float:
    """Standard deviation of the word error rate (a fraction) under resampling of utterances, without drawing any.

    By linearisation, as of every ratio of sums: sqrt(sum (e - WER w)^2) / sum w (Cochran 1977, "Sampling Techniques",
    section 6.4).

    Args:
        errors: word errors of each utterance.
        words: reference words of each utterance.

    Raises:
        AsrError: there are no reference words.
        ValueError: the sequences differ in length.
    """
    wrong, said = _counts(errors, words).T
    return float(numpy.linalg.norm(wrong - wrong.sum() / said.sum() * said) / said.sum())


def compare(
    errors_a: Sequence[int],
    errors_b: Sequence[int],
    words: Sequence[int],
    seed: int = 0,
    samples: int = 10000,
    level: float = 0.95,
) -> Comparison:
    """Paired bootstrap of two systems: both are scored on the same resampled utterances, so shared difficulty cancels.

    Args:
        errors_a: word errors of system A in each utterance.
        errors_b: word errors of system B in the same utterances.
        words: reference words of each utterance.
        seed: of the random draws.
        samples: corpora to draw.
        level: of the interval.

    Raises:
        AsrError: there are no reference words.
        ValueError: the sequences differ in length.
    """
    if len(errors_a) != len(errors_b):
        raise ValueError(f"system A has {len(errors_a)} utterances, B has {len(errors_b)}; compare the same ones")
    changes = [after - before for before, after in zip(errors_a, errors_b, strict=True)]
    counts = _counts(changes, words)
    sums = numpy.concatenate(list(_resample(counts, seed, samples)))
    better, equal = (sums[:, 0] < 0).mean(), (sums[:, 0] == 0).mean()
    return Comparison(
        difference=sum(changes) / sum(words),
        interval=_interval(sums[:, 0] / sums[:, 1], level),
        probability_of_improvement=float(better + equal / 2),
    )


def _counts(errors: Sequence[int], words: Sequence[int]) -> NDArray[numpy.int64]:
    if len(errors) != len(words):
        raise ValueError(f"{len(errors)} error counts for {len(words)} word counts; give one pair an utterance")
    if not sum(words):
        raise AsrError("evaluation: the references hold no words, so there is no interval; give transcripts")
    return numpy.stack([numpy.asarray(errors, dtype=numpy.int64), numpy.asarray(words, dtype=numpy.int64)], axis=1)


def _resample(counts: NDArray[numpy.int64], seed: int, samples: int) -> Iterator[NDArray[numpy.int64]]:
    """Errors and words of drawn corpora, shape (some, 2) a time; a corpus without a single word has no rate and is left
    out (it can be drawn only where some references are empty).
    """
    generator = numpy.random.default_rng(seed)
    size = len(counts)
    for start in range(0, samples, step := max(1, CELLS // size)):
        drawn = generator.integers(size, size=(min(step, samples - start), size))
        sums = numpy.stack([counts[:, 0][drawn].sum(axis=1), counts[:, 1][drawn].sum(axis=1)], axis=1)
        yield sums[sums[:, 1] > 0]


def _interval(values: NDArray[numpy.float64], level: float) -> tuple[float, float]:
    low, high = numpy.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

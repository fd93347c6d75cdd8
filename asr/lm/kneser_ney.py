"""Training: interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, sections 2.7 and 3.3).

An n-gram `c w`, of a context c and a word w, has the probability

    p(w | c) = (a(c w) - D(a(c w))) / sum_v a(c v)  +  left(c) p(w | c without its first word)

where left(c) is what makes the sum over w equal 1, the back-off weight; unigrams are interpolated with the uniform
distribution over all words, </s> and <unk>, which is all that <unk> gets. In the highest order, and for n-grams that
begin with <s>, a is how often the n-gram occurs; in the others, how many different words precede it. The discounts
are D(1), D(2) and D(3) for all counts from 3 on, estimated in each order from how many n-grams have count 1 to 4.
KenLM's `lmplz` (Heafield et al. 2013) does the same, and is what tests compare with.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import LanguageModelError
from asr.lm.build import Builder
from asr.lm.counts import Level, count_ngrams, number_words, read_corpus, split_corpus
from asr.lm.ngram import NgramModel
from asr.lm.units import Unit
from asr.lm.vocabulary import BEGIN, MARKS, Vocabulary

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts that serve where they cannot be estimated, those of `lmplz --discount_fallback`."""
LEAST = 1e-99
"""Stands for a back-off weight of 0, whose logarithm no file can hold."""

Numbers = NDArray[np.float64]


def train(
    source: Path | str | Iterable[str],
    order: int = 3,
    prune: Sequence[int] = (),
    fallback: Sequence[float] | None = None,
    unit: Unit = "word",
) -> NgramModel:
    """Train an n-gram model.

    Args:
        source: a text file, plain or gzip, or lines; one sentence each, words separated by blanks. The words are taken
            as they are: normalise the text as transcripts are normalised.
        order: words in the longest n-grams.
        prune: for each order, leave out n-grams that occur so many times or fewer; the last number is for all further
            orders. (0, 0, 1) leaves out trigrams and longer n-grams that occur once.
        fallback: discounts for counts 1, 2, and 3 or more, e.g. `FALLBACK`, for those orders where the text is too
            small to estimate them. None makes that an error, since the model is then seldom worth having; but of
            characters there are never enough different ones, so `FALLBACK` serves.
        unit: what the n-grams are of: words, or characters, the space between words being one.

    Raises:
        LanguageModelError: the text cannot be read, holds no word or a mark such as <s>, or is too small to estimate
            discounts; or `order`, `prune` or `fallback` is impossible.
    """
    thresholds = _thresholds(order, prune)
    if fallback is not None and not (len(fallback) == 3 and all(0 < d <= n for n, d in enumerate(fallback, start=1))):
        raise LanguageModelError(f"fallback={tuple(fallback)}: not three discounts above 0, up to 1, 2 and 3; fix them")
    if unit == "character" and fallback is None:
        fallback = FALLBACK
    name, raw = split_corpus(*read_corpus(source), unit)
    vocabulary, stream = number_words(name, raw)
    del raw
    if len(vocabulary) == len(MARKS):
        raise LanguageModelError(f"{name}: holds no word; give a text, one sentence a line")
    levels = count_ngrams(stream, len(vocabulary), order)
    counts = _adjusted(levels)
    discounts = [_discounts(name, n, count, fallback) for n, count in enumerate(counts, start=1)]
    kept = [level.count > threshold for level, threshold in zip(levels, thresholds, strict=True)]
    kept[0][:] = True
    return _model(vocabulary, unit, levels, kept, *_estimate(levels, counts, discounts, kept))


def _thresholds(order: int, prune: Sequence[int]) -> list[int]:
    if order < 1:
        raise LanguageModelError(f"order={order}: a model has 1-grams at least; give 1 or more, usually 3")
    thresholds = [*prune, *[prune[-1] if prune else 0] * (order - len(prune))]
    if len(thresholds) > order or thresholds[0] != 0 or thresholds != sorted(thresholds):
        what = f"give at most {order} numbers, the first 0, none smaller than the one before"
        raise LanguageModelError(f"prune={tuple(prune)}: not possible for order {order}; {what}")
    return thresholds


def _adjusted(levels: Sequence[Level]) -> list[NDArray[np.int64]]:
    """The count a(...) of every n-gram of every order."""
    counts = [
        np.where(level.begins, level.count, np.bincount(above.suffix, minlength=len(level.word)))
        for level, above in itertools.pairwise(levels)
    ]
    counts.append(levels[-1].count.copy())
    counts[0][BEGIN] = 0  # is never predicted
    return counts


def _discounts(name: str, order: int, counts: NDArray[np.int64], fallback: Sequence[float] | None) -> Numbers:
    """D(0) = 0, D(1), D(2), D(3), equation 26 of Chen and Goodman."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[:5].astype(float)
    problem = next((f"no {order}-gram has the count {count}" for count in (1, 2, 3) if n[count] == 0), "")
    if not problem:
        count = np.arange(1, 4)
        discounts = count - (count + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        if ((discounts >= 0) & (discounts <= count)).all():
            return np.concatenate([[0.0], discounts])
        problem = f"the {order}-grams give {', '.join(f'{discount:.2f}' for discount in discounts)}"
    if fallback is None:
        remedy = "give more text or a lower order, or allow fallback discounts (--discount-fallback)"
        raise LanguageModelError(f"{name}: too little text, or made up, to estimate discounts: {problem}; {remedy}")
    return np.array([0.0, *fallback])


def _estimate(
    levels: Sequence[Level],
    counts: Sequence[NDArray[np.int64]],
    discounts: Sequence[Numbers],
    kept: Sequence[NDArray[np.bool_]],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """The log10 probabilities of every order, and the log10 back-offs of every order but the highest."""
    lower = np.array([1 / (len(levels[0].word) - 2)])  # of all word ids but 0 and <s>
    log10_probs, log10_backoffs = [], []
    for level, count, discount, keep in zip(levels, counts, discounts, kept, strict=True):
        given = np.where(keep, count - discount[np.minimum(count, 3)], 0.0)
        total = np.bincount(level.context, count, minlength=len(lower))
        left = np.bincount(level.context, count - given, minlength=len(lower))
        left = np.divide(left, total, out=np.ones(len(lower)), where=total > 0)
        total = np.maximum(total, 1)
        lower = given / total[level.context] + left[level.context] * lower[level.suffix]
        log10_probs.append(np.log10(lower).astype(np.float32))
        log10_backoffs.append(np.log10(np.maximum(left, LEAST)).astype(np.float32))
    log10_probs[0][BEGIN] = 0.0
    return log10_probs, log10_backoffs[1:]


def _model(
    vocabulary: Vocabulary,
    unit: Unit,
    levels: list[Level],
    kept: Sequence[NDArray[Any]],
    log10_probs: Sequence[NDArray[np.float32]],
    log10_backoffs: Sequence[NDArray[np.float32]],
) -> NgramModel:
    kept[0][0] = False  # is no word
    counts = [int(keep.sum()) for keep in kept]
    builder = Builder(counts)
    above = np.zeros(1, np.int32)
    for order, (level, keep) in enumerate(zip(levels, kept, strict=True), start=1):
        backoff = log10_backoffs[order - 1] if order < len(levels) else np.zeros_like(log10_probs[order - 1])
        builder.add(above[level.context[keep]], level.word[keep], log10_probs[order - 1][keep], backoff[keep])
        above = (builder.begins[order] - 1 + np.cumsum(keep)).astype(np.int32)
    return NgramModel(tuple(counts), *builder.finish(), vocabulary, True, unit)

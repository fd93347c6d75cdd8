"""Bootstrap intervals against theory, and systems whose order is known."""

import itertools
import math

import numpy
import pytest

from asr.errors import AsrError
from asr.evaluation import bootstrap_interval, compare, significance, standard_error


def corpus(size=400, seed=0):
    generator = numpy.random.default_rng(seed)
    words = generator.integers(1, 20, size).tolist()
    return [int(generator.binomial(count, 0.2)) for count in words], words


def test_interval_is_the_normal_one_where_that_holds():
    """A ratio of sums of many utterances: variance by linearisation, sum((e - wer * w)^2) / (sum w)^2."""
    errors, words = map(numpy.array, corpus())
    wer = errors.sum() / words.sum()
    deviation = math.sqrt(((errors - wer * words) ** 2).sum()) / words.sum()
    low, high = bootstrap_interval(errors.tolist(), words.tolist())
    assert low == pytest.approx(wer - 1.96 * deviation, abs=0.1 * deviation)
    assert high == pytest.approx(wer + 1.96 * deviation, abs=0.1 * deviation)


def test_standard_error_is_the_deviation_under_resampling():
    errors, words = corpus()
    low, high = bootstrap_interval(errors, words, level=0.6826895)  # one standard deviation to each side
    assert standard_error(errors, words) == pytest.approx((high - low) / 2, rel=0.05)
    assert standard_error([1, 2, 3], [4, 8, 12]) == pytest.approx(0.0)  # drawn however, always a quarter
    assert standard_error([1, 0], [1, 1]) == pytest.approx(math.sqrt(1 / 8))  # 0, 1/2, 1/2 or 1
    with pytest.raises(AsrError, match="no words"):
        standard_error([1], [0])


def test_interval_is_that_of_all_possible_corpora_when_these_are_few():
    errors, words = [0, 1, 3], [2, 3, 4]
    drawn = itertools.product(range(3), repeat=3)
    rates = [sum(errors[i] for i in draw) / sum(words[i] for i in draw) for draw in drawn]
    expected = numpy.quantile(rates, [0.25, 0.75], method="inverted_cdf")
    assert bootstrap_interval(errors, words, samples=20000, level=0.5) == pytest.approx(tuple(expected))


def test_same_seed_same_interval_and_no_trace_of_how_many_are_drawn_at_once(monkeypatch):
    errors, words = corpus(50)
    first = bootstrap_interval(errors, words, seed=3)
    assert bootstrap_interval(errors, words, seed=3) == first
    assert bootstrap_interval(errors, words, seed=4) != first
    monkeypatch.setattr(significance, "CELLS", 7 * 50)
    assert bootstrap_interval(errors, words, seed=3) == pytest.approx(first, abs=0.01)


def test_no_errors_one_utterance_and_empty_references():
    assert bootstrap_interval([0, 0], [3, 4]) == (0.0, 0.0)
    assert bootstrap_interval([1], [4]) == (0.25, 0.25)
    low, high = bootstrap_interval([2, 0], [0, 10])
    assert (low, high) == (0.0, pytest.approx(0.2))


@pytest.mark.parametrize(("errors", "words"), [([], []), ([1], [0])])
def test_no_words_no_interval(errors, words):
    with pytest.raises(AsrError, match="no words"):
        bootstrap_interval(errors, words)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 error counts for 1"):
        bootstrap_interval([1, 2], [3])
    with pytest.raises(ValueError, match="compare the same ones"):
        compare([1], [1, 2], [3, 4])


def test_compare_is_sure_of_a_system_that_is_better_everywhere():
    errors, words = corpus()
    worse = [count + 1 for count in errors]
    comparison = compare(worse, errors, words)
    assert comparison.difference == pytest.approx(-len(words) / sum(words))
    assert comparison.interval[0] <= comparison.difference <= comparison.interval[1] < 0
    assert comparison.probability_of_improvement == 1.0
    assert compare(errors, worse, words).probability_of_improvement == 0.0


def test_compare_does_not_prefer_among_equals():
    errors, words = corpus()
    same = compare(errors, errors, words)
    assert (same.difference, same.interval, same.probability_of_improvement) == (0.0, (0.0, 0.0), 0.5)


def test_compare_is_paired():
    """One utterance in ten is better, none worse: the difference is sure although the rates' intervals overlap."""
    errors, words = corpus()
    better = [max(0, count - (index % 10 == 0)) for index, count in enumerate(errors)]
    assert bootstrap_interval(better, words)[1] > bootstrap_interval(errors, words)[0]
    assert compare(errors, better, words).interval[1] < 0

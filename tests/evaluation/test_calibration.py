"""Calibration against errors worked out by hand, and temperatures that are known."""

import io
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asr.evaluation import score
from asr.evaluation.calibration import (
    BINS,
    DEVIATION,
    TEMPERATURES,
    draw,
    fit_temperature,
    judge,
    log_loss,
    reliability,
    render,
)


def measured(pairs, bins=BINS):
    confidences, correct = zip(*pairs, strict=True) if pairs else ((), ())
    return reliability(np.array(confidences, dtype=float), np.array(correct, dtype=bool), bins)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def test_error_is_the_mean_gap_of_the_bins_weighted_by_their_words():
    pairs = [(0.9, number < 6) for number in range(10)] + [(0.55, number < 15) for number in range(30)]
    result = measured(pairs)
    assert result.calibration_error == pytest.approx((10 * 0.3 + 30 * 0.05) / 40)
    assert [(each.words, each.confidence, each.accuracy) for each in result.bins if each.words] == [
        (30, pytest.approx(0.55), 0.5),
        (10, pytest.approx(0.9), 0.6),
    ]


def test_errors_of_both_signs_in_one_bin_cancel_and_in_two_do_not():
    pairs = [(0.52, True), (0.58, False)]
    assert measured(pairs, bins=1).calibration_error == pytest.approx(0.05)
    assert measured(pairs, bins=20).calibration_error == pytest.approx((0.48 + 0.58) / 2)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.integers(1, 20))
def test_error_is_that_of_equation_3_and_the_order_does_not_matter(pairs, bins):
    edges = [number / bins for number in range(bins + 1)]
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        held = [(sure, right) for sure, right in pairs if low < sure <= high or low == sure == 0.0]
        expected += abs(sum(right for _, right in held) - sum(sure for sure, _ in held))
    result = measured(pairs, bins)
    assert result.words == len(pairs)
    shuffled = measured(random.Random(0).sample(pairs, len(pairs)), bins)
    if not pairs:
        assert result.calibration_error is result.log_loss is None
    elif not any(abs(sure * bins - round(sure * bins)) < 1e-9 for sure, _ in pairs):  # rounding decides at the edges
        assert result.calibration_error == pytest.approx(expected / len(pairs), abs=1e-9)
        assert shuffled.calibration_error == pytest.approx(result.calibration_error, abs=1e-9)


def test_words_that_are_right_as_often_as_they_are_sure_have_no_error():
    pairs = [(sure / 20, number < sure) for sure in range(21) for number in range(20)]
    assert measured(pairs).calibration_error == pytest.approx(0.0, abs=1e-12)
    generator = np.random.default_rng(0)
    sure = generator.random(50_000)
    assert reliability(sure, generator.random(50_000) < sure).calibration_error < 0.01


def test_chance_error_is_what_faultless_confidences_show_of_so_few_words():
    generator = np.random.default_rng(2)
    sure = generator.beta(5, 1, 800)
    shown = [reliability(sure, generator.random(800) < sure) for _ in range(200)]
    mean = np.mean([each.calibration_error for each in shown])
    assert shown[0].chance_error == pytest.approx(mean, rel=0.05)
    assert measured([]).chance_error is None


def test_only_words_that_stand_where_they_were_said_are_right():
    rates = score(["a b c d", "a", "a b", "x"], ["a x c d e", "", "a b", "x y"])
    names = [["a", "x", "c", "d", "e"], [], ["two words, one known"], ["x again", "y"]]
    judged = dict(judge(rates.utterances, names))
    assert judged == {"a": True, "x": False, "c": True, "d": True, "e": False, "x again": True, "y": False}


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(truth):
    generator = np.random.default_rng(1)
    logits = generator.normal(1.0, 2.0, 40_000)
    correct = generator.random(40_000) < sigmoid(logits)

    def confidences(temperature):
        return sigmoid(logits * truth / temperature)

    found = fit_temperature(confidences, correct)
    assert found == pytest.approx(truth, rel=0.05)
    if truth != 1.0:
        before, after = (reliability(confidences(each), correct).calibration_error for each in (1.0, found))
        assert after < 0.01 < 0.05 < before


def test_a_recogniser_without_errors_is_not_taken_for_infallible():
    def confidences(words):
        return lambda temperature: np.full(words, sigmoid(2 / temperature))

    few, many = (fit_temperature(confidences(words), np.ones(words, dtype=bool)) for words in (10, 1000))
    assert TEMPERATURES[0] < many < few < 1
    # The slope of the sum of losses: 10 words' -log sigmoid(2 / T), and the belief about log T.
    assert 10 * 2 / few * (1 - sigmoid(2 / few)) == pytest.approx(-math.log(few) / DEVIATION**2, rel=1e-2)


def test_log_loss_is_that_of_the_outcomes_and_finite():
    found = log_loss(np.array([0.8, 0.3]), np.array([True, False]))
    assert found == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2)
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False])))


def test_without_words_nothing_changes():
    assert fit_temperature(lambda _: np.empty(0), np.empty(0, dtype=bool)) == 1.0


def test_what_was_measured_is_shown(tmp_path):
    first, second = measured([(0.9, True), (0.92, False), (0.1, False)]), measured([])
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render({"greedy": first, "beam": second}))
    rows = [line.split() for line in console.export_text().splitlines()]
    assert rows[-1] == ["87", "to", "93", "2", "91.0", "50.0"]
    assert rows[-2] == ["7", "to", "13", "1", "10.0", "0.0"]
    assert rows[-3] == ["greedy", "beam"]
    draw({"greedy": (first, first), "beam": (second, second)}, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1

"""Tuning on emissions made by hand, where it is plain which weights are good."""

import io
import math
from dataclasses import replace

import pytest
import torch

import asr.lm
from asr.config import TextConfig
from asr.decoding.beam import UNKNOWN_SCORE
from asr.decoding.decoder import LM_WEIGHT, WORD_BONUS
from asr.decoding.tune import (
    LM_WEIGHTS,
    REFINEMENTS,
    UNKNOWN_SCORES,
    WORD_BONUSES,
    Emissions,
    Point,
    draw,
    render,
    tune,
)
from asr.lm.units import Unit
from asr.text import CharTokenizer
from asr.text.normalize import Normalizer

TOKENIZER = CharTokenizer("ab ")
NORMALIZER = Normalizer(TextConfig())
PLAIN, DOUBTFUL = 0.97, 0.45


def heard(text: str, doubtful: str = "") -> torch.Tensor:
    """Log-probabilities (frames, tokens) of `text`, a blank after each letter; where it says b, `doubtful` letters of
    a are a little likelier."""
    rows = []
    for place, letter in enumerate(text):
        row = torch.full((4,), 0.01)
        if place < len(doubtful) and doubtful[place] == "?":
            row[TOKENIZER.encode("a")[0]], row[TOKENIZER.encode("b")[0]] = 0.53, DOUBTFUL
        else:
            row[TOKENIZER.encode(f"a{letter}a")[1]] = PLAIN
        rows += [row, torch.tensor([PLAIN, 0.01, 0.01, 0.01])]
    return (torch.stack(rows) / torch.stack(rows).sum(-1, keepdim=True)).log()


def emissions(*utterances: tuple[str, str]) -> Emissions:
    """Of utterances, each a text and its doubtful places; all of one length, one batch."""
    log_probs = torch.stack([heard(text, doubtful) for text, doubtful in utterances])
    lengths = torch.full((len(utterances),), log_probs.shape[1])
    return Emissions(((log_probs, lengths),), tuple(text for text, _ in utterances))


@pytest.fixture(scope="module")
def lm() -> asr.lm.NgramModel:
    """Says that b is said after a, and a after b."""
    return asr.lm.train(["a b a b", "a b", "b a b", "a b a"] * 3, order=2, fallback=(0.5, 1.0, 1.5))


HELPED = emissions(("a b a", "  ?  "), ("a b b", "  ?  "), ("b a b", "     "))


def test_the_language_model_repairs_what_greedy_mishears(lm: asr.lm.NgramModel) -> None:
    tuning = tune(HELPED, TOKENIZER, NORMALIZER, lm, beam_size=10)
    assert tuning.greedy_wer == pytest.approx(2 / 9)
    assert tuning.beam_wer == pytest.approx(2 / 9)
    assert tuning.best.wer < tuning.greedy_wer
    assert not tuning.is_fault
    assert tuning.weights.lm_weight == tuning.best.lm_weight > 0
    assert (tuning.weights.dev_wer, tuning.weights.greedy_dev_wer) == (tuning.best.wer, tuning.greedy_wer)


def test_a_model_of_characters_is_weighed_by_characters() -> None:
    """It has never read "aba", but that b follows a."""
    lm = asr.lm.train(["ab abab ab", "ababab"] * 3, order=2, unit="character")
    corpus = emissions(("aba ba", " ?    "), ("ababab", "     ?"))
    tuning = tune(corpus, TOKENIZER, NORMALIZER, lm, beam_size=10)
    assert (tuning.greedy_wer, tuning.best.wer) == (pytest.approx(2 / 3), 0.0)
    assert (tuning.weights.character_bonus, tuning.weights.word_bonus) == (tuning.best.bonus, 0.0)
    assert {point.unknown_score for point in tuning.points} == {UNKNOWN_SCORE}, "it knows all words"
    assert "character_bonus" in str(render(tuning).title)


def test_the_coarse_grid_is_searched_and_then_the_neighbourhood_of_the_best(lm: asr.lm.NgramModel) -> None:
    calls = []
    tuning = tune(HELPED, TOKENIZER, NORMALIZER, lm, 10, lambda done, most: calls.append((done, most)))
    searched = {(point.lm_weight, point.bonus, point.unknown_score) for point in tuning.points}
    assert len(searched) == len(tuning.points), "none twice"
    assert {(weight, bonus, UNKNOWN_SCORE) for weight in LM_WEIGHTS for bonus in WORD_BONUSES} <= searched
    assert {price for _, _, price in searched} == {UNKNOWN_SCORE, *UNKNOWN_SCORES}
    assert len(LM_WEIGHTS) * len(WORD_BONUSES) < len(searched) <= calls[-1][1]
    assert calls[-1][0] == len(searched)
    finest = 0.5 / 2**REFINEMENTS
    assert all(math.isclose(weight / finest, round(weight / finest)) and weight >= 0 for weight, _, _ in searched)
    assert all(point.wer >= tuning.best.wer for point in tuning.points)


def other_words() -> tuple[asr.lm.NgramModel, Emissions]:
    """A language model that knows "ba" only, so every a and b costs a price; and leaving out the space that parts them
    costs nothing."""
    frames = heard("b a")
    space, b = TOKENIZER.encode("b a")[1], TOKENIZER.encode("b")[0]
    row = torch.full((4,), 0.005)
    row[space], row[0] = 0.5, 0.49
    frames[4] = (row / row.sum()).log()
    assert frames.argmax(-1).tolist()[:5:4] == [b, space]
    corpus = Emissions(((frames[None], torch.tensor([len(frames)])),), ("b a",))
    return asr.lm.train(["ba"] * 5, order=1, fallback=(0.5, 1.0, 1.5)), corpus


def test_a_language_model_that_does_harm_at_any_weights_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.decoding.tune.UNKNOWN_SCORES", ())
    other, corpus = other_words()
    assert tune(corpus, TOKENIZER, NORMALIZER, other, beam_size=10).is_fault


def test_a_language_model_of_other_words_does_no_harm_where_they_are_cheap_but_does_not_help() -> None:
    other, corpus = other_words()
    tuning = tune(corpus, TOKENIZER, NORMALIZER, other, beam_size=10)
    assert tuning.best.wer == tuning.plain_wer == tuning.greedy_wer > 0
    assert tuning.best.unknown_score in UNKNOWN_SCORES
    assert tuning.is_fault


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_language_model_in_another_case_is_a_fault(unit: Unit) -> None:
    shouted = asr.lm.train(["A B A B", "A B", "B A B", "A B A"] * 3, order=2, fallback=(0.5, 1.0, 1.5), unit=unit)
    tuning = tune(HELPED, TOKENIZER, NORMALIZER, shouted, beam_size=10)
    assert tuning.best.wer == tuning.plain_wer == tuning.greedy_wer, "left out, it does no harm"
    assert tuning.is_fault


def test_where_nothing_is_wrong_dev_finds_no_fault_but_with_what_makes_errors(lm: asr.lm.NgramModel) -> None:
    good = tune(emissions(("a b a", ""), ("b a b", "")), TOKENIZER, NORMALIZER, lm, beam_size=10)
    assert not good.is_fault
    points = (Point(0.0, 0.0, -10.0, 0.2, 0.1), Point(0.5, 0.0, -10.0, 0.1, 0.0))
    assert replace(good, points=points).is_fault


def test_knowing_the_words_alone_may_help(lm: asr.lm.NgramModel) -> None:
    tuning = tune(HELPED, TOKENIZER, NORMALIZER, lm, beam_size=10)
    points = (Point(0.0, 0.5, -2.5, 0.04, 0.1), Point(0.5, 0.5, -2.5, 0.06, 0.0))
    assert not replace(tuning, points=points, greedy_wer=0.05, beam_wer=0.05).is_fault
    assert replace(tuning, points=points, greedy_wer=0.05, beam_wer=0.04).is_fault


def test_where_dev_does_not_decide_the_weights_stay_near_the_untuned(lm: asr.lm.NgramModel) -> None:
    tuning = tune(emissions(("a b a", ""), ("b a b", "")), TOKENIZER, NORMALIZER, lm, beam_size=10)
    assert tuning.best.wer == tuning.greedy_wer == 0.0
    assert sum(point.wer == 0.0 for point in tuning.points) > 1, "several are as good"
    best = tuning.best
    assert (best.lm_weight, best.bonus, best.unknown_score) == (LM_WEIGHT, WORD_BONUS, UNKNOWN_SCORE)


def test_what_was_found_is_shown(lm: asr.lm.NgramModel, tmp_path) -> None:
    from rich.console import Console

    tuning = tune(HELPED, TOKENIZER, NORMALIZER, lm, beam_size=10)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(tuning))
    shown = console.export_text()
    assert shown.count(".") >= len(tuning.surface)
    assert f"{100 * tuning.best.wer:.2f}" in shown
    draw(tuning, tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")

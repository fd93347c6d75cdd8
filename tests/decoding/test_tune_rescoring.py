"""Tuning of rescoring on emissions made by hand: a beam that is wrong, and language models that do and do not know."""

import pytest
from test_tune import NORMALIZER, TOKENIZER, emissions

import asr.lm
from asr.decoding.decoder import TunedWeights
from asr.decoding.tune_rescoring import LM_WEIGHTS, SHARES, WORD_BONUSES, tune_rescoring

BEFORE = TunedWeights(lm_weight=0.25, word_bonus=0.5, beam_size=10, dev_wer=0.0, greedy_dev_wer=0.0)
HEARD = emissions(("a b a", "  ?  "), ("a b b", "  ?  "), ("b a b", "     "))


class Fond:
    """A language model that gives each b, or each other letter, a price."""

    def __init__(self, letter: str, price: float) -> None:
        self.letter, self.price = letter, price

    def log_probs(self, texts) -> list[float]:
        return [-self.price * sum(letter not in (" ", self.letter) for letter in text) for text in texts]


@pytest.fixture(scope="module")
def lm() -> asr.lm.NgramModel:
    """Says nothing of what is said when."""
    return asr.lm.train(["a b", "b a", "a", "b"], order=1, fallback=(0.5, 1.0, 1.5))


def test_a_model_that_knows_better_repairs_the_beam(lm: asr.lm.NgramModel) -> None:
    tuning = tune_rescoring(HEARD, TOKENIZER, NORMALIZER, lm, Fond("b", 1.0), BEFORE, beam_size=10)
    assert tuning.beam_wer == pytest.approx(2 / 9)
    assert tuning.wer == tuning.oracle_wer == 0.0
    assert not tuning.is_fault
    assert [each.share for each, _ in tuning.best] == list(SHARES)
    assert tuning.weights.lm_weight in LM_WEIGHTS
    assert tuning.weights.word_bonus in WORD_BONUSES


def test_among_equals_the_weights_stay_near_those_of_the_search(lm: asr.lm.NgramModel) -> None:
    plain = emissions(("a b a", ""), ("b a b", ""))
    tuning = tune_rescoring(plain, TOKENIZER, NORMALIZER, lm, Fond("a", 0.1), BEFORE, beam_size=10)
    assert tuning.wer == tuning.beam_wer == 0.0
    assert (tuning.weights.lm_weight, tuning.weights.word_bonus) == (0.25, 0.5)


def test_a_model_that_knows_nothing_of_it_is_a_fault(lm: asr.lm.NgramModel) -> None:
    """It wants letters to be a, whatever is heard, at any price that a weight of the grid can give."""
    plain = emissions(("b b b", ""), ("b a b", ""))
    tuning = tune_rescoring(plain, TOKENIZER, NORMALIZER, lm, Fond("a", 1000.0), BEFORE, beam_size=30)
    assert tuning.beam_wer == 0.0
    assert tuning.wer > 0.0
    assert tuning.is_fault


def test_a_model_that_repairs_nothing_is_a_fault(lm: asr.lm.NgramModel) -> None:
    """It is indifferent, so that it leaves the errors of the search where there are some."""
    tuning = tune_rescoring(HEARD, TOKENIZER, NORMALIZER, lm, Fond("c", 0.0), BEFORE, beam_size=10)
    assert tuning.wer == tuning.beam_wer == pytest.approx(2 / 9)
    assert tuning.is_fault

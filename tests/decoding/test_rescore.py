"""Rescoring in worlds of two or three readings, where it is plain which one must win."""

import math
from collections.abc import Sequence

import pytest

from asr.config import TextConfig
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.rescore import RescoringWeights, SearchWeights, rescore
from asr.decoding.tune_rescoring import collect
from asr.text.normalize import Normalizer

BEFORE = SearchWeights(lm_weight=0.5, word_bonus=1.0)
NORMALIZER = Normalizer(TextConfig())


class Opinions:
    """A language model that knows a few texts."""

    def __init__(self, **log_probs: float) -> None:
        self.known = {text.replace("_", " "): log_prob for text, log_prob in log_probs.items()}

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        return [self.known[text] for text in texts]


def reading(text: str, acoustic: float, ngram: float, extras: float = 0.0) -> Hypothesis:
    """As beam search scores it; `extras` is what hotwords add."""
    score = acoustic + BEFORE.lm_weight * ngram + BEFORE.word_bonus * len(text.split()) + extras
    return Hypothesis(text, (), score, acoustic, ngram, ())


def weights(share: float, lm_weight: float = 0.5, word_bonus: float = 1.0) -> RescoringWeights:
    return RescoringWeights(share=share, lm_weight=lm_weight, word_bonus=word_bonus)


BUGS, BUNNY = reading("bugs", -1.0, -4.0), reading("bunny", -1.5, -4.0)
FOND = Opinions(bugs=-8.0, bunny=-2.0)


def test_the_recurrent_model_flips_the_winner() -> None:
    [[first, second]] = rescore([[BUGS, BUNNY]], FOND, BEFORE, weights(share=1.0))
    assert (first.text, second.text) == ("bunny", "bugs")
    assert first.score == pytest.approx(-1.5 + 0.5 * -2.0 + 1.0)
    assert second.score == pytest.approx(-1.0 + 0.5 * -8.0 + 1.0)
    assert (first.lm_score, first.acoustic_score) == (-2.0, -1.5)


def test_it_does_not_where_the_audio_is_clear_or_its_share_is_small() -> None:
    clear = reading("bugs", -0.1, -4.0), reading("bunny", -9.0, -4.0)
    assert rescore([clear], FOND, BEFORE, weights(share=1.0))[0][0].text == "bugs"
    assert rescore([[BUGS, BUNNY]], FOND, BEFORE, weights(share=0.1))[0][0].text == "bugs"


def test_mixture_by_hand() -> None:
    [[first, _]] = rescore([[BUGS, BUNNY]], FOND, BEFORE, weights(share=0.25, lm_weight=2.0, word_bonus=3.0))
    assert first.text == "bunny"
    assert first.lm_score == pytest.approx(0.75 * -4.0 + 0.25 * -2.0)
    assert first.score == pytest.approx(-1.5 + 2.0 * (0.75 * -4.0 + 0.25 * -2.0) + 3.0)


def test_without_a_share_and_with_the_same_weights_nothing_changes() -> None:
    [found] = rescore([[BUGS, BUNNY]], FOND, BEFORE, weights(share=0.0))
    assert [each.text for each in found] == ["bugs", "bunny"]
    assert [each.score for each in found] == [pytest.approx(BUGS.score), pytest.approx(BUNNY.score)]


def test_what_hotwords_gave_stays() -> None:
    listened = reading("bugs", -1.0, -4.0, extras=5.0)
    [[first, _]] = rescore([[listened, BUNNY]], FOND, BEFORE, weights(share=1.0))
    assert first.text == "bugs"
    assert first.score == pytest.approx(-1.0 + 5.0 + 0.5 * -8.0 + 1.0)


def test_utterances_do_not_meet_and_the_impossible_stays_so() -> None:
    never = reading("bunny", -math.inf, -4.0)
    lists = rescore([[BUNNY], [], [BUGS, never]], FOND, BEFORE, weights(share=1.0))
    assert [[each.text for each in found] for found in lists] == [["bunny"], [], ["bugs", "bunny"]]
    assert lists[2][1].score == -math.inf


def test_readings_are_chosen_as_rescoring_does() -> None:
    lists = [[BUGS, BUNNY], [reading("a b", -1.0, -3.0), reading("a", -2.0, -2.0), reading("b", -3.0, -2.0)]]
    opinions = Opinions(bugs=-8.0, bunny=-2.0, a_b=-5.0, a=-1.0, b=-4.0)
    references = ("bunny", "A b")
    readings = collect(lists, [NORMALIZER(text) for text in references], NORMALIZER, opinions, BEFORE)
    for share in (0.0, 0.3, 1.0):
        for lm_weight, word_bonus in ((0.5, 1.0), (2.0, -1.0), (0.1, 4.0)):
            chosen = weights(share, lm_weight, word_bonus)
            texts = [found[0].text for found in rescore(lists, opinions, BEFORE, chosen)]
            wrong = (texts[0] != "bunny") + {"a b": 0, "a": 1, "b": 1}[texts[1]]
            assert readings.wer(chosen) == pytest.approx(wrong / 3)

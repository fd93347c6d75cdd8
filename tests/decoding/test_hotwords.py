"""Tiny worlds where hotwords must change the winner, and where they must not."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from asr.decoding.beam import BeamSearch
from asr.decoding.hotwords import build_automaton, follow, parse_hotword, read_hotwords
from asr.errors import ConfigError, TextError
from asr.text import CharTokenizer

TOKENIZER = CharTokenizer("abckrio ")


def heard(*frames: dict[str, float]) -> torch.Tensor:
    """One frame for each character, the given ones with their probabilities, a blank after each; shape (frames, 9)."""
    log_probs = torch.full((2 * len(frames), TOKENIZER.size), 1e-6, dtype=torch.float64)
    for number, frame in enumerate(frames):
        for character, probability in frame.items():
            log_probs[2 * number, TOKENIZER.tokens.index(character)] = probability
        log_probs[2 * number + 1, 0] = 1.0
    return (log_probs / log_probs.sum(dim=1, keepdim=True)).log()


def spelled(text: str, other: str, share: float) -> torch.Tensor:
    """A recording of `text`, whose frames give `share` to the characters of `other`."""
    frames = [{a: 1.0} if a == b else {a: 1 - share, b: share} for a, b in zip(text, other, strict=True)]
    return heard(*frames)


def test_a_hotword_flips_the_winner() -> None:
    log_probs = spelled("a kira", "a kiro", 0.2)
    assert BeamSearch(TOKENIZER)(log_probs)[0].text == "a kira"
    plain = BeamSearch(TOKENIZER, nbest=9)(log_probs)
    (best,) = BeamSearch(TOKENIZER, hotwords={"kiro": 2.0})(log_probs)
    assert best.text == "a kiro"
    (same,) = [hypothesis for hypothesis in plain if hypothesis.text == "a kiro"]
    assert best.acoustic_score == pytest.approx(same.acoustic_score, abs=1e-9)
    assert best.score == pytest.approx(same.acoustic_score + 2.0, abs=1e-9)


def test_a_boost_smaller_than_the_evidence_does_not() -> None:
    log_probs = spelled("a kira", "a kiro", 0.2)  # ln(0.8 / 0.2) = 1.386
    assert BeamSearch(TOKENIZER, hotwords={"kiro": 1.3})(log_probs)[0].text == "a kira"
    assert BeamSearch(TOKENIZER, hotwords={"kiro": 1.5})(log_probs)[0].text == "a kiro"


@pytest.mark.parametrize("hotword", ["iro", "kir", "a", "kiroa", "b kiro"])
def test_parts_of_words_and_phrases_begun_do_not(hotword: str) -> None:
    log_probs = spelled("c kira", "c kiro", 0.2)
    best = BeamSearch(TOKENIZER, hotwords={hotword: 8.0})(log_probs)[0]
    assert (best.text, best.score) == ("c kira", pytest.approx(best.acoustic_score, abs=1e-12))


def test_credit_keeps_a_long_phrase_in_a_narrow_beam() -> None:
    log_probs = spelled("ab cab ab", "ac cac ac", 0.3)
    search = BeamSearch(TOKENIZER, 2, hotwords={"ac cac ac": 6.0})
    assert search(log_probs)[0].text == "ac cac ac"


def test_overlapping_phrases_each_count() -> None:
    log_probs = spelled("ab cab ab", "ab cab ab", 0.0)
    best = BeamSearch(TOKENIZER, hotwords={"ab cab": 1.0, "cab ab": 2.0, "ab": 0.5, "cab": 0.25})(log_probs)[0]
    assert best.score - best.acoustic_score == pytest.approx(1.0 + 2.0 + 2 * 0.5 + 0.25, abs=1e-9)


def test_a_hotword_outside_the_lexicon_may_be_said() -> None:
    log_probs = spelled("kira", "kiro", 0.4)
    assert BeamSearch(TOKENIZER, lexicon=["kira"])(log_probs)[0].text == "kira"
    assert BeamSearch(TOKENIZER, lexicon=["kira"], hotwords={"kiro": 3.0})(log_probs)[0].text == "kiro"


def test_the_automaton_counts_like_a_reader() -> None:
    """Every text of seven characters over "ab " against counting words."""
    phrases = {"a": 1.0, "a b": 10.0, "b a b": 100.0, "ab": 0.03, "b": 0.5}
    tokenizer = CharTokenizer("ab ")
    automaton = build_automaton(phrases, tokenizer)
    for characters in itertools.product("ab ", repeat=7):
        text = "".join(characters)
        if "  " in text or text.startswith(" "):
            continue
        state, total = 1, 0.0
        for character in text + " " * (not text.endswith(" ")):
            total += automaton.states["boost"][state] if character == " " else 0.0
            state = follow(automaton, state, ord(character))
        words = text.split()
        expected = sum(
            boost * sum(words[i : i + len(phrase.split())] == phrase.split() for i in range(len(words)))
            for phrase, boost in phrases.items()
        )
        assert total == pytest.approx(expected), text


def test_parsing() -> None:
    assert parse_hotword("Kirov:8") == ("Kirov", 8.0)
    assert parse_hotword(" new  york :-1.5") == ("new york", -1.5)
    assert parse_hotword("12:30 train\t4") == ("12:30 train", 4.0)
    for wrong in ("Kirov", ":8", "Kirov:", "Kirov:many", "Kirov:nan", "Kirov:1e9"):
        with pytest.raises(ConfigError, match="is not a hotword; write word:boost"):
            parse_hotword(wrong)


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "hot.txt"
    path.write_text("Kirov:8\n\nnew york\t5\n", encoding="utf-8")
    assert read_hotwords(path) == {"Kirov": 8.0, "new york": 5.0}
    path.write_text("Kirov:8\n", encoding="utf-8-sig")
    assert read_hotwords(path) == {"Kirov": 8.0}
    path.write_text("Kirov:8\nMoscow\n")
    with pytest.raises(ConfigError, match=r"hot.txt:2: 'Moscow' is not a hotword"):
        read_hotwords(path)
    path.write_text("Kirov:8\nKirov:9\n")
    with pytest.raises(ConfigError, match=r"hot.txt:2: 'Kirov' stands here for the second time"):
        read_hotwords(path)
    with pytest.raises(ConfigError, match="cannot be read as hotwords"):
        read_hotwords(tmp_path / "none.txt")


def test_impossible_hotwords_are_named() -> None:
    with pytest.raises(TextError, match=r"hotwords: .*'xy' \('x' U\+0078, 'y' U\+0079\)"):
        BeamSearch(TOKENIZER, hotwords={"xy": 1.0})
    with pytest.raises(ConfigError, match="'kiro': boost inf"):
        BeamSearch(TOKENIZER, hotwords={"kiro": math.inf})

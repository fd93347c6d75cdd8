"""Word times against truth built by hand: frames of 40 ms, half a frame to either side, edges reaching 100 ms."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.decoding import Hypothesis, TokenSpan, timed, words
from asr.text import CharTokenizer

FRAME = 0.04
CHARACTERS = CharTokenizer("abc '")
SUBWORDS = SimpleNamespace(tokens=("", " a", "b", " ", "c", " a c"))


def span(tokenizer, text, start, end=None, confidence=1.0):
    return TokenSpan(tokenizer.tokens.index(text), start, end or start + 1, confidence)


def times(found):
    return [(word.text, word.start, word.end) for word in found]


def test_edges_reach_into_a_wide_gap():
    spans = [span(CHARACTERS, "a", 10), span(CHARACTERS, "b", 12), span(CHARACTERS, " ", 14), span(CHARACTERS, "c", 40)]
    first, second = words(spans, CHARACTERS, FRAME, duration=3.0)
    assert (first.text, second.text) == ("ab", "c")
    assert (first.start, first.end) == pytest.approx((0.38 - 0.1, 0.50 + 0.1))
    assert (second.start, second.end) == pytest.approx((1.58 - 0.1, 1.62 + 0.1))


def test_edges_meet_in_the_middle_of_a_narrow_gap():
    spans = [span(CHARACTERS, "a", 10), span(CHARACTERS, " ", 12), span(CHARACTERS, "b", 14, 16)]
    first, second = words(spans, CHARACTERS, FRAME, duration=3.0)
    assert first.end == second.start == pytest.approx(12 * FRAME)
    assert second.end == pytest.approx(15.5 * FRAME + 0.1)


def test_words_stay_inside_the_recording():
    (word,) = words([span(CHARACTERS, "a", 0), span(CHARACTERS, "b", 5)], CHARACTERS, FRAME, duration=0.2)
    assert (word.start, word.end) == (0.0, 0.2)


def test_tokens_are_timed_where_they_are_heard():
    """Three silent frames before "ab", then c."""
    path = [0, 0, 0, 1, 2, 4, 0, 0, 3, 0]
    log_probs = torch.full((len(path), CHARACTERS.size), 1e-3).log()
    log_probs[range(len(path)), path] = 0.0
    tokens = tuple(CHARACTERS.encode("ab c"))
    assert tokens == (1, 2, 4, 3)
    heard = timed(Hypothesis("ab c", tokens, -1.0, -1.0, 0.0, ()), log_probs, CHARACTERS, FRAME)
    assert (heard.text, heard.tokens, heard.score) == ("ab c", tokens, -1.0)
    assert times(heard.words) == [
        ("ab", pytest.approx(2.5 * FRAME - 0.1), pytest.approx(6 * FRAME)),
        ("c", pytest.approx(6 * FRAME), pytest.approx(9.5 * FRAME)),
    ]


def test_a_subword_that_opens_with_a_space_opens_a_word():
    spans = [span(SUBWORDS, piece, 10 * n) for n, piece in enumerate([" a", "b", " a", " ", "c", "b"])]
    assert [word.text for word in words(spans, SUBWORDS, FRAME, 9.0)] == ["ab", "a", "cb"]


def test_a_subword_with_a_space_inside_belongs_to_both_words():
    found = words([span(SUBWORDS, " a c", 5, 9), span(SUBWORDS, "b", 10)], SUBWORDS, FRAME, 9.0)
    assert [word.text for word in found] == ["a", "cb"]
    assert found[0].end <= found[1].start


def test_confidence_is_the_geometric_mean_without_spaces():
    spans = [span(CHARACTERS, "a", 1, confidence=0.9), span(CHARACTERS, "b", 2, confidence=0.4)]
    spans += [span(CHARACTERS, " ", 3, confidence=0.01), span(CHARACTERS, "c", 4, confidence=0.0)]
    first, second = words(spans, CHARACTERS, FRAME, 9.0)
    assert first.confidence == pytest.approx(0.6)
    assert second.confidence == 0.0


@pytest.mark.parametrize("text", ["", " ", "   "])
def test_no_letters_no_words(text):
    assert words([span(CHARACTERS, c, n) for n, c in enumerate(text)], CHARACTERS, FRAME, 1.0) == ()


@given(
    st.lists(st.tuples(st.sampled_from("ab "), st.integers(0, 9), st.integers(1, 4), st.floats(0, 1)), max_size=20),
    st.sampled_from([0.01, 0.02, 0.04, 1 / 30]),
    st.floats(0, 1),
)
def test_words_are_ordered_apart_and_inside(pieces, frame_seconds, cut):
    spans, frame = [], 0
    for character, gap, size, confidence in pieces:
        spans.append(span(CHARACTERS, character, frame + gap, frame + gap + size, confidence))
        frame += gap + size
    duration = cut * frame * frame_seconds
    found = words(spans, CHARACTERS, frame_seconds, duration)
    assert " ".join(word.text for word in found) == " ".join("".join(piece[0] for piece in pieces).split())
    edges = list(itertools.chain.from_iterable((word.start, word.end) for word in found))
    assert edges == sorted(edges)
    assert all(0.0 <= edge <= duration for edge in edges)
    assert all(0.0 <= word.confidence <= 1.0 for word in found)

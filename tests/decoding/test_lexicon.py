from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from asr.decoding.lexicon import OUTSIDE, START, build_trie, child, read_lexicon, spell
from asr.errors import TextError
from asr.text import CharTokenizer


@settings(deadline=None)  # the first call may compile
@given(st.sets(st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple), max_size=40))
def test_the_trie_holds_the_sequences_and_nothing_else(sequences: set[tuple[int, ...]]) -> None:
    given_order = sorted(sequences, key=hash)
    trie = build_trie(given_order)
    beginnings = {sequence[:length] for sequence in sequences for length in range(1, len(sequence) + 1)}
    reached = {(): START}
    for beginning in sorted(beginnings, key=len):
        node = child(trie, reached[beginning[:-1]], beginning[-1])
        assert node not in (OUTSIDE, *reached.values())
        reached[beginning] = node
        item = trie["item"][node]
        assert (given_order[item] if item >= 0 else None) == (beginning if beginning in sequences else None)
    for beginning, node in reached.items():
        for token in range(7):
            if (*beginning, token) not in beginnings:
                assert child(trie, node, token) == OUTSIDE
    assert len(trie) == len(beginnings) + 3  # outside, start, and the record that ends the array


def test_words_that_cannot_be_spelled_are_named() -> None:
    with pytest.raises(TextError, match=r"lexicon: .*'naïve' \('ï' U\+00EF\), 'x1' \('1' U\+0031\); remove them"):
        spell(["navel", "naïve", "x1"], CharTokenizer("aeilnvx"))
    with pytest.raises(TextError, match="and 5 more"):
        spell([f"a{'b' * n}" for n in range(1, 16)], CharTokenizer("a"))


def test_spelling_keeps_each_word_once() -> None:
    assert spell(["ab", "b", "ab"], CharTokenizer("ab")) == {"ab": (1, 2), "b": (2,)}


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("one\n\n two \nüber\n", encoding="utf-8")
    assert read_lexicon(path) == ["one", "two", "über"]
    path.write_text("one\ntwo\n", encoding="utf-8-sig")
    assert read_lexicon(path) == ["one", "two"]
    path.write_text("one\ntwo three\n")
    with pytest.raises(TextError, match=r"words.txt:2: more than one word"):
        read_lexicon(path)
    path.write_text("\n \n")
    with pytest.raises(TextError, match=r"words\.txt: holds no word"):
        read_lexicon(path)
    with pytest.raises(TextError, match="cannot be read as a lexicon"):
        read_lexicon(tmp_path / "none.txt")

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from asr.decoding.lexicon import OUTSIDE, START, build_trie, child, read_lexicon, writable
from asr.errors import TextError
from asr.text import CharTokenizer


@settings(deadline=None)  # the first call may compile
@given(st.sets(st.text("ab ß🙂", min_size=1, max_size=6), max_size=40))
def test_the_trie_holds_the_texts_and_nothing_else(texts: set[str]) -> None:
    given_order = sorted(texts, key=hash)
    trie = build_trie(given_order)
    beginnings = {text[:length] for text in texts for length in range(1, len(text) + 1)}
    reached = {"": START}
    for beginning in sorted(beginnings, key=len):
        node = child(trie, reached[beginning[:-1]], ord(beginning[-1]))
        assert node not in (OUTSIDE, *reached.values())
        reached[beginning] = node
        item = trie["item"][node]
        assert (given_order[item] if item >= 0 else None) == (beginning if beginning in texts else None)
    for beginning, node in reached.items():
        for character in "ab ß🙂c":
            if beginning + character not in beginnings:
                assert child(trie, node, ord(character)) == OUTSIDE
    assert len(trie) == len(beginnings) + 3  # outside, start, and the record that ends the array


def test_words_that_cannot_be_written_are_named() -> None:
    with pytest.raises(TextError, match=r"lexicon: .*'naïve' \('ï' U\+00EF\), 'x1' \('1' U\+0031\); remove them"):
        writable(["navel", "naïve", "x1"], CharTokenizer("aeilnvx"))
    with pytest.raises(TextError, match="and 5 more"):
        writable([f"a{'b' * n}" for n in range(1, 16)], CharTokenizer("a"))
    with pytest.raises(TextError, match=r"'' \(nothing to write\)"):
        writable(["a", ""], CharTokenizer("a"))


def test_each_word_is_kept_once() -> None:
    assert writable(["ab", "b", "ab"], CharTokenizer("ab")) == ["ab", "b"]


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

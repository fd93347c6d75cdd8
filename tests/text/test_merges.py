"""BPE-dropout: SentencePiece's own subwords where nothing is dropped, probabilities worked out by hand where it is."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.config import TokenizerConfig
from asr.text import build_tokenizer
from asr.text.merges import Merges, merge

TEXTS = [
    "the cat sat on the mat",
    "the dog ate the cat's hat",
    "that hat sat there",
    "grüße an the cats",
    "aaa aa aaaa",
]
TOKENIZER = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=45), TEXTS)
MERGES = Merges(TOKENIZER.tokens)
WORDS = st.lists(st.text(sorted(set("".join(TEXTS)) - {" "}), min_size=1), max_size=8).map(" ".join)
DRAWS = 20_000


def frequencies(word: str, ranks: dict[str, int], dropout: float) -> dict[str, float]:
    random = Random(0)
    found = Counter(" ".join(merge(word, ranks, dropout, random)) for _ in range(DRAWS))
    return {pieces: count / DRAWS for pieces, count in found.items()}


@given(text=WORDS | st.sampled_from(TEXTS))
def test_without_dropout_it_is_sentencepiece(text: str) -> None:
    assert MERGES.encode(text, 0.0, Random(0)) == TOKENIZER.encode(text)


def test_some_of_those_subwords_are_long() -> None:
    assert max(len(TOKENIZER.tokens[token]) for text in TEXTS for token in TOKENIZER.encode(text)) > 3


def test_with_every_merge_dropped_tokens_are_characters() -> None:
    tokens = MERGES.encode("the cat", 1.0, Random(0))
    assert [TOKENIZER.tokens[token] for token in tokens] == list(" the cat")


@given(text=WORDS, dropout=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_whatever_is_dropped_the_text_is_the_same(text: str, dropout: float, seed: int) -> None:
    tokens = MERGES.encode(text, dropout, Random(seed))
    assert TOKENIZER.decode(tokens) == text
    assert tokens == MERGES.encode(text, dropout, Random(seed))


def test_the_lowest_rank_is_joined_first_and_of_equals_the_leftmost() -> None:
    assert merge("abc", {"ab": 2, "bc": 1}, 0.0, Random(0)) == ["a", "bc"]
    assert merge("aaa", {"aa": 1}, 0.0, Random(0)) == ["aa", "a"]


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_one_possible_merge_is_made_with_the_probability_that_it_is_kept(p: float) -> None:
    assert frequencies("ab", {"ab": 1}, p) == pytest.approx({"ab": 1 - p, "a b": p}, abs=0.015)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_what_was_dropped_may_be_joined_after_another_merge(p: float) -> None:
    # Both kept in turn; or the first one dropped, the second joined, and then the first, drawn for anew, as well.
    both = (1 - p) ** 2 + p * (1 - p) * (1 - p)
    expected = {"ab cd": both, "ab c d": (1 - p) * p, "a b cd": p * (1 - p) * p, "a b c d": p**2}
    assert sum(expected.values()) == pytest.approx(1.0)
    assert frequencies("abcd", {"ab": 1, "cd": 2}, p) == pytest.approx(expected, abs=0.015)

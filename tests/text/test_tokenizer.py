import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.config import TokenizerConfig
from asr.errors import BundleError, TextError
from asr.text.tokenizer import BpeTokenizer, CharTokenizer, Tokenizer, build_tokenizer, check_coverage, load_tokenizer

TEXTS = ["the cat sat on the mat", "the dog ate the cat's hat", "grüße the cat", "a\u0323b"]
CHAR = build_tokenizer(TokenizerConfig(), TEXTS)
BPE = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=30), TEXTS)
KINDS = pytest.mark.parametrize("tokenizer", [CHAR, BPE], ids=["char", "bpe"])
WORDS = st.lists(st.text(sorted(set("".join(TEXTS)) - {" "}), min_size=1), min_size=0).map(" ".join)


def test_characters_are_numbered_in_the_given_order() -> None:
    tokenizer = CharTokenizer("abc '")
    assert tokenizer.tokens == ("", "a", "b", "c", " ", "'")
    assert tokenizer.size == 6
    assert tokenizer.encode("cab a'") == [3, 1, 2, 4, 1, 5]


def test_characters_are_collected_and_sorted() -> None:
    assert build_tokenizer(TokenizerConfig(), ["ba", "é a"]).tokens == ("", " ", "a", "b", "é")
    assert build_tokenizer(TokenizerConfig(characters="zy"), ["ba"]).tokens == ("", "z", "y")


def test_subwords_are_merged_by_frequency() -> None:
    # Pairs: ab 5 times, " a" 3; then " ab" 3, " c" and "cab" 2.
    tokenizer = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=8), ["ab ab", "cab ab cab"])
    assert tokenizer.tokens[:3] == ("", "ab", " ab")
    assert set(tokenizer.tokens) > {" cab", "a", "b", "c", " "}
    assert tokenizer.size == 9


@KINDS
def test_every_token_is_of_use(tokenizer: Tokenizer) -> None:
    assert len(set(tokenizer.tokens)) == tokenizer.size == len(tokenizer.tokens)
    assert "" not in tokenizer.tokens[1:]


@KINDS
@given(text=WORDS)
def test_decoding_undoes_encoding(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert 0 not in ids
    assert tokenizer.decode(ids) == text
    assert "".join(tokenizer.tokens[index] for index in ids).split() == text.split()


@KINDS
def test_blanks_have_no_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("the cat")
    assert (
        tokenizer.decode([0, *(index for pair in zip(ids, [0] * len(ids), strict=True) for index in pair)]) == "the cat"
    )
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


@KINDS
def test_uncovered_characters_are_refused_all_at_once(tokenizer: Tokenizer) -> None:
    text = "the zoo, the\u2581zebra"
    assert tokenizer.uncovered(text) == Counter({"z": 2, ",": 1, "\u2581": 1})
    with pytest.raises(TextError, match=r"'z' \(U\+007A LATIN SMALL LETTER Z\), ',' .*U\+2581.*text\.drop") as caught:
        tokenizer.encode(text)
    assert "\n" not in str(caught.value)


@KINDS
def test_saved_loaded_and_pickled(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for copy in (load_tokenizer(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert copy.tokens == tokenizer.tokens
        assert copy.encode("the dog's hat") == tokenizer.encode("the dog's hat")


def test_bpe_is_the_same_in_every_process() -> None:
    program = (
        "import sys, hashlib\nfrom asr.config import TokenizerConfig\nfrom asr.text import build_tokenizer\n"
        f"model = build_tokenizer(TokenizerConfig(kind='bpe', vocabulary_size=30), {TEXTS!r}).model\n"
        "sys.stdout.write(model.hex())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert isinstance(BPE, BpeTokenizer)
    assert done.stdout == BPE.model.hex()
    assert done.stderr == ""


def test_bpe_reads_very_long_texts() -> None:
    tokenizer = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=8), ["abc " * 5000 + "q"])
    assert "q" in tokenizer.characters


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: CharTokenizer(""), "no characters; give"),
        (lambda: CharTokenizer("abca"), r"more than once: 'a' \(U\+0061"),
        (lambda: build_tokenizer(TokenizerConfig(), []), "no characters"),
        (lambda: build_tokenizer(TokenizerConfig(kind="bpe"), ["", " "]), "no text to learn"),
        (lambda: build_tokenizer(TokenizerConfig(kind="bpe"), TEXTS), "vocabulary_size to at most (\\d+)"),
        (lambda: build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=8), TEXTS), "at least 18"),
        (lambda: BpeTokenizer(b"junk"), "not a SentencePiece model"),
        (lambda: BpeTokenizer(b""), "empty"),
    ],
)
def test_impossible_vocabularies(action: Callable[[], Tokenizer], message: str) -> None:
    with pytest.raises(TextError, match=message):
        action()


def test_the_largest_vocabulary_named_in_the_remedy_works() -> None:
    with pytest.raises(TextError) as caught:
        build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=5000), TEXTS)
    limit = int(str(caught.value).split("at most ")[1].split(",")[0])
    assert build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=limit), TEXTS).size == limit + 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, b"", "no tokenizer.json and no tokenizer.model"),
        ("tokenizer.json", b"{", "cannot be read"),
        ("tokenizer.json", b"\xff", "cannot be read"),
        ("tokenizer.json", b'{"kind": "wordpiece"}', "expected"),
        ("tokenizer.json", b'{"kind": "char", "characters": "aa"}', "more than once"),
        ("tokenizer.model", b"junk", "tokenizer.model: .*not a SentencePiece model"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str | None, content: bytes, message: str) -> None:
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        load_tokenizer(tmp_path)


def test_coverage_lists_every_character_with_count_and_example() -> None:
    texts, ids = ["a cab", "café né", "b\u0301é a"], ["u1", "u2", "u3"]
    with pytest.raises(TextError) as caught:
        check_coverage("abc ", texts, ids)
    message = str(caught.value)
    assert "4 characters" in message
    assert "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE) 3x (first in u2), 'f'" in message
    assert "(U+0301 COMBINING ACUTE ACCENT) 1x (first in u3)" in message
    assert message.count("first in") == 4
    assert "text.replace" in message
    assert "\n" not in message


@KINDS
def test_coverage_of_what_was_learnt(tokenizer: Tokenizer) -> None:
    check_coverage(tokenizer, TEXTS)
    check_coverage("".join(tokenizer.characters), iter(TEXTS))
    with pytest.raises(TextError, match=r"1 characters outside.*'z' \(.*\) 2x;"):
        check_coverage(tokenizer, [*TEXTS, "zz"])
    with pytest.raises(TextError, match=r" 2x; train on, with transcripts that have them, map them"):
        check_coverage(tokenizer, [*TEXTS, "zz"], learned=True)

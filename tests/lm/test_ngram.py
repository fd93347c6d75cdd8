"""N-gram models: scores that equal KenLM's, and files that give back what was saved."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import sentences

from asr.errors import LanguageModelError
from asr.lm import NgramModel, load, read_arpa, train, write_arpa
from asr.lm.kneser_ney import FALLBACK
from asr.lm.ngram import BEGIN, END, MAGIC, ROOT, UNKNOWN, score

TINY = r"""
\data\
ngram 1=5
ngram 2=3
ngram 3=1

\1-grams:
-2.0	<unk>
0	<s>	-0.5
-1.0	</s>
-0.75	red	-0.25
-0.5	kite	-0.125

\2-grams:
-0.25	<s> red	-1.0
-0.375	red kite	0
-0.0625	kite </s>

\3-grams:
-0.03125	<s> red kite

\end\
"""


def model_of(folder: Path, text: str) -> NgramModel:
    path = folder / "model.arpa"
    path.write_text(text, encoding="utf-8")
    return load(path)


def log10_scores(model: NgramModel, words: str) -> list[float]:
    """Of each word after <s>, and of the end."""
    state, found = model.start(), []
    for word in words.split():
        log_prob, state = model.score(state, word)
        found.append(log_prob / math.log(10))
    return [*found, model.finish(state) / math.log(10)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("red kite", [-0.25, -0.03125, -0.0625]),
        ("kite", [-0.5 - 0.5, -0.0625]),
        ("red red", [-0.25, -1.0 - 0.25 - 0.75, -0.25 - 1.0]),
        ("red blue", [-0.25, -1.0 - 0.25 - 2.0, -1.0]),
        ("Red", [-0.5 - 2.0, -1.0]),
        ("<s>", [-0.5 - 2.0, -1.0]),
        ("kite kite kite", [-0.5 - 0.5, -0.125 - 0.5, -0.125 - 0.5, -0.0625]),
        ("", [-0.5 - 1.0]),
    ],
)
def test_tiny_world(tmp_path: Path, words: str, expected: list[float]) -> None:
    assert log10_scores(model_of(tmp_path, TINY), words) == pytest.approx(expected, abs=1e-7)


def test_states_forget_what_does_not_matter(tmp_path: Path) -> None:
    model = model_of(tmp_path, TINY)
    _, red = model.score(model.start(), "red")
    assert model.score(red, "kite")[1] == model.score(ROOT, "kite")[1], "no trigram begins with red kite"
    assert (model.order, model.counts, model.has_unknown) == (3, (5, 3, 1), True)


def test_unknown_word_of_a_model_without_one(tmp_path: Path) -> None:
    model = model_of(tmp_path, TINY.replace("-2.0\t<unk>\n", "").replace("1=5", "1=4"))
    assert not model.has_unknown
    assert log10_scores(model, "blue") == pytest.approx([-0.5 - 100.0, -1.0])
    write_arpa(model, tmp_path / "again.arpa")
    assert "<unk>" not in (tmp_path / "again.arpa").read_text()
    assert not load(tmp_path / "again.arpa").has_unknown


def kenlm_scores(model: Any, words: str) -> list[float]:
    return [log10_prob for log10_prob, _, _ in model.full_scores(words, bos=True, eos=True)]


def kenlm_model(path: Path) -> Any:
    return pytest.importorskip("kenlm", reason="the package kenlm is not installed").Model(str(path))


def paths(model: NgramModel) -> Iterator[str]:
    """Every n-gram as a sentence, and sentences that back off from it: with another word, with an unknown one."""
    random = np.random.default_rng(0)
    names = ["", *model.vocabulary]
    for words, _, _ in model.ngrams():
        for row in words.tolist():
            ngram = [names[word] for word in row if word not in (BEGIN, END)]
            other = names[random.integers(END + 1, len(names))]
            yield " ".join([*ngram, other, *ngram[1:]])
            yield " ".join([*ngram[:-1], "never-seen", *ngram])


@pytest.mark.parametrize(("order", "prune"), [(2, ()), (3, (0, 1)), (5, ()), (5, (0, 0, 1))])
def test_every_ngram_and_back_off_scores_as_in_kenlm(tmp_path: Path, order: int, prune: tuple[int, ...]) -> None:
    model = train(sentences(700), order, prune)
    write_arpa(model, tmp_path / "model.arpa")
    theirs = kenlm_model(tmp_path / "model.arpa")
    for words in paths(model):
        assert log10_scores(model, words) == pytest.approx(kenlm_scores(theirs, words), abs=2e-5), words


def test_suffixes_that_were_pruned(tmp_path: Path) -> None:
    """Where "red kite" is missing, though "<s> red kite" is there, as other toolkits write it."""
    text = TINY.replace("-0.375\tred kite\t0\n", "-9\tred red\n-9\tkite kite\n-9\tkite red\n-9\tred </s>\n")
    text = text.replace("2=3", "2=6")
    model, theirs = model_of(tmp_path, text), kenlm_model(tmp_path / "model.arpa")
    for words in ("red kite", "red kite kite", "kite red kite red", "red red kite", "red kite blue"):
        assert log10_scores(model, words) == pytest.approx(kenlm_scores(theirs, words), abs=1e-6)


@pytest.mark.parametrize("name", ["lm/emma.3.arpa.gz", "lm/emma.5.arpa.gz"])
def test_models_of_lmplz_score_as_in_kenlm(name: str) -> None:
    folder = Path(os.environ.get("ASR_BENCH", "none"))
    if not folder.is_dir():
        pytest.skip("ASR_BENCH does not name a folder with lm/emma.txt and the models lmplz made of it")
    model, theirs = load(folder / name), kenlm_model(folder / name)
    for line in (folder / "lm/emma.txt").read_text().splitlines()[::5]:
        words = " ".join(reversed(line.split()[::2]))
        assert log10_scores(model, words) == pytest.approx(kenlm_scores(theirs, words), abs=2e-5), words


@numba.njit  # type: ignore[misc]
def total(nodes: Any, leaves: Any, words: Any) -> float:
    state, log_probs = BEGIN, 0.0
    for word in words:
        log_prob, state = score(nodes, leaves, state, word)
        log_probs += log_prob
    return log_probs


def test_compiled_loops_score_models_trained_and_mapped_alike(tmp_path: Path) -> None:
    trained = train(sentences(600), 3)
    trained.save(tmp_path / "model")
    mapped = load(tmp_path / "model")
    words = [*map(trained.vocabulary.id, ["w1", "w4", "never", "w13"]), END]
    expected = sum(log10_scores(trained, "w1 w4 never w13")) * math.log(10)
    for model in (trained, mapped):
        assert total(model.nodes, model.leaves, np.array(words)) == pytest.approx(expected)
        with pytest.raises(ValueError, match="read-only"):
            model.nodes["word"][0] = 1
    assert len(total.signatures) == 1, "compiled once for both"


def same(one: NgramModel, other: NgramModel) -> bool:
    return (
        one.counts == other.counts
        and list(one.vocabulary) == list(other.vocabulary)
        and one.has_unknown == other.has_unknown
        and all(
            (mine == theirs).all()
            for ours, others in zip(one.ngrams(), other.ngrams(), strict=True)
            for mine, theirs in zip(ours, others, strict=True)
        )
    )


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t "), min_size=1, max_size=4)
LINES = st.lists(st.lists(WORDS | st.sampled_from("ab"), max_size=5).map(" ".join), min_size=1, max_size=6).filter(any)


@settings(max_examples=60, deadline=None)
@given(lines=LINES, order=st.integers(1, 4), pruned=st.booleans(), suffix=st.sampled_from(["arpa", "arpa.gz"]))
def test_arpa_and_binary_give_back_the_same_model(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], order: int, pruned: bool, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("model")
    model = train(lines, order, (0, 1) if pruned and order > 1 else (), FALLBACK)
    write_arpa(model, folder / f"a.{suffix}")
    first = read_arpa(folder / f"a.{suffix}")
    first.save(folder / "ngram.bin")
    second = load(folder)
    assert same(model, first)
    assert same(first, second)
    write_arpa(second, folder / f"b.{suffix}")
    assert (folder / f"a.{suffix}").read_bytes() == (folder / f"b.{suffix}").read_bytes()
    for line in lines:
        assert log10_scores(second, line) == log10_scores(model, line)


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    model = model_of(tmp_path, TINY)
    model.save(tmp_path / "new" / "ngram.bin")
    model.save(tmp_path / "new" / "ngram.bin")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["ngram.bin"]
    with pytest.raises(LanguageModelError, match=r"model\.arpa/ngram\.bin: cannot be written .*; choose another place"):
        model.save(tmp_path / "model.arpa" / "ngram.bin")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ngram.bin"
    model_of(tmp_path, TINY).save(path)
    whole = path.read_bytes()
    header = json.loads(whole[12 : 12 + int.from_bytes(whole[8:12], "little")])
    assert header["version"] == 1
    for length in (len(MAGIC), 11, 40, 200, len(whole) - 64):
        path.write_bytes(whole[:length])
        with pytest.raises(LanguageModelError, match=r"ngram\.bin: cut off or damaged; copy or train it again"):
            load(tmp_path)
    for old, new in ((b'"version"', b'"verzion"'), (b'"arrays"', b'"arrows"'), (b'"counts"', b'"courts"')):
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(LanguageModelError, match="cut off or damaged"):
            load(path)
    path.write_bytes(MAGIC + (2).to_bytes(4, "little") + b"[]" + bytes(64))
    with pytest.raises(LanguageModelError, match="cut off or damaged"):
        load(path)
    path.write_bytes(whole.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(LanguageModelError, match="written by a newer version of this package; update it"):
        load(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"none: no such language model; check the path"):
        load(tmp_path / "none")
    with pytest.raises(LanguageModelError, match=r"ngram\.bin: no such file; give the folder"):
        load(tmp_path)


def test_word_ids(tmp_path: Path) -> None:
    vocabulary = model_of(tmp_path, TINY).vocabulary
    assert list(vocabulary) == ["<unk>", "<s>", "</s>", "kite", "red"]
    assert [vocabulary.word(word) for word in range(1, 6)] == list(vocabulary)
    assert [vocabulary.id(word) for word in vocabulary] == [1, 2, 3, 4, 5]
    assert vocabulary.id("blue") == UNKNOWN
    assert "red" in vocabulary
    assert "re" not in vocabulary
    assert "" not in vocabulary
    for word in (0, 6, -1):
        with pytest.raises(IndexError, match="word ids are 1 to 5"):
            vocabulary.word(word)

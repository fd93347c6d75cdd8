"""Training, against a direct reading of the formulas, against lmplz, and for what must hold of any model."""

import math
import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sentences import sentences

from asr.errors import LanguageModelError
from asr.lm import load, train
from asr.lm.kneser_ney import FALLBACK

Ngram = tuple[str, ...]


class Reference:
    """The formulas of Chen and Goodman, one n-gram at a time."""

    def __init__(self, lines: list[str], order: int, prune: list[int]) -> None:
        rows = [("<s>", *line.split(), "</s>") for line in lines]
        self.order, self.prune = order, prune
        self.raw = Counter(row[i : i + n] for row in rows for n in range(1, order + 1) for i in range(len(row) - n + 1))
        self.size = len({word for row in rows for word in row} - {"<s>"}) + 1  # and <unk>
        self.before: Counter[Ngram] = Counter(ngram[1:] for ngram in self.raw if len(ngram) > 1)
        self.after: dict[Ngram, list[str]] = {}
        for ngram in self.raw:
            if ngram != ("<s>",):
                self.after.setdefault(ngram[:-1], []).append(ngram[-1])
        self.discount = {n: self._discount(n) for n in range(1, order + 1)}

    def count(self, ngram: Ngram) -> int:
        return self.raw[ngram] if len(ngram) == self.order or ngram[0] == "<s>" else self.before[ngram]

    def _discount(self, n: int) -> list[float]:
        t = Counter(self.count(ngram) for ngram in self.raw if len(ngram) == n and ngram != ("<s>",))
        y = t[1] / (t[1] + 2 * t[2])
        return [0.0] + [k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)]

    def kept(self, ngram: Ngram) -> bool:
        return len(ngram) == 1 or self.raw[ngram] > self.prune[len(ngram) - 1]

    def given(self, ngram: Ngram) -> float:
        count = self.count(ngram) if ngram in self.raw else 0
        return count - self.discount[len(ngram)][min(count, 3)] if count and self.kept(ngram) else 0.0

    @cache  # noqa: B019
    def left(self, context: Ngram) -> float:
        following = [(*context, word) for word in self.after.get(context, [])]
        total = sum(map(self.count, following))
        return 1 - sum(map(self.given, following)) / total if total else 1.0

    def probability(self, ngram: Ngram) -> float:
        if not ngram:
            return 1 / self.size
        total = sum(self.count((*ngram[:-1], word)) for word in self.after.get(ngram[:-1], []))
        return self.given(ngram) / max(total, 1) + self.left(ngram[:-1]) * self.probability(ngram[1:])


@pytest.mark.parametrize(
    ("order", "prune"), [(1, ()), (2, ()), (3, ()), (4, ()), (2, (0, 1)), (3, (0, 0, 1)), (3, (0, 1, 2)), (4, (0, 1))]
)
def test_every_ngram_is_that_of_the_formulas(order: int, prune: tuple[int, ...]) -> None:
    lines = sentences(600)
    model = train(lines, order, prune)
    reference = Reference(lines, order, [*prune, *[prune[-1] if prune else 0] * (order - len(prune))])
    names = ["", *model.vocabulary]
    found = set()
    for words, log10_prob, log10_backoff in model.ngrams():
        for row, prob, backoff in zip(words.tolist(), log10_prob, log10_backoff, strict=True):
            ngram = tuple(names[word] for word in row)
            found.add(ngram)
            if ngram != ("<s>",):
                assert prob == pytest.approx(math.log10(reference.probability(ngram)), abs=1e-5), ngram
            assert backoff == pytest.approx(math.log10(reference.left(ngram)), abs=1e-5), ngram
    assert found == {ngram for ngram in reference.raw if reference.kept(ngram)} | {("<unk>",)}


@pytest.mark.parametrize("prune", [(), (0, 0, 1), (0, 3)])
def test_probabilities_sum_to_one_in_every_context(prune: tuple[int, ...]) -> None:
    model = train(sentences(500), 3, prune)
    words = [word for word in model.vocabulary if word != "<s>"]
    for history in ([], ["w1"], ["w1", "w4"], ["never"], ["w5", "w2", "w9"], ["w100", "w99"]):
        state = model.start()
        for word in history:
            _, state = model.score(state, word)
        assert sum(math.exp(model.score(state, word)[0]) for word in words) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("order", [3, 5])
def test_every_ngram_is_that_of_lmplz(order: int) -> None:
    folder = Path(os.environ.get("ASR_BENCH", "none")) / "lm"
    if not folder.is_dir():
        pytest.skip("ASR_BENCH does not name a folder with lm/emma.txt and the models lmplz made of it")
    trained, theirs = train(folder / "emma.txt", order), load(folder / f"emma.{order}.arpa.gz")
    assert list(trained.vocabulary) == list(theirs.vocabulary)
    for ours, other in zip(trained.ngrams(), theirs.ngrams(), strict=True):
        assert (ours[0] == other[0]).all()
        np.testing.assert_allclose(ours[1], other[1], rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours[2], other[2], rtol=0, atol=1e-4)


def test_source_may_be_a_file_plain_or_gzip_or_lines(tmp_path: Path) -> None:
    import gzip

    lines = sentences(300)
    text = "\n".join(lines).encode()  # without a new line at its end
    (tmp_path / "a.txt").write_bytes(text.replace(b" ", b" \t ").replace(b"\n", b"\r\n"))
    (tmp_path / "b").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text))
    models = [train(source, 2) for source in (lines, iter(lines), tmp_path / "a.txt", str(tmp_path / "b"))]
    for model in models[1:]:
        assert (model.nodes == models[0].nodes).all()
        assert (model.leaves == models[0].leaves).all()


def test_little_text_is_an_error_unless_discounts_are_given() -> None:
    with pytest.raises(LanguageModelError, match=r"^text: too little text.* no 1-gram has the count 1; give more text"):
        train(["a b a", "b b"], 2)
    model = train(["a b", "a b"], 2, fallback=FALLBACK)
    # "a" follows <s> 2 times of 2: discount 1.0; as a unigram it has 1 of 3 predecessors, discount 0.5; 4 words are
    # possible.
    unigram = (1 - 0.5) / 3 + 3 * 0.5 / 3 / 4
    assert math.exp(model.score(model.start(), "a")[0]) == pytest.approx((2 - 1) / 2 + 1 / 2 * unigram, rel=1e-5)


def test_no_ngrams_of_the_highest_order() -> None:
    model = train(["a", "b", ""], 5, fallback=FALLBACK)
    assert model.counts == (5, 5, 2, 0, 0)
    assert math.isfinite(model.finish(model.score(model.start(), "a")[1]))


@pytest.mark.parametrize(
    ("lines", "order", "said"),
    [
        (["a b", "a <s> b"], 2, r"text:2: holds the word <s>, which is a mark; remove"),
        (["<unk>"], 2, "text:1: holds the word <unk>"),
        ([], 2, "holds no word"),
        (["", ""], 1, "holds no word"),
        (["a"], 0, "order=0: .*give 1 or more"),
    ],
)
def test_impossible_texts_are_named(lines: list[str], order: int, said: str) -> None:
    with pytest.raises(LanguageModelError, match=said):
        train(lines, order)


@pytest.mark.parametrize("prune", [(1,), (0, 2, 1), (0, 0, 0, 0)])
def test_impossible_thresholds_are_named(prune: tuple[int, ...]) -> None:
    with pytest.raises(LanguageModelError, match=r"prune=.*give at most 3 numbers"):
        train(["a"], 3, prune)


@pytest.mark.parametrize("fallback", [(1.0,), (0.5, 1.0, 4.0), (-0.1, 1.0, 1.5)])
def test_impossible_discounts_are_named(fallback: tuple[float, ...]) -> None:
    with pytest.raises(LanguageModelError, match=r"fallback=.*not three discounts"):
        train(["a"], 2, fallback=fallback)


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"none\.txt: no such file; check the path"):
        train(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("a\nb für\n".encode("latin-1"))
    with pytest.raises(LanguageModelError, match=r"latin\.txt:2: b'f\\xfcr' is not UTF-8; save it as UTF-8"):
        train(tmp_path / "latin.txt")

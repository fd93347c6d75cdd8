"""Perplexity, against KenLM and by hand."""

import math
from pathlib import Path

import pytest
from sentences import sentences

from asr.lm import Perplexity, perplexity, train, write_arpa
from asr.lm.kneser_ney import FALLBACK


@pytest.mark.parametrize("order", [2, 4])
def test_perplexity_is_that_of_kenlm(tmp_path: Path, order: int) -> None:
    kenlm = pytest.importorskip("kenlm", reason="the package kenlm is not installed")
    model = train(sentences(400), order)
    write_arpa(model, tmp_path / "model.arpa")
    theirs = kenlm.Model(str(tmp_path / "model.arpa"))
    lines = sentences(100, seed=1)
    scores = [(log10, oov) for line in lines for log10, _, oov in theirs.full_scores(line)]
    known = [log10 for log10, oov in scores if not oov]
    found = perplexity(model, lines)
    assert found.perplexity == pytest.approx(10 ** (-sum(log10 for log10, _ in scores) / len(scores)), rel=1e-5)
    assert found.perplexity_known == pytest.approx(10 ** (-sum(known) / len(known)), rel=1e-5)
    assert found.unknown_words == len(scores) - len(known) > 0
    assert (found.sentences, found.words) == (100, sum(len(line.split()) for line in lines))
    one = lines[3]
    assert perplexity(model, [one]).perplexity == pytest.approx(theirs.perplexity(one), rel=1e-5)


def test_by_hand(tmp_path: Path) -> None:
    model = train(["a", "a"], 1, fallback=FALLBACK)
    # a and </s> occur 2 times each of 4: (2 - 1) / 4, and of the half that is left each of 3 words gets a third.
    known, unknown = 1 / 4 + 1 / 6, 1 / 6
    found = perplexity(model, ["a b", ""])
    assert found.perplexity == pytest.approx((known**3 * unknown) ** (-1 / 4), rel=1e-6)
    assert found.perplexity_known == pytest.approx(1 / known, rel=1e-6)
    assert (found.words, found.sentences, found.unknown_words) == (2, 2, 1)
    (tmp_path / "text").write_bytes(b" a\tb\r\n\n")
    assert perplexity(model, tmp_path / "text") == found


def test_marks_in_the_text_are_unknown_words() -> None:
    model = train(["a", "a"], 2, fallback=FALLBACK)
    assert perplexity(model, ["<s> </s>"]) == perplexity(model, ["b b"])


def test_no_text_has_no_perplexity() -> None:
    found = perplexity(train(["a"], 1, fallback=FALLBACK), [])
    assert isinstance(found, Perplexity)
    assert math.isnan(found.perplexity)
    assert found.sentences == 0

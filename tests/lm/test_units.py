"""Models of characters: those of a text whose characters stand apart, and made as such."""

import json
import math
from pathlib import Path

import pytest
from sentences import sentences

from asr.errors import LanguageModelError
from asr.lm import load, perplexity, train
from asr.lm.kneser_ney import FALLBACK
from asr.lm.units import units

LINES = ["die kuh", " lief  um", "den teich", "dadada die"]
APART = ["d i e ▁ k u h", "l i e f ▁ u m", "d e n ▁ t e i c h", "d a d a d a ▁ d i e"]


def test_units_of_a_sentence() -> None:
    assert units(" die  kuh ", "word") == ["die", "kuh"]
    assert units(" die  kuh ", "character") == ["d", "i", "e", "▁", "k", "u", "h"]
    assert units("  ", "character") == []


def test_a_model_of_characters_is_one_of_words_that_are_characters(tmp_path: Path) -> None:
    spelling, words = train(LINES, 4, unit="character"), train(APART, 4, fallback=FALLBACK)
    for ours, theirs in zip(spelling.ngrams(), words.ngrams(), strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.tolist() == other.tolist()
    spelling.save(tmp_path / "ngram.bin")
    words.save(tmp_path / "words.bin")
    assert (load(tmp_path).unit, load(tmp_path / "words.bin").unit) == ("character", "word")
    assert load(tmp_path).units("um die") == ["u", "m", "▁", "d", "i", "e"]


def test_perplexity_is_that_of_characters() -> None:
    model = train(sentences(50), 3, unit="character")
    lines = ["w1 w2", "", "w9"]
    total, count = 0.0, 0
    for line in lines:
        state = model.start()
        for character in model.units(line):
            log_prob, state = model.score(state, character)
            total += log_prob
            count += 1
        total += model.finish(state)
        count += 1
    found = perplexity(model, lines)
    assert found.perplexity == pytest.approx(math.exp(-total / count), rel=1e-6)
    assert (found.words, found.sentences, found.unknown_words) == (count - 3, 3, 0)


def test_models_saved_before_there_were_units_are_of_words(tmp_path: Path) -> None:
    path = tmp_path / "ngram.bin"
    train(LINES, 2, fallback=FALLBACK).save(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[8:12], "little")
    header = json.loads(whole[12 : 12 + length])
    assert header.pop("unit") == "word"
    old = json.dumps(header).encode()
    path.write_bytes(whole[:8] + length.to_bytes(4, "little") + old.ljust(length) + whole[12 + length :])
    assert load(path).unit == "word"


def test_a_text_that_is_not_utf8_has_no_characters(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"ab\n\xff\n")
    with pytest.raises(LanguageModelError, match=r"text: not UTF-8 at byte 3; save it as UTF-8"):
        train(tmp_path / "text", 2, unit="character")

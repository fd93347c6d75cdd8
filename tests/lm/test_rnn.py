"""Recurrent language models, against PyTorch's single cell and by what probabilities must do."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from sentences import sentences
from torch import nn

from asr.config import TokenizerConfig
from asr.errors import LanguageModelError
from asr.lm import RnnModel, load, load_recurrent, perplexity
from asr.lm.rnn import BATCH_TOKENS, RnnConfig, RnnNetwork, spell
from asr.text import CharTokenizer, Tokenizer, build_tokenizer

LINES = ["ab ba", "", "b", "abba ab b", "aaaaaaaa a"]


def model(tokenizer: Tokenizer | None = None, layers: int = 2) -> RnnModel:
    """Random weights, large enough that every token matters."""
    torch.manual_seed(0)
    tokenizer, config = tokenizer or CharTokenizer("ab "), RnnConfig(layers=layers, units=8)
    network = RnnNetwork(config, tokenizer.size).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return RnnModel(network, tokenizer, config)


def by_words(lm: RnnModel, sentence: str) -> list[float]:
    state, found = lm.start(), []
    for word in sentence.split():
        log_prob, state = lm.score(state, word)
        found.append(log_prob)
    return [*found, lm.finish(state)]


def test_sentence_is_what_a_single_cell_makes_of_its_tokens() -> None:
    lm = model(layers=1)
    weights = dict(lm.network.layers.named_parameters())
    cell = nn.LSTMCell(8, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
    embedding, state, total = lm.network.embedding.weight, None, 0.0
    for before, after in ((0, 1), (1, 2), (2, 3), (3, 2), (2, 0)):  # "ab b"
        state = cell(embedding[before][None], state)
        logits = state[0] @ embedding.T + lm.network.bias
        total += logits.log_softmax(-1)[0, after].item()
    assert lm.log_probs(["ab b"]) == [pytest.approx(total, rel=1e-5)]


def test_probabilities_of_all_sentences_add_up_to_one() -> None:
    """Of all that is as short as two letters, and of all that begins with three; one letter is unknown."""
    lm = model(CharTokenizer("ab"))
    short = ["".join(letters) for size in (0, 1, 2) for letters in product("ab?", repeat=size)]
    total = sum(math.exp(log_prob) for log_prob in lm.log_probs(short))
    for letters in product("ab?", repeat=3):
        total += math.exp(lm.score(lm.start(), "".join(letters))[0])
    assert total == pytest.approx(1.0, rel=1e-5)


def test_word_by_word_is_as_the_whole_sentence() -> None:
    lm = model()
    for sentence, found in zip(LINES, lm.word_log_probs(LINES), strict=True):
        assert found == pytest.approx(by_words(lm, sentence), rel=1e-4)
        assert lm.log_probs([sentence]) == [pytest.approx(sum(found), rel=1e-4)]


def test_a_state_may_be_used_again() -> None:
    lm = model()
    _, state = lm.score(lm.start(), "ab")
    once = lm.score(state, "b")[0]
    assert lm.score(state, "a")[0] != once
    assert lm.score(state, "b")[0] == once


def test_many_sentences_are_scored_as_each_alone() -> None:
    lm = model()
    many = [*LINES, "b " * (BATCH_TOKENS // 2), *sentences(50)]
    alone = [lm.log_probs([sentence])[0] for sentence in many]
    assert lm.log_probs(many) == [pytest.approx(log_prob, rel=1e-4) for log_prob in alone]
    assert lm.log_probs([]) == []


def test_white_space_does_not_count_and_unknown_characters_cost() -> None:
    lm = model()
    assert lm.log_probs(["  ab   b "]) == lm.log_probs(["ab b"])
    assert spell(lm.tokenizer, "ab ?a?") == [[1, 2], [3, 4, 1, 4]]
    assert not lm.knows("?a")
    assert lm.knows("ab")


def test_subwords_of_words_are_those_of_the_sentence() -> None:
    lines = sentences(200)
    tokenizer = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=40), lines)
    for line in lines[:20]:
        assert [token for word in spell(tokenizer, line) for token in word] == tokenizer.encode(line)
    lm = model(tokenizer)
    assert sum(by_words(lm, lines[0])) == pytest.approx(lm.log_probs(lines[:1])[0], rel=1e-4)
    assert tokenizer.size in spell(tokenizer, "no\u2581ne")[0]


def test_perplexity_by_hand() -> None:
    lm = model()
    found = perplexity(lm, ["ab b", "", "a? b"])
    known, strange = by_words(lm, "ab b") + by_words(lm, ""), by_words(lm, "a? b")
    assert found.perplexity == pytest.approx(math.exp(-(sum(known) + sum(strange)) / 7), rel=1e-4)
    assert found.perplexity_known == pytest.approx(math.exp(-(sum(known) + sum(strange[1:])) / 6), rel=1e-4)
    assert (found.words, found.sentences, found.unknown_words) == (4, 3, 1)
    assert math.isnan(perplexity(lm, []).perplexity)
    assert perplexity(lm, ["ab" * 1000]).perplexity == math.inf, "one word of more nats than a number can be e to"


def test_perplexity_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ab b\n\na b\n", encoding="utf-8")
    assert perplexity(model(), tmp_path / "text.txt") == perplexity(model(), ["ab b", "", "a b"])
    (tmp_path / "text.txt").write_bytes(b"ab\xff\n")
    with pytest.raises(LanguageModelError, match=r"text\.txt: not UTF-8 at byte 2"):
        perplexity(model(), tmp_path / "text.txt")


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_saved_and_loaded_it_is_the_same(tmp_path: Path, kind: str) -> None:
    tokenizer = build_tokenizer(TokenizerConfig(kind=kind, vocabulary_size=40), lines := sentences(200))
    lm = replace(model(tokenizer), provenance={"data": "a text"})
    lm.save(tmp_path / "rnn")
    lm.save(tmp_path / "rnn")  # over what is there
    assert [path.name for path in tmp_path.iterdir()] == ["rnn"]
    again = load_recurrent(tmp_path / "rnn")
    assert again.log_probs(lines) == lm.log_probs(lines)
    assert (again.config, again.provenance) == (lm.config, lm.provenance)
    lm.save(tmp_path / "run/model")
    assert load_recurrent(tmp_path / "run").log_probs(lines) == lm.log_probs(lines)


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    model().save(tmp_path)
    weights, settings, tokenizer = (tmp_path / name for name in ("rnn.safetensors", "rnn.json", "tokenizer.json"))
    values = json.loads(settings.read_text())
    whole = {path: path.read_bytes() for path in (weights, settings, tokenizer)}
    newer = json.dumps({**values, "format_version": 2}).encode()
    larger = json.dumps({**values, "model": {"units": 9}}).encode()
    odd = json.dumps({**values, "model": {"unitz": 9}}).encode()
    for path, content, said in (
        (weights, whole[weights][:100], r"rnn\.safetensors: damaged"),
        (settings, b"{", r"rnn\.json: damaged"),
        (settings, b"[]", r"rnn\.json: damaged"),
        (settings, newer, r"rnn\.json: format 2, of a newer version"),
        (settings, larger, r"rnn\.safetensors: damaged, or not the weights of this rnn\.json"),
        (settings, odd, r"rnn\.json: unknown key unitz"),
        (tokenizer, b"{", r"tokenizer\.json: cannot be read"),
        (settings, None, r"rnn\.json: no such file; give the folder that `asr lm train-rnn` wrote"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(LanguageModelError, match=said) as caught:
            load_recurrent(tmp_path)
        assert "\n" not in str(caught.value)
        path.write_bytes(whole[path])
    assert load_recurrent(tmp_path).log_probs(["ab"]) == model().log_probs(["ab"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LanguageModelError, match=r"file/rnn: cannot be written"):
        model().save(tmp_path / "file/rnn")


def test_beam_search_is_not_given_one(tmp_path: Path) -> None:
    model().save(tmp_path)
    with pytest.raises(LanguageModelError, match=r"a recurrent language model.*\(--rescore\)"):
        load(tmp_path)

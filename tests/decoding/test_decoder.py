"""Which decoder is built from which options, seen in what it answers where two readings are nearly alike."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import asr.lm
from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.decoding.beam import UNKNOWN_SCORE
from asr.decoding.decoder import (
    LM_FOLDER,
    RNN_FOLDER,
    DecodingOptions,
    TunedWeights,
    build_decoder,
    describe,
    distinct,
    store_lm,
)
from asr.decoding.greedy import greedy
from asr.decoding.hypothesis import Hypothesis, TokenSpan
from asr.decoding.rescore import RescoringWeights
from asr.errors import ConfigError, LanguageModelError
from asr.lm.rnn import RnnConfig, RnnModel, RnnNetwork
from asr.model import Bundle
from asr.model.bundle import Calibration
from asr.text import CharTokenizer

TOKENIZER = CharTokenizer("ab ")
LENGTHS = torch.tensor([3])
# A frame of "a" (0.55) or "b" (0.43), a blank, and the same again: greedy reads "aa".
LOG_PROBS = torch.tensor([[[0.01, 0.55, 0.43, 0.01], [0.97, 0.01, 0.01, 0.01], [0.01, 0.55, 0.43, 0.01]]]).log()
WEIGHTS = TunedWeights(lm_weight=1.5, word_bonus=0.0, beam_size=10, dev_wer=0.1, greedy_dev_wer=0.2)


class Frames(torch.nn.Module):
    frame_seconds = 0.02


BUNDLE = Bundle(Frames(), TOKENIZER, TextConfig(), FeatureConfig(), ModelConfig())


@pytest.fixture(scope="module")
def lm() -> asr.lm.NgramModel:
    """Hears "bb" where it can."""
    return asr.lm.train(["bb"] * 9 + ["aa"], order=1, fallback=(0.5, 1.0, 1.5))


def read(options: DecodingOptions, bundled_lm: Path | None = None) -> str:
    [[best, *_]] = build_decoder(options, BUNDLE, bundled_lm)(LOG_PROBS, LENGTHS)
    return best.text


def test_greedy_is_the_default() -> None:
    [[only]] = build_decoder(DecodingOptions(), BUNDLE)(LOG_PROBS, LENGTHS)
    assert [only] == greedy(LOG_PROBS, LENGTHS, TOKENIZER, 0.02)


def test_beam_search_times_words_and_ranks_readings() -> None:
    [found] = build_decoder(DecodingOptions(beam_size=10, nbest=3), BUNDLE)(LOG_PROBS, LENGTHS)
    assert found[0].text == "aa"
    assert [word.text for word in found[0].words] == ["aa"]
    assert len(found) == 3
    assert found[0].score > found[1].score > found[2].score
    assert len({each.text for each in found}) == 3, "what differs in spaces only is one reading"


@pytest.mark.parametrize("nbest", [1, 2])
def test_only_readings_that_are_returned_are_timed(nbest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[tuple[int, ...]] = []

    def align(log_probs: torch.Tensor, tokens: tuple[int, ...], temperature: float) -> list[TokenSpan]:
        timed.append(tokens)
        return asr.decoding.align(log_probs, tokens, temperature)

    monkeypatch.setattr(sys.modules["asr.decoding.words"], "align", align)
    [found] = build_decoder(DecodingOptions(beam_size=10, nbest=nbest), BUNDLE)(LOG_PROBS, LENGTHS)
    assert timed == [each.tokens for each in found]
    assert len(found) == nbest


def test_a_twin_far_down_the_list_costs_a_reading_no_place() -> None:
    readings = [Hypothesis(text, (), score, score, 0.0, ()) for text, score in (("a", -1.0), ("b", -2.0), ("a", -3.0))]
    assert distinct(readings) == readings[:2]


def test_each_search_has_the_temperature_of_its_own() -> None:
    calibrated = replace(BUNDLE, calibration=Calibration(greedy=2.0, beam=4.0))
    for options, temperature in ((DecodingOptions(), 2.0), (DecodingOptions(beam_size=10), 4.0)):
        [[plain]], [[tempered]] = (build_decoder(options, each)(LOG_PROBS, LENGTHS) for each in (BUNDLE, calibrated))
        assert (plain.text, plain.score) == (tempered.text, tempered.score) == ("aa", tempered.score)
        said = (LOG_PROBS[0, ::2] / temperature).softmax(-1)[:, 1]
        assert tempered.words[0].confidence == pytest.approx(said.prod().sqrt().item())
        assert replace(tempered.words[0], confidence=0.0) == replace(plain.words[0], confidence=0.0)


def test_decoding_is_described_as_it_is_done(tmp_path: Path, lm: asr.lm.NgramModel) -> None:
    assert describe(DecodingOptions()) == {"search": "greedy"}
    weights = dict.fromkeys(("lm_weight", "word_bonus", "character_bonus", "unknown_score"))
    plain = {"search": "beam", "beam_size": 10, "lm": None, **weights, "rescoring": None, "lexicon": None}
    bundled = tmp_path / LM_FOLDER
    assert describe(DecodingOptions(beam_size=10), bundled) == {**plain, "hotwords": 0}
    store_lm(tmp_path, lm, WEIGHTS)
    options = DecodingOptions(beam_size=10, word_bonus=0.25, lexicon=Path("words.txt"), hotwords={"a": 1.0, "b": 2.0})
    assert describe(options, bundled) == {
        **plain,
        "lm": str(bundled),
        "lm_weight": WEIGHTS.lm_weight,
        "word_bonus": 0.25,
        "character_bonus": 0.0,
        "unknown_score": UNKNOWN_SCORE,
        "lexicon": "words.txt",
        "hotwords": 2,
    }


def test_hotword_flips_the_winner_and_is_normalised() -> None:
    assert read(DecodingOptions(beam_size=10)) == "aa"
    assert read(DecodingOptions(beam_size=10, hotwords={"BB!": 3.0})) == "bb"
    assert read(DecodingOptions(beam_size=10, hotwords={"bb": 0.1})) == "aa"
    assert read(DecodingOptions(beam_size=10, hotwords={"BB!": 3.0, "bb": 3.0})) == "bb"
    with pytest.raises(ConfigError, match="hotword 'bb': another one with another boost is 'bb' too; leave one out"):
        read(DecodingOptions(beam_size=10, hotwords={"BB!": 3.0, "bb": -3.0}))
    with pytest.raises(ConfigError, match="hotword '!': normalisation leaves nothing of it"):
        read(DecodingOptions(beam_size=10, hotwords={"!": 3.0}))


def test_lexicon_is_normalised(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Bb\n", encoding="utf-8")
    assert read(DecodingOptions(beam_size=10, lexicon=tmp_path / "words.txt")) == "bb"


def test_phrases_are_normalised_ranked_and_need_no_beam(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("B.\nAb!\naba\nbb\n", encoding="utf-8")
    options = DecodingOptions(phrases=tmp_path / "phrases.txt")
    [[best]] = build_decoder(options, BUNDLE)(LOG_PROBS, LENGTHS)
    assert best.text == "ab"
    [ranked] = build_decoder(replace(options, nbest=3), BUNDLE)(LOG_PROBS, LENGTHS)
    assert [each.text for each in ranked][:2] == ["ab", "bb"]
    assert describe(options) == {"search": "phrases", "phrases": str(tmp_path / "phrases.txt")}


def test_bundled_language_model_serves_the_beam_with_its_weights(tmp_path: Path, lm: asr.lm.NgramModel) -> None:
    bundled = tmp_path / LM_FOLDER
    assert read(DecodingOptions(beam_size=10), bundled) == "aa", "there is none yet"
    store_lm(tmp_path, lm, WEIGHTS)
    assert read(DecodingOptions(beam_size=10), bundled) == "bb"
    assert read(DecodingOptions(), bundled) == "aa", "greedy decoding has no use for it"
    assert read(DecodingOptions(beam_size=10, lm_weight=0.0), bundled) == "aa", "what is asked for goes first"
    store_lm(tmp_path, lm, WEIGHTS.model_copy(update={"lm_weight": 0.0}))
    assert read(DecodingOptions(beam_size=10), bundled) == "aa", "the tuned weight counts"
    assert read(DecodingOptions(beam_size=10, lm_weight=1.5), bundled) == "bb"
    assert [path.name for path in tmp_path.iterdir()] == [LM_FOLDER]


def test_tuned_price_of_unknown_words_counts_and_older_weights_have_the_default(
    tmp_path: Path, lm: asr.lm.NgramModel
) -> None:
    stored, path = tmp_path / LM_FOLDER, tmp_path / LM_FOLDER / "decoding.json"
    store_lm(tmp_path, lm, WEIGHTS)
    older = {name: value for name, value in WEIGHTS.model_dump().items() if name != "unknown_score"}
    path.write_text(json.dumps(older), encoding="utf-8")
    assert describe(DecodingOptions(beam_size=10), stored)["unknown_score"] == UNKNOWN_SCORE
    other = asr.lm.train(["bb"] * 5, order=1, fallback=(0.5, 1.0, 1.5))
    store_lm(tmp_path, other, WEIGHTS)
    assert read(DecodingOptions(beam_size=10), stored) == "bb", "it knows no other word"
    cheap = WEIGHTS.model_copy(update={"lm_weight": 0.1, "unknown_score": -0.1})
    store_lm(tmp_path, other, cheap)
    assert read(DecodingOptions(beam_size=10), stored) == "aa"


def test_named_language_model_goes_before_the_bundled_one(tmp_path: Path, lm: asr.lm.NgramModel) -> None:
    store_lm(tmp_path, lm, WEIGHTS)
    other = tmp_path / "other.bin"
    asr.lm.train(["aa"] * 9 + ["bb"], order=1, fallback=(0.5, 1.0, 1.5)).save(other)
    assert read(DecodingOptions(beam_size=10, lm=other, lm_weight=1.5), tmp_path / LM_FOLDER) == "aa"


@pytest.fixture(scope="module")
def rnn() -> RnnModel:
    """Foretells a b everywhere."""
    config = RnnConfig(units=1)
    network = RnnNetwork(config, TOKENIZER.size).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    network.bias[TOKENIZER.encode("b")[0]] = 3.0
    return RnnModel(network, TOKENIZER, config)


def test_recurrent_model_ranks_the_readings_anew(tmp_path: Path, rnn: RnnModel) -> None:
    rnn.save(tmp_path)
    assert read(DecodingOptions(beam_size=10, rescore=tmp_path)) == "bb"
    assert read(DecodingOptions(beam_size=10, rescore=tmp_path, lm_weight=0.01)) == "aa", "too weak"
    decode = build_decoder(DecodingOptions(beam_size=10, rescore=tmp_path, nbest=3), BUNDLE)
    [found] = decode(LOG_PROBS, LENGTHS)
    assert len({each.text for each in found}) == 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert [word.text for word in found[0].words] == ["bb"]


def test_recurrent_model_of_the_bundle_serves_with_its_weights(
    tmp_path: Path, lm: asr.lm.NgramModel, rnn: RnnModel
) -> None:
    bundled = tmp_path / LM_FOLDER
    weak = WEIGHTS.model_copy(update={"lm_weight": 0.0})
    for share, text in ((1.0, "bb"), (0.0, "aa")):
        rescoring = RescoringWeights(share=share, lm_weight=1.0 * share, word_bonus=0.0)
        store_lm(tmp_path, lm, weak.model_copy(update={"rescoring": rescoring}), rnn)
        assert read(DecodingOptions(beam_size=10), bundled) == text
        assert read(DecodingOptions(beam_size=10, lm_weight=0.0), bundled) == "aa", "what is asked for goes first"
        assert read(DecodingOptions(beam_size=10, rescore=bundled / RNN_FOLDER, lm_weight=1.0), bundled) == "bb"
    store_lm(tmp_path, lm, weak)
    assert read(DecodingOptions(beam_size=10), bundled) == "aa", "it is gone"


def test_missing_recurrent_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"rnn\.json: no such file"):
        read(DecodingOptions(beam_size=10, rescore=tmp_path))


def test_interrupted_storing_leaves_the_old_one(
    tmp_path: Path, lm: asr.lm.NgramModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_lm(tmp_path, lm, WEIGHTS)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asr.lm.NgramModel, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        store_lm(tmp_path, lm, WEIGHTS.model_copy(update={"lm_weight": 9.0}))
    assert json.loads((tmp_path / LM_FOLDER / "decoding.json").read_text(encoding="utf-8")) == WEIGHTS.model_dump()
    assert [path.name for path in tmp_path.iterdir()] == [LM_FOLDER]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lm": Path("lm")}, "a language model; ask for beam search"),
        ({"lm_weight": 0.0, "word_bonus": 0.0}, "a language model's weight, a word bonus"),
        ({"lexicon": Path("words")}, "a lexicon"),
        ({"hotwords": {"a": 1.0}}, "hotwords"),
        ({"nbest": 2}, "an N-best list"),
        ({"rescore": Path("rnn")}, "a language model for rescoring"),
        ({"phrases": Path("digits"), "lexicon": Path("words")}, "digits: a choice of phrases: cannot use a lexicon"),
        ({"phrases": Path("digits"), "beam_size": 5}, "digits: phrases are scored whole"),
        ({"beam_size": -1}, "give a beam of 0 or more"),
        ({"beam_size": 5, "nbest": 0}, "nbest of 1 or more"),
    ],
)
def test_useless_options_are_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DecodingOptions(**options)


def test_damaged_weights_are_named(tmp_path: Path, lm: asr.lm.NgramModel) -> None:
    store_lm(tmp_path, lm, WEIGHTS)
    path = tmp_path / LM_FOLDER / "decoding.json"
    for content in ("{", '{"lm_weight": 1.0}', "[]", "\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(LanguageModelError, match=r"decoding\.json: not the weights .*; delete it") as caught:
            read(DecodingOptions(beam_size=10), tmp_path / LM_FOLDER)
        assert "\n" not in str(caught.value)

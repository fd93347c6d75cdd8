"""Which decoder reads the log-probabilities: greedy, one of some phrases, or beam search with all that may help it.

A folder with a language model may also hold `decoding.json`, the weights that tuning found for it. Such a folder
travels inside a model bundle as `lm/`, and is used whenever beam search is asked for and no other language model is.
It may hold a recurrent model too, as `rnn/`, which then rescores what beam search finds.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from asr.decoding.beam import UNKNOWN_SCORE, BeamSearch
from asr.decoding.greedy import greedy
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.lexicon import read_lexicon
from asr.decoding.phrases import Phrases, read_phrases
from asr.decoding.rescore import READINGS, SHARE, RescoringWeights, SearchWeights, rescore
from asr.decoding.words import timed
from asr.errors import ConfigError, LanguageModelError
from asr.lm.files import write_folder
from asr.lm.load import MODEL_FILE, load, recurrent_folder
from asr.lm.ngram import NgramModel
from asr.lm.rnn import RnnModel, load_recurrent
from asr.model.bundle import Bundle
from asr.settings import parse_settings
from asr.text.normalize import Normalizer

LM_FOLDER = "lm"
"""Where a bundle keeps its language model."""
RNN_FOLDER = "rnn"
"""Where, beside an n-gram model, the recurrent one lies that rescores."""
WEIGHTS_FILE = "decoding.json"
LM_WEIGHT, WORD_BONUS = 0.5, 0.5
"""Without tuning."""
SPARE = 2
"""Hypotheses found for each one returned: some write the same text in other tokens, by a space at its end say."""

WeightsT = TypeVar("WeightsT", bound=SearchWeights)
Decoder = Callable[[torch.Tensor, torch.Tensor], list[list[Hypothesis]]]
"""log_probs (batch, frames, tokens) and lengths (batch,) in; the hypotheses of each utterance out, best first."""


@dataclass(frozen=True)
class DecodingOptions:
    """How to decode; by default greedily.

    Args:
        beam_size: prefixes kept by beam search; 0 is greedy decoding, which takes none of the options below.
        lm: a language model; None is the bundle's own, if it has one.
        lm_weight: of the language model; None is the tuned one, or else `LM_WEIGHT`.
        word_bonus: for each word; None is the tuned one, or else `WORD_BONUS`.
        lexicon: a file of words, one a line; no others are written.
        hotwords: boost, in nats, of words and phrases. They and the lexicon are normalised as the transcripts were.
        nbest: the most hypotheses to return, no two of the same text.
        rescore: a recurrent language model that ranks the best readings anew; None is that beside `lm`, if there is
            one. Weights given above then hold for both.
        phrases: a file of phrases, one a line: every utterance says one of them. They need no beam and take none.

    Raises:
        ConfigError: a decoder is given what it cannot use, or a number is out of range.
    """

    beam_size: int = 0
    lm: Path | None = None
    lm_weight: float | None = None
    word_bonus: float | None = None
    lexicon: Path | None = None
    hotwords: Mapping[str, float] = field(default_factory=dict)
    nbest: int = 1
    rescore: Path | None = None
    phrases: Path | None = None

    def __post_init__(self) -> None:
        if self.beam_size < 0 or self.nbest < 1:
            raise ConfigError(
                f"beam {self.beam_size}, nbest {self.nbest}: give a beam of 0 or more, nbest of 1 or more"
            )
        given = {
            "a language model": self.lm is not None,
            "a language model's weight": self.lm_weight is not None,
            "a word bonus": self.word_bonus is not None,
            "a lexicon": self.lexicon is not None,
            "hotwords": bool(self.hotwords),
            "an N-best list": self.nbest > 1 and self.phrases is None,
            "a language model for rescoring": self.rescore is not None,
        }
        if self.beam_size and self.phrases is not None:
            raise ConfigError(f"{self.phrases}: phrases are scored whole, not searched for; leave out the beam")
        if not self.beam_size and (useless := [name for name, is_given in given.items() if is_given]):
            what = "greedy decoding" if self.phrases is None else f"{self.phrases}: a choice of phrases"
            raise ConfigError(
                f"{what}: cannot use {', '.join(useless)}; ask for beam search, e.g. --beam 50, or leave them"
            )


class TunedWeights(SearchWeights):
    """The weights that did best on dev, and how good they were there; error rates are fractions."""

    beam_size: int
    dev_wer: float
    greedy_dev_wer: float
    character_bonus: float = 0.0
    unknown_score: float = UNKNOWN_SCORE
    rescoring: RescoringWeights | None = None
    """Where a recurrent model ranks the readings anew; `dev_wer` is then after that."""


def build_decoder(options: DecodingOptions, bundle: Bundle, bundled_lm: Path | None = None) -> Decoder:
    """The decoder that these options ask for.

    Args:
        options: what is asked for.
        bundle: whose log-probabilities are to be decoded.
        bundled_lm: the folder of the bundle's own language model; it need not exist.

    Raises:
        ConfigError: a weight without a language model, or a number out of range.
        LanguageModelError: the language model or its weights cannot be read.
        TextError: a word of the lexicon, a hotword or a phrase cannot be written in the tokens of the model.
    """
    tokenizer, frame_seconds = bundle.tokenizer, bundle.model.frame_seconds
    normalizer = Normalizer(bundle.text)
    if options.phrases is not None:
        phrases = [normalizer(phrase) for phrase in read_phrases(options.phrases)]
        return Phrases(tokenizer, phrases, frame_seconds, options.nbest, bundle.calibration.greedy)
    if not options.beam_size:
        temperature = bundle.calibration.greedy
        return lambda log_probs, lengths: [
            [best] for best in greedy(log_probs, lengths, tokenizer, frame_seconds, temperature)
        ]
    models = _language_models(options, bundled_lm)
    ranked = _ranking(models)
    readings = options.nbest if ranked is None else max(READINGS, options.nbest)
    search = BeamSearch(
        tokenizer,
        beam_size=options.beam_size,
        lm=load(models.ngrams) if models.ngrams is not None else None,
        lm_weight=models.weights.lm_weight,
        word_bonus=models.weights.word_bonus,
        character_bonus=models.character_bonus,
        unknown_score=models.unknown_score,
        lexicon=[normalizer(word) for word in read_lexicon(options.lexicon)] if options.lexicon is not None else None,
        hotwords=_normalized(options.hotwords, normalizer),
        nbest=1 if readings == 1 else SPARE * readings,
    )
    threads = torch.get_num_threads()  # as many as whoever runs this allows the model

    def decode(log_probs: torch.Tensor, lengths: torch.Tensor) -> list[list[Hypothesis]]:
        log_probs, lengths = log_probs.cpu(), lengths.cpu()
        found = [distinct(each)[:readings] for each in search.batch(log_probs, lengths, threads)]
        return [
            [
                timed(hypothesis, frames[:length], tokenizer, frame_seconds, bundle.calibration.beam)
                for hypothesis in hypotheses[: options.nbest]  # no sooner: most that are found are not returned
            ]
            for hypotheses, frames, length in zip(
                ranked(found) if ranked else found, log_probs, lengths.tolist(), strict=True
            )
        ]

    return decode


def describe(options: DecodingOptions, bundled_lm: Path | None = None) -> dict[str, Any]:
    """How `build_decoder` decodes with the same arguments, as plain values: what has to stand beside an error rate.

    Raises:
        ConfigError: a weight without a language model.
        LanguageModelError: the weights beside the language model cannot be read.
    """
    if options.phrases is not None:
        return {"search": "phrases", "phrases": str(options.phrases)}
    if not options.beam_size:
        return {"search": "greedy"}
    models = _language_models(options, bundled_lm)
    weights = {
        **models.weights.model_dump(),
        "character_bonus": models.character_bonus,
        "unknown_score": models.unknown_score,
    }
    rescoring = {"lm": str(models.rnn), **models.rescoring.model_dump()}
    return {
        "search": "beam",
        "beam_size": options.beam_size,
        "lm": None if models.ngrams is None else str(models.ngrams),
        **(weights if models.ngrams is not None else dict.fromkeys(weights)),
        "rescoring": None if models.rnn is None else rescoring,
        "lexicon": None if options.lexicon is None else str(options.lexicon),
        "hotwords": len(options.hotwords),
    }


@dataclass(frozen=True, slots=True)
class _LanguageModels:
    """Where the language models lie, None without one, and what weighs them."""

    ngrams: Path | None
    weights: SearchWeights
    character_bonus: float
    unknown_score: float
    rnn: Path | None
    rescoring: RescoringWeights


def _language_models(options: DecodingOptions, bundled_lm: Path | None) -> _LanguageModels:
    """What is asked for, or else what was tuned, or else the defaults."""
    ngrams = options.lm or (bundled_lm if bundled_lm is not None and bundled_lm.is_dir() else None)
    if ngrams is None and options.rescore is None and (options.lm_weight is not None or options.word_bonus is not None):
        raise ConfigError("beam search: a language model's weights without a language model; give one (--lm)")
    tuned = read_weights(ngrams) if ngrams is not None else None
    lm_weight, word_bonus = (tuned.lm_weight, tuned.word_bonus) if tuned else (LM_WEIGHT, WORD_BONUS)
    weights = _given(options, SearchWeights(lm_weight=lm_weight, word_bonus=word_bonus))
    beside = recurrent_folder(ngrams / RNN_FOLDER) if ngrams is not None else None
    if options.rescore is None and tuned is not None and tuned.rescoring is not None:
        rescoring = _given(options, tuned.rescoring)
    else:
        rescoring = RescoringWeights(**weights.model_dump(), share=SHARE if ngrams is not None else 1.0)
    return _LanguageModels(
        ngrams=ngrams,
        weights=weights,
        character_bonus=tuned.character_bonus if tuned else 0.0,
        unknown_score=tuned.unknown_score if tuned else UNKNOWN_SCORE,
        rnn=options.rescore or beside,
        rescoring=rescoring,
    )


def read_weights(lm: Path) -> TunedWeights | None:
    """The weights beside a language model, if it lies in a folder that holds any.

    Raises:
        LanguageModelError: they are damaged.
    """
    path = lm / WEIGHTS_FILE
    if not path.is_file():
        return None
    try:
        return parse_settings(TunedWeights, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (ValueError, OSError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise LanguageModelError(
            f"{path}: not the weights of a language model ({reason}); delete it, and run `asr tune` again"
        ) from None


def store_lm(folder: Path, lm: NgramModel, weights: TunedWeights, rnn: RnnModel | None = None) -> None:
    """Write a language model and its weights into a bundle, complete or not at all.

    Args:
        folder: of the bundle.
        lm: the language model that the weights are for.
        weights: what tuning found.
        rnn: the recurrent model to rescore with, if any.
    """
    with write_folder(folder / LM_FOLDER) as fresh:
        lm.save(fresh / MODEL_FILE)
        (fresh / WEIGHTS_FILE).write_text(json.dumps(weights.model_dump(), indent=2) + "\n", encoding="utf-8")
        if rnn is not None:
            rnn.save(fresh / RNN_FOLDER)


def _given(options: DecodingOptions, weights: WeightsT) -> WeightsT:
    """The weights, but for those that are asked for otherwise."""
    asked = {"lm_weight": options.lm_weight, "word_bonus": options.word_bonus}
    return weights.model_copy(update={name: value for name, value in asked.items() if value is not None})


def _ranking(models: _LanguageModels) -> Callable[[list[list[Hypothesis]]], list[list[Hypothesis]]] | None:
    """How readings are ranked anew, if they are."""
    if models.rnn is None:
        return None
    rnn = load_recurrent(models.rnn)
    before = models.weights if models.ngrams is not None else SearchWeights(lm_weight=0.0, word_bonus=0.0)
    return lambda lists: rescore(lists, rnn, before, models.rescoring)


def distinct(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """The first of those that read alike, in the order that they have."""
    firsts: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        firsts.setdefault(hypothesis.text, hypothesis)
    return list(firsts.values())


def _normalized(hotwords: Mapping[str, float], normalizer: Normalizer) -> dict[str, float]:
    normalized: dict[str, float] = {}
    for phrase, boost in hotwords.items():
        spelled = normalizer(phrase)
        if not spelled:
            raise ConfigError(f"hotword {phrase!r}: normalisation leaves nothing of it; remove it, or write letters")
        if normalized.setdefault(spelled, boost) != boost:
            raise ConfigError(f"hotword {phrase!r}: another one with another boost is {spelled!r} too; leave one out")
    return normalized

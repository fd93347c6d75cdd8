"""Which decoder reads the log-probabilities: greedy, or beam search with all that may help it; and how it is asked for.

A folder with a language model may also hold `decoding.json`, the weights that tuning found for it. Such a folder
travels inside a model bundle as `lm/`, and is used whenever beam search is asked for and no other language model is.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr.config import Settings, parse_settings
from asr.decoding.beam import UNKNOWN_SCORE, BeamSearch
from asr.decoding.greedy import greedy
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.lexicon import read_lexicon
from asr.errors import ConfigError, LanguageModelError
from asr.lm.load import MODEL_FILE, load
from asr.lm.ngram import NgramModel
from asr.model.bundle import Bundle
from asr.text.normalize import Normalizer

LM_FOLDER = "lm"
"""Where a bundle keeps its language model."""
WEIGHTS_FILE = "decoding.json"
LM_WEIGHT, WORD_BONUS = 0.5, 0.5
"""Without tuning."""
SPARE = 2
"""Hypotheses found for each one returned: some write the same text in other tokens, by a space at its end say."""

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

    Raises:
        ConfigError: greedy decoding is given what only beam search can use, or a number is out of range.
    """

    beam_size: int = 0
    lm: Path | None = None
    lm_weight: float | None = None
    word_bonus: float | None = None
    lexicon: Path | None = None
    hotwords: Mapping[str, float] = field(default_factory=dict)
    nbest: int = 1

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
            "an N-best list": self.nbest > 1,
        }
        if not self.beam_size and (useless := [name for name, is_given in given.items() if is_given]):
            raise ConfigError(
                f"greedy decoding: cannot use {', '.join(useless)}; ask for beam search, e.g. --beam 50, or leave them"
            )


class TunedWeights(Settings):
    """The weights that did best on dev, and how good they were there; error rates are fractions."""

    lm_weight: float
    word_bonus: float
    beam_size: int
    dev_wer: float
    greedy_dev_wer: float
    unknown_score: float = UNKNOWN_SCORE


def build_decoder(options: DecodingOptions, bundle: Bundle, bundled_lm: Path | None = None) -> Decoder:
    """The decoder that these options ask for.

    Args:
        options: what is asked for.
        bundle: whose log-probabilities are to be decoded.
        bundled_lm: the folder of the bundle's own language model; it need not exist.

    Raises:
        ConfigError: a weight without a language model, or a number out of range.
        LanguageModelError: the language model or its weights cannot be read.
        TextError: a word of the lexicon or a hotword cannot be written in the tokens of the model.
    """
    tokenizer, frame_seconds = bundle.tokenizer, bundle.model.frame_seconds
    if not options.beam_size:
        temperature = bundle.calibration.greedy
        return lambda log_probs, lengths: [
            [best] for best in greedy(log_probs, lengths, tokenizer, frame_seconds, temperature)
        ]
    normalizer = Normalizer(bundle.text)
    fused = _language_model(options, bundled_lm)
    search = BeamSearch(
        tokenizer,
        beam_size=options.beam_size,
        lm=load(fused.path) if fused.path is not None else None,
        lm_weight=fused.lm_weight,
        word_bonus=fused.word_bonus,
        unknown_score=fused.unknown_score,
        lexicon=[normalizer(word) for word in read_lexicon(options.lexicon)] if options.lexicon is not None else None,
        hotwords=_normalized(options.hotwords, normalizer),
        nbest=1 if options.nbest == 1 else SPARE * options.nbest,
        frame_seconds=frame_seconds,
        temperature=bundle.calibration.beam,
    )
    threads = torch.get_num_threads()  # as many as whoever runs this allows the model

    def decode(log_probs: torch.Tensor, lengths: torch.Tensor) -> list[list[Hypothesis]]:
        found = search.batch(log_probs.cpu(), lengths.cpu(), threads)
        return [_distinct(hypotheses)[: options.nbest] for hypotheses in found]

    return decode


def describe(options: DecodingOptions, bundled_lm: Path | None = None) -> dict[str, Any]:
    """How `build_decoder` decodes with the same arguments, as plain values: what has to stand beside an error rate.

    Raises:
        ConfigError: a weight without a language model.
        LanguageModelError: the weights beside the language model cannot be read.
    """
    if not options.beam_size:
        return {"search": "greedy"}
    fused = _language_model(options, bundled_lm)
    weights = {"lm_weight": fused.lm_weight, "word_bonus": fused.word_bonus, "unknown_score": fused.unknown_score}
    return {
        "search": "beam",
        "beam_size": options.beam_size,
        "lm": None if fused.path is None else str(fused.path),
        **(weights if fused.path is not None else dict.fromkeys(weights)),
        "lexicon": None if options.lexicon is None else str(options.lexicon),
        "hotwords": len(options.hotwords),
    }


@dataclass(frozen=True, slots=True)
class _LanguageModel:
    """Where the language model lies, None without one, and what weighs it."""

    path: Path | None
    lm_weight: float
    word_bonus: float
    unknown_score: float


def _language_model(options: DecodingOptions, bundled_lm: Path | None) -> _LanguageModel:
    """What is asked for, or else what was tuned, or else the defaults."""
    path = options.lm or (bundled_lm if bundled_lm is not None and bundled_lm.is_dir() else None)
    if path is None and (options.lm_weight is not None or options.word_bonus is not None):
        raise ConfigError("beam search: a language model's weights without a language model; give one (--lm)")
    tuned = read_weights(path) if path is not None else None
    lm_weight, word_bonus = (tuned.lm_weight, tuned.word_bonus) if tuned else (LM_WEIGHT, WORD_BONUS)
    return _LanguageModel(
        path=path,
        lm_weight=lm_weight if options.lm_weight is None else options.lm_weight,
        word_bonus=word_bonus if options.word_bonus is None else options.word_bonus,
        unknown_score=tuned.unknown_score if tuned else UNKNOWN_SCORE,
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


def store_lm(folder: Path, lm: NgramModel, weights: TunedWeights) -> None:
    """Write a language model and its weights into a bundle, complete or not at all.

    Args:
        folder: of the bundle.
        lm: the language model that the weights are for.
        weights: what tuning found.
    """
    place = folder / LM_FOLDER
    fresh = Path(tempfile.mkdtemp(prefix=f".{LM_FOLDER}-", dir=folder))
    aside = fresh.with_name(f"{fresh.name}-old")
    try:
        fresh.chmod(0o755)
        lm.save(fresh / MODEL_FILE)
        (fresh / WEIGHTS_FILE).write_text(json.dumps(weights.model_dump(), indent=2) + "\n", encoding="utf-8")
        if place.exists():
            place.replace(aside)  # a folder cannot be replaced in one step
        fresh.replace(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _distinct(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """The best of those that read alike."""
    return list({hypothesis.text: hypothesis for hypothesis in reversed(hypotheses)}.values())[::-1]


def _normalized(hotwords: Mapping[str, float], normalizer: Normalizer) -> dict[str, float]:
    normalized = {normalizer(phrase): boost for phrase, boost in hotwords.items()}
    if "" in normalized:
        lost = next(phrase for phrase in hotwords if not normalizer(phrase))
        raise ConfigError(f"hotword {lost!r}: normalisation leaves nothing of it; remove it, or spell it in letters")
    return normalized

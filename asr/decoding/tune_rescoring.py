"""Tuning of rescoring: which weights rank the readings of a development set best.

The readings do not change with the weights, so each is compared with its reference, and asked of the language model,
once; a point of the grid then costs a sum and a maximum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from asr.decoding.beam import BeamSearch
from asr.decoding.decoder import SPARE, TunedWeights, distinct
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.rescore import READINGS, RescoringWeights, SearchWeights, remainder
from asr.decoding.tune import Emissions, no_better
from asr.evaluation.rates import score
from asr.lm.ngram import NgramModel
from asr.lm.rnn import RnnModel
from asr.text.normalize import Normalizer
from asr.text.tokenizer import Tokenizer

SHARES = (0.25, 0.5, 0.75, 1.0)
LM_WEIGHTS = tuple(step / 4 for step in range(1, 13))
WORD_BONUSES = tuple(step / 2 for step in range(-4, 11))


@dataclass(frozen=True, slots=True)
class RescoringTuning:
    """What the search found; error rates are fractions."""

    best: tuple[tuple[RescoringWeights, float], ...]
    """For each share of the recurrent model the best other weights, and the word error rate with them."""
    beam_wer: float
    """Before rescoring, with the same search."""
    oracle_wer: float
    """If always the best of the readings were chosen."""

    @property
    def weights(self) -> RescoringWeights:
        """Those with the fewest errors; the first among equals."""
        return min(self.best, key=lambda found: found[1])[0]

    @property
    def wer(self) -> float:
        """With these weights."""
        return min(wer for _, wer in self.best)

    @property
    def is_fault(self) -> bool:
        """Whether rescoring is of no use, at any weight: it costs time, so it has to leave fewer errors.

        Where there are none without it, dev cannot tell, and it is at fault only if it makes some.
        """
        return no_better(self.wer, self.beam_wer)


def render(tuning: RescoringTuning) -> str:
    """What each share of the recurrent model gains, a line each, and what there is to gain."""
    lines = [
        f"rescored      WER {wer:.2%}  (share {each.share:g}, lm_weight {each.lm_weight:g}, "
        f"word_bonus {each.word_bonus:g})"
        for each, wer in tuning.best
    ]
    return "\n".join([*lines, f"best readings WER {tuning.oracle_wer:.2%}  (if they were known)"])


@dataclass(frozen=True, slots=True)
class Readings:
    """What is to be chosen among; arrays of shape (utterances, readings), padded with readings never chosen."""

    remainder: Any
    """Of the score, beyond language model and word bonus; -inf in the padding."""
    ngram: Any
    recurrent: Any
    words: Any
    errors: Any
    reference_words: int

    def wer(self, weights: RescoringWeights) -> float:
        """The word error rate if these weights choose."""
        mixed = (1 - weights.share) * self.ngram + weights.share * self.recurrent
        scores = self.remainder + weights.lm_weight * mixed + weights.word_bonus * self.words
        return float(self.errors[np.arange(len(scores)), scores.argmax(axis=1)].sum() / self.reference_words)


def tune_rescoring(
    emissions: Emissions,
    tokenizer: Tokenizer,
    normalizer: Normalizer,
    lm: NgramModel,
    rnn: RnnModel,
    before: TunedWeights,
    beam_size: int = 50,
) -> RescoringTuning:
    """Search the weights of rescoring on a grid. Among equals, those nearest to the weights of beam search win.

    Args:
        emissions: of the development set; the test set must not be seen here.
        tokenizer: the one the log-probabilities belong to.
        normalizer: what hypotheses are normalised with before they are compared.
        lm: the n-gram model of the search.
        rnn: the model to rescore with.
        before: the weights of the search.
        beam_size: prefixes kept.

    Raises:
        AsrError: the references hold no words.
        ConfigError: the beam size is impossible.
    """
    search = BeamSearch(
        tokenizer,
        beam_size,
        lm,
        before.lm_weight,
        before.word_bonus,
        character_bonus=before.character_bonus,
        unknown_score=before.unknown_score,
        nbest=SPARE * READINGS,
    )
    threads = torch.get_num_threads()
    found = (search.batch(log_probs, lengths, threads) for log_probs, lengths in emissions.batches)
    lists = [distinct(hypotheses)[:READINGS] for batch in found for hypotheses in batch]
    readings = collect(lists, emissions.references, normalizer, rnn, before)
    best = []
    for share in SHARES:
        grid = [
            RescoringWeights(share=share, lm_weight=lm_weight, word_bonus=word_bonus)
            for lm_weight, word_bonus in product(LM_WEIGHTS, WORD_BONUSES)
        ]
        wers = [readings.wer(weights) for weights in grid]
        distances = [
            math.dist((each.lm_weight, each.word_bonus), (before.lm_weight, before.word_bonus)) for each in grid
        ]
        wer, _, place = min(zip(wers, distances, range(len(grid)), strict=True))
        best.append((grid[place], wer))
    return RescoringTuning(
        best=tuple(best),
        beam_wer=readings.wer(RescoringWeights(share=0.0, lm_weight=before.lm_weight, word_bonus=before.word_bonus)),
        oracle_wer=float(readings.errors.min(axis=1).sum() / readings.reference_words),
    )


def collect(
    lists: Sequence[Sequence[Hypothesis]],
    references: Sequence[str],
    normalizer: Normalizer,
    rnn: RnnModel,
    before: SearchWeights,
) -> Readings:
    """Compare all readings with their references, and ask the recurrent model of each.

    Raises:
        AsrError: the references hold no words.
    """
    shape = len(lists), max(map(len, lists), default=0)
    rows, columns = np.nonzero(np.arange(shape[1]) < np.array([len(each) for each in lists])[:, None])
    flat = [hypothesis for hypotheses in lists for hypothesis in hypotheses]
    rates = score([references[row] for row in rows.tolist()], [normalizer(hypothesis.text) for hypothesis in flat])

    def table(values: Sequence[float], padding: float) -> Any:
        cells = np.full(shape, padding)
        cells[rows, columns] = values
        return cells

    return Readings(
        remainder=table([remainder(hypothesis, before) for hypothesis in flat], -np.inf),
        ngram=table([hypothesis.lm_score for hypothesis in flat], 0.0),
        recurrent=table(rnn.log_probs([hypothesis.text for hypothesis in flat]), 0.0),
        words=table([len(hypothesis.text.split()) for hypothesis in flat], 0.0),
        errors=table([utterance.errors for utterance in rates.utterances], np.inf),
        reference_words=sum(len(reference.split()) for reference in references),
    )

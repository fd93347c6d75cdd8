"""Tuning: which weights of a language model recognise a development set best, searched on stored log-probabilities."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from rich.table import Table

from asr.decoding.beam import UNKNOWN_SCORE, BeamSearch
from asr.decoding.decoder import LM_WEIGHT, WORD_BONUS, TunedWeights
from asr.decoding.greedy import greedy
from asr.decoding.hypothesis import Hypothesis
from asr.evaluation.rates import score
from asr.lm.ngram import NgramModel
from asr.lm.units import Unit
from asr.picture import save_picture
from asr.text.normalize import Normalizer
from asr.text.tokenizer import Tokenizer

LM_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0)
WORD_BONUSES = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
BONUSES: dict[Unit, tuple[float, ...]] = {"word": WORD_BONUSES, "character": (0.0, 0.5, 1.0, 1.5, 2.0)}
"""The coarse grid; a model of characters gives words no bonus. Between its points the search goes on around the best,
at half the step and at a quarter."""
REFINEMENTS = 2
UNTUNED: dict[Unit, float] = {"word": WORD_BONUS, "character": 0.0}
UNKNOWN_SCORES = (-10.0, -5.0, -2.5, -1.0)
"""Tried at the best weights; where one is better than `UNKNOWN_SCORE`, the coarse grid is searched again with it.
Measured on AN4 with language models of 25, 60, 150 and 400 sentences, which do not know 14.1, 6.0, 1.9 and 0.8 % of
the words in test: WER there falls from 15.8 to 9.8, 11.4 to 8.7, 8.5 to 8.2 % and stays at 7.9 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Emissions:
    """What a model makes of a corpus.

    `batches` hold log_probs (batch, frames, tokens), natural logs, and lengths (batch,), on the CPU; `references` are
    normalised, in the order of the utterances in the batches.
    """

    batches: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Weights, and the error rates with them, as fractions; the bonus is for each unit of the language model."""

    lm_weight: float
    bonus: float
    unknown_score: float
    wer: float
    cer: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the search found. `greedy_wer` and `beam_wer` are the word error rates without the language model."""

    points: tuple[Point, ...]
    unit: Unit
    beam_size: int
    greedy_wer: float
    beam_wer: float

    @property
    def best(self) -> Point:
        """The fewest word errors; among equals the fewest character errors, then the weights nearest to the untuned."""
        return min(self.points, key=_rank(self.unit))

    @property
    def surface(self) -> tuple[Point, ...]:
        """The points with the best price of unknown words."""
        return tuple(point for point in self.points if point.unknown_score == self.best.unknown_score)

    @property
    def plain_wer(self) -> float:
        """The word error rate without the language model, greedily or by beam search, whichever is less."""
        return min(self.greedy_wer, self.beam_wer)

    @property
    def is_fault(self) -> bool:
        """Whether the language model is of no use: with it, at any weight, there are as many word errors as without it.

        Something is then wrong with it, say its spelling, and no weights make up for it. Where there are no errors
        without it, dev cannot tell, and it is at fault only if it makes some. At a weight of 0 its probabilities do not
        count, but which words it knows does, by `unknown_score`; that may be all that helps.
        """
        return no_better(self.best.wer, self.plain_wer)

    @property
    def weights(self) -> TunedWeights:
        """What a bundle stores."""
        word_bonus, character_bonus = _bonuses(self.unit, self.best.bonus)
        return TunedWeights(
            lm_weight=self.best.lm_weight,
            word_bonus=word_bonus,
            character_bonus=character_bonus,
            unknown_score=self.best.unknown_score,
            beam_size=self.beam_size,
            dev_wer=self.best.wer,
            greedy_dev_wer=self.greedy_wer,
        )


def tune(
    emissions: Emissions,
    tokenizer: Tokenizer,
    normalizer: Normalizer,
    lm: NgramModel,
    beam_size: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Search the weights on a coarse grid, then the price of unknown words, then the weights on finer grids.

    A model of characters knows all words.

    Args:
        emissions: of the development set; the test set must not be seen here.
        tokenizer: the one the log-probabilities belong to.
        normalizer: what hypotheses are normalised with before they are compared.
        lm: the language model to be weighed.
        beam_size: prefixes kept; the best weights depend on it a little.
        progress: told how many points are done, and of how many at most.

    Raises:
        AsrError: the references hold no words.
        ConfigError: the beam size is impossible.
    """
    threads = torch.get_num_threads()

    def rates(search: BeamSearch) -> tuple[float, float]:
        found = [search.batch(log_probs, lengths, threads) for log_probs, lengths in emissions.batches]
        return _rates(emissions, normalizer, (each[0] for batch in found for each in batch))

    plain = [greedy(log_probs, lengths, tokenizer, 1.0) for log_probs, lengths in emissions.batches]
    greedy_wer, _ = _rates(emissions, normalizer, (each for batch in plain for each in batch))
    beam_wer, _ = rates(BeamSearch(tokenizer, beam_size))
    points: dict[tuple[float, float, float], Point] = {}
    coarse = list(product(LM_WEIGHTS, BONUSES[lm.unit]))
    prices = UNKNOWN_SCORES if lm.unit == "word" else ()
    most = len(coarse) * (2 if prices else 1) + len(prices) + 8 * REFINEMENTS

    def visit(wanted: Iterable[tuple[float, float, float]]) -> Point:
        for weights in wanted:
            if weights not in points and weights[0] >= 0:
                lm_weight, bonus, price = weights
                words, characters = _bonuses(lm.unit, bonus)
                search = BeamSearch(
                    tokenizer, beam_size, lm, lm_weight, words, character_bonus=characters, unknown_score=price
                )
                points[weights] = Point(*weights, *rates(search))
                if progress is not None:
                    progress(len(points), most)
        return min(points.values(), key=_rank(lm.unit))

    best = visit((*weights, UNKNOWN_SCORE) for weights in coarse)
    best = visit((best.lm_weight, best.bonus, price) for price in prices)
    best = visit((*weights, best.unknown_score) for weights in coarse)
    step = LM_WEIGHTS[1] - LM_WEIGHTS[0], BONUSES[lm.unit][-1] - BONUSES[lm.unit][-2]
    for _ in range(REFINEMENTS):
        step = step[0] / 2, step[1] / 2
        best = visit(_around(best, *step))
    return Tuning(tuple(points.values()), lm.unit, beam_size, greedy_wer, beam_wer)


def no_better(wer: float, before: float) -> bool:
    """Whether an error rate is no lower than the one before; where both are 0 nothing can be told, and it is False."""
    return wer >= before and wer > 0


def _bonuses(unit: Unit, bonus: float) -> tuple[float, float]:
    """The bonus of a word and that of a character, where each unit of the language model is to have this one."""
    return (bonus, 0.0) if unit == "word" else (0.0, bonus)


def render(tuning: Tuning) -> Table:
    """The surface as a table, for a rich console: WER in percent, the best marked, blank where nothing was searched."""
    wers = {(point.lm_weight, point.bonus): point.wer for point in tuning.surface}
    across = sorted({point.bonus for point in tuning.surface})
    best = tuning.best
    title = f"WER on dev, %; down: lm_weight, across: {tuning.unit}_bonus"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("", style="bold")
    for bonus in across:
        table.add_column(f"{bonus:g}", justify="right")
    for weight in sorted({point.lm_weight for point in tuning.surface}):
        cells = [f"{100 * wers[weight, bonus]:.2f}" if (weight, bonus) in wers else "" for bonus in across]
        if weight == best.lm_weight:
            place = across.index(best.bonus)
            cells[place] = f"[bold reverse]{cells[place]}[/]"
        table.add_row(f"{weight:g}", *cells)
    return table


def draw(tuning: Tuning, path: Path) -> None:
    """The surface as a picture: each point searched, coloured by its WER, the best one ringed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    coarse = set(product(LM_WEIGHTS, BONUSES[tuning.unit]))
    places = [(point.lm_weight, point.bonus) for point in tuning.surface]
    wers = [100 * point.wer for point in tuning.surface]
    sizes = [300 if place in coarse else 100 for place in places]
    weights, across = zip(*places, strict=True)
    dots = axes.scatter(weights, across, c=wers, s=sizes, cmap="viridis_r")
    best = tuning.best
    axes.scatter([best.lm_weight], [best.bonus], s=500, facecolors="none", edgecolors="red", linewidths=2)
    for place, wer in zip(places, wers, strict=True):
        if place in coarse or place == (best.lm_weight, best.bonus):  # the others lie too close together
            axes.annotate(f"{wer:.1f}", place, (0, -20), textcoords="offset points", ha="center", fontsize=8)
    title = f"WER on dev, %; greedy {100 * tuning.greedy_wer:.2f}"
    axes.set(title=title, xlabel="lm_weight", ylabel=f"{tuning.unit}_bonus")
    axes.margins(0.1)
    figure.colorbar(dots, label="WER, %")
    save_picture(figure, path)


def _rank(unit: Unit) -> Callable[[Point], tuple[float, float, float, float]]:
    def rank(point: Point) -> tuple[float, float, float, float]:
        distance = math.dist((point.lm_weight, point.bonus), (LM_WEIGHT, UNTUNED[unit]))
        return point.wer, point.cer, distance, abs(point.unknown_score - UNKNOWN_SCORE)

    return rank


def _around(point: Point, lm_step: float, bonus_step: float) -> list[tuple[float, float, float]]:
    near = (-1, 0, 1)
    return [
        (point.lm_weight + i * lm_step, point.bonus + j * bonus_step, point.unknown_score)
        for i, j in product(near, near)
    ]


def _rates(emissions: Emissions, normalizer: Normalizer, found: Iterable[Hypothesis]) -> tuple[float, float]:
    """Word and character error rate."""
    rates = score(emissions.references, [normalizer(hypothesis.text) for hypothesis in found])
    return rates.wer, rates.cer

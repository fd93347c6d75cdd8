"""Whether confidences mean something: of the words said with confidence 0.8, eight in ten should be right.

The expected calibration error (Guo et al. 2017, "On calibration of modern neural networks", equation 3) puts words into
bins of equal width by their confidence, and averages over all words how far each bin's share of right words is from its
mean confidence. One temperature, fitted on other data than it is judged on, repairs most of it (section 4.2 there).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from asr.evaluation.rates import UtteranceErrors
from asr.picture import save_picture

BINS = 15
"""As many as Guo et al. use."""
TEMPERATURES = np.geomspace(0.1, 10.0, 21)
"""Tried first; then the search goes on between the neighbours of the best."""
DEVIATION = 0.5
"""What is believed of the temperature's logarithm before anything is known."""
SURE = 1e-6
"""The likelihood counts confidences closer than this to 0 or 1 as this close, lest one word decides all."""

Confidences = NDArray[np.float64]
Outcomes = NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bin:
    """Words of similar confidence: how many, their mean confidence, and the share of them that is right."""

    words: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How confidence and accuracy go together.

    `bins` have equal width and cover 0 to 1, empty ones included; `log_loss` is None if there are no words.
    """

    bins: tuple[Bin, ...]
    log_loss: float | None

    @property
    def words(self) -> int:
        """All words in the bins."""
        return sum(each.words for each in self.bins)

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error, a fraction; None if there are no words."""
        if not self.words:
            return None
        return sum(each.words * abs(each.accuracy - each.confidence) for each in self.bins) / self.words

    @property
    def chance_error(self) -> float | None:
        """About the calibration error that confidences without fault would show, by the scatter of so few words.

        A bin of n words of confidence c has c n right ones give or take sqrt(n c (1 - c)), and the mean absolute
        deviation of the normal distribution is sqrt(2 / pi) of that.
        """
        if not self.words:
            return None
        scatter = (each.words * each.confidence * (1.0 - each.confidence) for each in self.bins)
        return sum(math.sqrt(2.0 / math.pi * each) for each in scatter) / self.words


def reliability(confidences: Confidences, correct: Outcomes, bins: int = BINS) -> Reliability:
    """Sort words into bins by confidence.

    Args:
        confidences: in 0..1, shape (words,).
        correct: whether each word was right, shape (words,).
        bins: how many; each holds its upper edge but not its lower one, except that the first holds 0.
    """
    places = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    held = np.maximum(counts, 1)
    means = np.bincount(places, confidences, bins) / held
    shares = np.bincount(places, correct, bins) / held
    return Reliability(
        tuple(map(Bin, counts.tolist(), means.tolist(), shares.tolist())),
        log_loss(confidences, correct) if len(correct) else None,
    )


def judge(utterances: Iterable[UtteranceErrors], words: Iterable[Sequence[T]]) -> Iterator[tuple[T, bool]]:
    """Say of each recognised word whether it stands in the reference where it was recognised.

    Substitutions and insertions are wrong; a deleted word is no recognised one.

    Args:
        utterances: with their alignments.
        words: what is known of the words of each hypothesis, say their confidences. An utterance that has another
            number of words, because normalisation joined or parted some, is left out.

    Yields:
        What is known of a word, and whether it is right.
    """
    for utterance, known in zip(utterances, words, strict=True):
        pairs = [(said, heard) for said, heard in utterance.alignment if heard is not None]
        if len(pairs) == len(known):
            yield from ((each, said == heard) for each, (said, heard) in zip(known, pairs, strict=True))


def log_loss(confidences: Confidences, correct: Outcomes) -> float:
    """The mean negative log-likelihood, in nats, of which words are right.

    Args:
        confidences: in 0..1, shape (words,), at least one.
        correct: whether each word was right, shape (words,).
    """
    sure = np.clip(confidences, SURE, 1.0 - SURE)
    return float(-np.mean(np.where(correct, np.log(sure), np.log1p(-sure))))


def fit_temperature(confidences: Callable[[float], Confidences], correct: Outcomes) -> float:
    """The temperature at which confidences foretell best which words are right.

    That is the likeliest one (`log_loss`), if its logarithm is believed beforehand to be normally distributed around 0
    with a deviation of `DEVIATION`. Some hundred words outweigh that belief; but where none of them is wrong, it keeps
    confidences from being taken for certainties.

    Args:
        confidences: of the words, shape (words,), at a temperature.
        correct: whether each word was right, shape (words,).

    Returns:
        Within the range of `TEMPERATURES`; 1 if there are no words.
    """
    from scipy.optimize import minimize_scalar

    if not len(correct):
        return 1.0

    def loss(log_temperature: float) -> float:
        prior = 0.5 * (log_temperature / DEVIATION) ** 2
        return log_loss(confidences(math.exp(log_temperature)), correct) + prior / len(correct)

    grid = np.log(TEMPERATURES)
    best = int(np.argmin([loss(each) for each in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)


def render(measured: Mapping[str, Reliability]) -> Table:
    """Bins as a table, for a rich console: for each name the words, their mean confidence and how many are right."""
    table = Table(title="Confidences, %: words, their mean, right", title_justify="left", box=None)
    table.add_column("", style="bold", justify="right")
    for name in measured:
        table.add_column(name, justify="right")
        table.add_column("", justify="right")
        table.add_column("", justify="right")
    rows = list(zip(*(each.bins for each in measured.values()), strict=True))
    for number, row in enumerate(rows):
        if any(each.words for each in row):
            edges = f"{100 * number / len(rows):.0f} to {100 * (number + 1) / len(rows):.0f}"
            table.add_row(edges, *(cell for each in row for cell in _cells(each)))
    return table


def draw(measured: Mapping[str, tuple[Reliability, Reliability]], path: Path) -> None:
    """A reliability diagram for each name, before and after calibration: what lies on the diagonal is calibrated.

    Args:
        measured: before and after, by name; at least one.
        path: of the picture; its ending says in which format. It is written beside its place and then renamed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(measured), 5), layout="constrained")
    for axes, (name, both) in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
        for label, color, each in zip(("before", "after"), ("tab:orange", "tab:blue"), both, strict=True):
            _points(axes, f"{label}, error {_percent(each.calibration_error)}", color, each)
        axes.set(title=name, xlabel="confidence", ylabel="share of words that are right", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper left")
    save_picture(figure, path)


def _points(axes: Any, label: str, color: str, measured: Reliability) -> None:
    """One point a bin, its area as the bin's number of words."""
    held = [each for each in measured.bins if each.words]
    sizes = [10 + 400 * each.words / measured.words for each in held]
    places = [each.confidence for each in held], [each.accuracy for each in held]
    axes.plot(*places, color=color, linewidth=1, alpha=0.4, label=label)
    axes.scatter(*places, s=sizes, color=color, alpha=0.5)


def _cells(measured: Bin) -> tuple[str, str, str]:
    if not measured.words:
        return "", "", ""
    return str(measured.words), f"{100 * measured.confidence:.1f}", f"{100 * measured.accuracy:.1f}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"

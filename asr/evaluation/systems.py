"""Systems side by side: the hypotheses that `asr evaluate` wrote are read back and compared utterance by utterance."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asr.errors import ManifestError
from asr.evaluation.significance import Comparison, bootstrap_interval, compare

REMEDY = "give what asr evaluate --hypotheses wrote"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What systems are called in the table."""


class _Line(NamedTuple):
    id: str
    words: int
    errors: int


@dataclass(frozen=True, slots=True)
class System:
    """A system scored once or, trained from several seeds, several times on the same utterances."""

    name: str
    ids: tuple[str, ...]
    words: tuple[int, ...]
    """Reference words of each utterance."""
    runs: tuple[tuple[int, ...], ...]
    """Word errors of each utterance, a tuple for each run."""

    @property
    def wers(self) -> list[float]:
        """The word error rate of each run, a fraction."""
        return [sum(errors) / sum(self.words) for errors in self.runs]

    @property
    def errors(self) -> list[int]:
        """Word errors of each utterance, all runs together."""
        return [sum(each) for each in zip(*self.runs, strict=True)]


def read_system(name: str) -> System:
    """Read a system's hypotheses.

    Args:
        name: a file that `asr evaluate --hypotheses` wrote, or several of them, one for each seed, joined by commas.

    Raises:
        ManifestError: a file is missing or has another form, or the files are not of the same utterances.
    """
    paths = [Path(each) for each in name.split(",")]
    first, *others = runs = [_read(path) for path in paths]
    for path, lines in zip(paths[1:], others, strict=True):
        if [line[:2] for line in lines] != [line[:2] for line in first]:
            raise ManifestError(f"{path}: not the utterances of {paths[0]}; score both on the same manifest")
    words = tuple(line.words for line in first)
    if not sum(words):
        raise ManifestError(f"{paths[0]}: holds no reference words, so there is no error rate; score speech with text")
    return System(
        name, tuple(line.id for line in first), words, tuple(tuple(line.errors for line in lines) for lines in runs)
    )


def compare_systems(base: System, other: System) -> Comparison:
    """Paired bootstrap over the utterances; where a system has several runs, over their mean.

    Raises:
        ManifestError: the systems were not scored on the same utterances.
    """
    if (base.ids, base.words) != (other.ids, other.words):
        raise ManifestError(f"{other.name}: not the utterances of {base.name}; score both on the same manifest")
    runs, other_runs = len(base.runs), len(other.runs)
    words = [count * runs * other_runs for count in base.words]
    return compare([each * other_runs for each in base.errors], [each * runs for each in other.errors], words)


def render_comparison(systems: Sequence[System]) -> RenderableType:
    """A table of all systems, the others compared with the first one.

    Raises:
        ManifestError: they are too many, or were not scored on the same utterances.
    """
    if len(systems) > len(LETTERS):
        raise ManifestError(f"{len(systems)} systems are too many for one table; compare at most {len(LETTERS)}")
    base, *others = systems
    table = Table(box=None, pad_edge=False)
    for heading in ("", "WER", "95% interval", "least to most", "difference", "95% interval", "better"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("A", *_rates(base))
    for letter, other in zip(LETTERS[1:], others, strict=False):
        found = compare_systems(base, other)
        low, high = found.interval
        table.add_row(
            letter,
            *_rates(other),
            f"{found.difference:+.2%}",
            f"{low:+.2%} to {high:+.2%}",
            f"{found.probability_of_improvement:.1%}",
        )
    names = [Text(f"{letter}  {system.name}") for letter, system in zip(LETTERS, systems, strict=False)]
    note = (
        "Differences are from A, by paired bootstrap over utterances; one whose interval holds 0 may be chance. "
        "`better`: on how many of the drawn corpora there are fewer errors than A's, as many counting half."
    )
    return Group(*names, Text(), table, Text(), Text(note))


def _rates(system: System) -> tuple[str, str, str]:
    """Mean WER, its interval, and the range over the runs if there are several."""
    words = [count * len(system.runs) for count in system.words]
    low, high = bootstrap_interval(system.errors, words)
    spread = f"{min(system.wers):.2%} to {max(system.wers):.2%}" if len(system.runs) > 1 else ""
    return f"{sum(system.wers) / len(system.wers):.2%}", f"{low:.2%} to {high:.2%}", spread


def _read(path: Path) -> list[_Line]:
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); {REMEDY}") from None
    if lines == [""]:
        raise ManifestError(f"{path}: empty; {REMEDY}")
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _parse(line: str, where: str) -> _Line:
    try:
        record = json.loads(line)
        found = _Line(record["id"], record["words"], record["errors"])
    except (json.JSONDecodeError, TypeError, KeyError):
        raise ManifestError(f"{where}: no scored hypothesis with {', '.join(_Line._fields)}; {REMEDY}") from None
    if not (isinstance(found.id, str) and isinstance(found.words, int) and isinstance(found.errors, int)):
        raise ManifestError(f"{where}: id must be text, words and errors must be counts; {REMEDY}")
    return found

"""What manifests have in common: what was trained on says nothing when it is scored."""

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Self

from asr.dataset.manifest import Utterance

MARGIN_SECONDS = 0.1
"""Two stretches of a file that share no more than this (or half of one) are neighbours, cut with a little to spare."""


class Stretch(NamedTuple):
    """Where an utterance is. Files are told apart by name, not by what they hold."""

    path: str
    begin: float
    end: float

    @classmethod
    def of(cls, utterance: Utterance) -> Self:
        """That of an utterance."""
        begin = utterance.offset
        return cls(os.path.normpath(utterance.audio_filepath), begin, begin + utterance.duration)

    @property
    def margin(self) -> float:
        """Seconds at either end that others may have too."""
        return min(MARGIN_SECONDS, (self.end - self.begin) / 2)


class Recordings:
    """Many stretches, to look others up in."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._of: dict[str, list[Stretch]] = {}
        for each in sorted(stretches):
            self._of.setdefault(each.path, []).append(each)
        self._ends = {path: [*accumulate((each.end for each in found), max)] for path, found in self._of.items()}
        """Where the last one ends, of each file's first ones."""

    def __contains__(self, stretch: Stretch) -> bool:
        """Whether a stretch, or part of it, is among these."""
        path, begin, end = stretch
        before = bisect_left(self._of.get(path, ()), (path, end - stretch.margin))
        return before > 0 and self._ends[path][before - 1] > begin + stretch.margin

    def common(self, others: "Recordings") -> int:
        """How many of the others, or parts of them, are among these."""
        return sum(each in self for found in others._of.values() for each in found)

    def repeated(self) -> int:
        """How many are, at least in part, in one of these that begins earlier, or is written before them."""
        return sum(
            end > each.begin + each.margin
            for path, found in self._of.items()
            for each, end in zip(found[1:], self._ends[path], strict=False)
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What manifests are compared by."""

    recordings: Recordings
    speakers: frozenset[str]
    texts: frozenset[str]
    """Normalised, each once; the empty one is not among them."""


def complaints(train: Iterable[Utterance], scored: Mapping[str, Iterable[Utterance]]) -> list[str]:
    """What a person should know before a training whose data are scored too.

    Args:
        train: what is trained on.
        scored: the utterances of each manifest that models are judged by, under its name.
    """
    held_out = {name: Recordings(map(Stretch.of, utterances)) for name, utterances in scored.items()}
    counts = Counter(
        name for each in map(Stretch.of, train) for name, recordings in held_out.items() if each in recordings
    )
    return [
        f"{name}: holds the audio of {counts[name]:,} training utterances, so that its scores say little of other "
        "speech; take them out here or there"
        for name in held_out
        if counts[name]
    ]

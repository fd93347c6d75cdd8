"""N-gram models: words in, log-probabilities out, and a file that is mapped instead of read.

The file is ours: 8 bytes that name it, the length of a JSON header (uint32), the header, then the arrays, each from a
multiple of 64 bytes on, little-endian. A model of 1.9 million n-grams takes 28 MB and opens in a millisecond.
"""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import LanguageModelError
from asr.lm.files import write_bytes
from asr.lm.trie import LEAF, NODE
from asr.lm.trie import ROOT as ROOT
from asr.lm.trie import score as score
from asr.lm.units import Unit, units
from asr.lm.vocabulary import BEGIN as BEGIN
from asr.lm.vocabulary import END as END
from asr.lm.vocabulary import UNKNOWN as UNKNOWN
from asr.lm.vocabulary import Vocabulary

MAGIC, VERSION = b"asrngram", 1
ALIGNMENT = 64
ABSENT_LOG10 = -100.0
"""The price of an unknown word in a model that has no <unk>, the one KenLM asks."""


@dataclass(frozen=True, eq=False, slots=True)
class NgramModel:
    """A back-off model. Scores are natural logarithms; words are spelled and cased as in the text it was made of.

    A word that is not in the vocabulary counts as <unk>; a model without <unk> gives it `ABSENT_LOG10`.

    A state is a node of the trie (`asr.lm.trie`), an int. Compiled code calls `asr.lm.trie.score` with `nodes` and
    `leaves`, which are never writeable, so that it is compiled once for models read and models trained.
    """

    counts: tuple[int, ...]
    """N-grams of each order; the first is the size of the vocabulary, <unk> included even if the model has none."""
    nodes: NDArray[Any]
    leaves: NDArray[Any]
    vocabulary: Vocabulary
    has_unknown: bool
    unit: Unit = "word"
    """What is called a word here: a word, or a single character."""

    def __post_init__(self) -> None:
        for array in (self.nodes, self.leaves):
            array.flags.writeable = False

    @property
    def order(self) -> int:
        """Words in the longest n-grams."""
        return len(self.counts)

    def units(self, sentence: str) -> list[str]:
        """What `score` is to be asked for, one after the other, about a sentence."""
        return units(sentence, self.unit)

    def start(self) -> int:
        """The state at the beginning of a sentence."""
        return BEGIN

    def score(self, state: int, word: str) -> tuple[float, int]:
        """The natural log-probability of a word, and the state after it; a word spelled <s> is unknown."""
        found = self.vocabulary.id(word)
        log_prob, after = score(self.nodes, self.leaves, state, found if found != BEGIN else UNKNOWN)
        return float(log_prob), int(after)

    def finish(self, state: int) -> float:
        """The natural log-probability that the sentence ends here."""
        return float(score(self.nodes, self.leaves, state, END)[0])

    def ngrams(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]]:
        """For each order, words of shape (n-grams, order), log10 probabilities and log10 back-offs, (n-grams,) each."""
        begin, words = 1, np.empty((1, 0), np.int32)
        for order, count in enumerate(self.counts, start=1):
            children = np.diff(self.nodes["first"][begin - len(words) : begin + 1])
            words = np.repeat(words, children, axis=0)
            if order == self.order > 1:
                entries, backoff = self.leaves, np.zeros(count, np.float32)
            else:
                entries = self.nodes[begin : begin + count]
                backoff = entries["log10_backoff"]
            words = np.concatenate([words, entries["word"][:, None]], axis=1)
            yield words, entries["log10_prob"], backoff
            begin += count

    def save(self, path: Path | str) -> None:
        """Write the model to one file, complete or not at all.

        Raises:
            LanguageModelError: the file cannot be written.
        """
        header = json.dumps(
            {
                "version": VERSION,
                "counts": self.counts,
                "has_unknown": self.has_unknown,
                "unit": self.unit,
                "arrays": [len(array) for array in self._arrays()],
            }
        ).encode()
        pieces = [MAGIC + len(header).to_bytes(4, "little") + header]
        pieces += [array.tobytes() for array in self._arrays()]
        write_bytes(Path(path), (piece + b"\0" * (-len(piece) % ALIGNMENT) for piece in pieces))

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.nodes, self.leaves, self.vocabulary.letters, self.vocabulary.ends, self.vocabulary.table


ARRAYS: tuple[Any, ...] = (NODE, LEAF, np.dtype("u1"), np.dtype("i4"), np.dtype("i4"))
"""Types of the arrays in a file, in their order."""


def map_model(path: Path) -> NgramModel:
    """Open a model that `NgramModel.save` has written, beginning with `MAGIC`; pages are read when they are needed.

    Raises:
        LanguageModelError: the file is missing, cut off, or of a newer version.
    """
    mapped = _map(path)
    length = int.from_bytes(mapped[len(MAGIC) : len(MAGIC) + 4], "little")
    try:
        header = json.loads(mapped[len(MAGIC) + 4 : len(MAGIC) + 4 + length])
        version, counts, has_unknown, sizes = (header[key] for key in ("version", "counts", "has_unknown", "arrays"))
    except (ValueError, KeyError, TypeError):
        raise _cut(path) from None
    if version != VERSION:
        raise LanguageModelError(f"{path}: written by a newer version of this package; update it, or train again")
    arrays, offset = [], len(MAGIC) + 4 + length
    for kind, count in zip(ARRAYS, sizes, strict=True):
        offset += -offset % ALIGNMENT
        if offset + count * kind.itemsize > len(mapped):
            raise _cut(path)
        arrays.append(np.frombuffer(mapped, kind, count, offset))
        offset += count * kind.itemsize
    nodes, leaves, *words = arrays
    return NgramModel(tuple(counts), nodes, leaves, Vocabulary(*words), has_unknown, header.get("unit", "word"))


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such file; check the path") from None
    except ValueError:
        raise LanguageModelError(f"{path}: empty; copy or train it again") from None
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read ({error.strerror}); give a file") from None


def _cut(path: Path) -> LanguageModelError:
    return LanguageModelError(f"{path}: cut off or damaged; copy or train it again")

"""How often each n-gram occurs in a text, counted by sorting numbers.

An n-gram of two or more words is its context, an (n-1)-gram, and its last word: one 64-bit number from the two indices.
Sorting those numbers counts the n-grams and puts them into the sequence of the trie. The text is gone through once for
each order, 10 million words in a second or two.
"""

import itertools
from codecs import BOM_UTF8
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from asr.errors import LanguageModelError
from asr.lm.files import read_bytes
from asr.lm.scan import NEWLINE, is_blank, skip_word
from asr.lm.units import Unit, units
from asr.lm.vocabulary import BEGIN, END, MARKS, Vocabulary, fill_table, find_slot


@dataclass(frozen=True, eq=False, slots=True)
class Level:
    """The n-grams of one order, sorted by context, then by word; arrays of shape (n-grams,).

    The unigrams are indexed by word id, with nothing at 0, so the other orders' indices of unigrams are word ids.
    """

    context: NDArray[np.int32]
    """Index, in the order below, of all words but the last."""
    suffix: NDArray[np.int32]
    """Index, in the order below, of all words but the first."""
    word: NDArray[np.int32]
    count: NDArray[np.int64]
    begins: NDArray[np.bool_]
    """Whether the first word is <s>."""


def read_corpus(source: Path | str | Iterable[str]) -> tuple[str, bytes]:
    """The name of a text, for errors, and its bytes: a file, plain or gzip, or lines.

    Raises:
        LanguageModelError: the file cannot be read.
    """
    if isinstance(source, Path | str):
        return str(source), read_bytes(Path(source)).removeprefix(BOM_UTF8)
    return "text", "".join(line.rstrip("\n") + "\n" for line in source).encode()


def split_corpus(name: str, raw: bytes, unit: Unit) -> tuple[str, bytes]:
    """The same text with blanks between all units: as it is for words, every character apart for characters.

    Raises:
        LanguageModelError: characters are wanted, and the text is not UTF-8.
    """
    if unit == "word":
        return name, raw
    return name, "".join(" ".join(units(line, unit)) + "\n" for line in text_lines(name, raw)).encode()


def text_lines(name: str, raw: bytes) -> list[str]:
    """The lines of a text.

    Raises:
        LanguageModelError: it is not UTF-8.
    """
    try:
        return raw.decode().removesuffix("\n").split("\n") if raw else []
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def number_words(name: str, raw: bytes) -> tuple[Vocabulary, NDArray[np.int32]]:
    """The vocabulary of a text, one sentence a line, and its words' ids, each sentence between `BEGIN` and `END`.

    Words are separated by blanks and tabs; an empty line is an empty sentence.

    Raises:
        LanguageModelError: a word is one of the marks, or is not UTF-8.
    """
    text = np.frombuffer(raw, np.uint8)
    stream, letters, ends = _number(text)
    spelled, bounds = letters.tobytes(), ends.tolist()
    words = [spelled[begin:end] for begin, end in itertools.pairwise(bounds)]
    for word in words:
        if word in MARKS:
            where = _where(name, raw, word)
            raise LanguageModelError(f"{where}: holds the word {word.decode()}, which is a mark; remove or replace it")
        try:
            word.decode()
        except UnicodeDecodeError:
            raise LanguageModelError(f"{_where(name, raw, word)}: {word!r} is not UTF-8; save it as UTF-8") from None
    vocabulary = Vocabulary.of(words)
    # What the scanner numbered as it came: 0 and -1 for BEGIN and END, 1, 2, ... for the words.
    sequence = sorted(range(len(words)), key=words.__getitem__)
    ids = np.empty(len(words) + 2, np.int32)
    ids[0], ids[-1] = BEGIN, END
    ids[1 + np.array(sequence, np.int64)] = np.arange(len(MARKS) + 1, len(vocabulary) + 1)
    return vocabulary, ids[stream]


def count_ngrams(stream: NDArray[np.int32], vocabulary: int, order: int) -> list[Level]:
    """The n-grams of every order up to `order` in a text, a result of `number_words`; no n-gram spans two sentences."""
    words = np.arange(vocabulary + 1, dtype=np.int32)
    nothing = np.zeros_like(words)
    levels = [Level(nothing, nothing, words, np.bincount(stream, minlength=vocabulary + 1), words == BEGIN)]
    at = stream  # the index, one order below, of the n-gram that ends at each place; -1 where the sentence is too young
    for _ in range(order - 1):
        places = np.flatnonzero((at[:-1] >= 0) & (stream[1:] != BEGIN)) + 1
        keys = at[places - 1].astype(np.int64) << 32 | stream[places]
        sequence = np.argsort(keys)
        keys, places = keys[sequence], places[sequence]
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        context = (keys[firsts] >> 32).astype(np.int32)
        word = (keys[firsts] & 0xFFFFFFFF).astype(np.int32)
        count = np.diff(firsts, append=len(keys))
        levels.append(Level(context, at[places[firsts]], word, count, levels[-1].begins[context]))
        at = np.full(len(stream), -1, np.int32)
        at[places] = np.repeat(np.arange(len(firsts), dtype=np.int32), count)
    return levels


def _where(name: str, raw: bytes, word: bytes) -> str:
    """File and line of the first place where a word stands."""
    for line, content in enumerate(raw.split(b"\n"), start=1):
        if word in content.split():
            return f"{name}:{line}"
    return name


@numba.njit(cache=True, nogil=True)
def _number(text: Any) -> tuple[Any, Any, Any]:
    """Number the words as they come: 1, 2, ...; each line between 0 and -1.

    Returns:
        The numbers, int32; the letters of all words, uint8, and where each ends, int32, as in a `Vocabulary`.
    """
    stream = np.empty(_length(text), np.int32)
    letters, ends, table = np.empty(1 << 16, np.uint8), np.zeros(1 << 12, np.int32), np.zeros(1 << 13, np.int32)
    words, written, position = 0, 0, 0
    while position < len(text):
        stream[written] = 0
        written += 1
        while position < len(text) and text[position] != NEWLINE:
            if is_blank(text[position]):
                position += 1
                continue
            end = skip_word(text, position)
            slot = find_slot(letters, ends, table, text, position, end)
            if table[slot] == 0:
                start, stop = ends[words], ends[words] + end - position
                words += 1
                if stop > len(letters):
                    letters = np.concatenate((letters, np.empty(stop, np.uint8)))
                letters[start:stop] = text[position:end]
                ends[words] = stop
                table[slot] = words
                stream[written] = words
                if words + 1 == len(ends):
                    ends = np.concatenate((ends, np.zeros(len(ends), np.int32)))
                    table = np.zeros(2 * len(table), np.int32)
                    fill_table(letters, ends[: words + 1], table)
            else:
                stream[written] = table[slot]
            written += 1
            position = end
        stream[written] = -1
        written += 1
        position += 1
    return stream, letters[: ends[words]], ends[: words + 1]


@numba.njit(cache=True, nogil=True)
def _length(text: Any) -> int:
    """How many words and marks a text has."""
    count, inside = 0, False
    for i in range(len(text)):
        newline = text[i] == NEWLINE
        if newline:
            count += 2
        word = not newline and not is_blank(text[i])
        count += word and not inside
        inside = word
    return count + 2 * (len(text) > 0 and text[-1] != NEWLINE)

"""The words of a language model and their ids, as arrays that a file can map and compiled loops can read."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

UNKNOWN, BEGIN, END = 1, 2, 3
"""The ids of <unk>, which stands for every word that is not in the vocabulary, <s> and </s>. 0 is no word."""
MARKS = (b"<unk>", b"<s>", b"</s>")
"""Their names, in the order of their ids. The other words follow, sorted by their UTF-8 bytes, from id 4."""
FIRST_WORD = 4


class Vocabulary:
    """The words of a language model. Ids are 1, 2, ..., `len(vocabulary)`; iterating gives the words in that order.

    Args:
        letters: the words' UTF-8 bytes one after the other, uint8, shape (bytes,).
        ends: where each word ends, int32, shape (words + 1,); `ends[0]` is 0, so word `w` begins at `ends[w - 1]`.
        table: hash table of ids, open addressing, int32, its length a power of 2; 0 is an empty slot.
    """

    def __init__(self, letters: NDArray[np.uint8], ends: NDArray[np.int32], table: NDArray[np.int32]) -> None:
        self.letters, self.ends, self.table = letters, ends, table
        for array in (letters, ends, table):
            array.flags.writeable = False

    @classmethod
    def of(cls, words: Iterable[bytes]) -> "Vocabulary":
        """The vocabulary of these words in UTF-8 and the three marks; repeated words count once."""
        listed = [*MARKS, *sorted(set(words).difference(MARKS))]
        letters = np.frombuffer(b"".join(listed), np.uint8)
        ends = np.zeros(len(listed) + 1, np.int32)
        np.cumsum([len(word) for word in listed], out=ends[1:])
        table = np.zeros(table_size(len(listed)), np.int32)
        fill_table(letters, ends, table)
        return cls(letters, ends, table)

    def id(self, word: str) -> int:
        """The id of a word, `UNKNOWN` if it is not in the vocabulary."""
        return self._find(word) or UNKNOWN

    def word(self, id: int) -> str:  # noqa: A002
        """The word of an id.

        Raises:
            IndexError: there is no such id.
        """
        if not 1 <= id <= len(self):
            raise IndexError(f"word ids are 1 to {len(self)}, not {id}")
        return self.letters[self.ends[id - 1] : self.ends[id]].tobytes().decode()

    def __contains__(self, word: str) -> bool:
        return bool(self._find(word))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[str]:
        letters, ends = self.letters.tobytes(), self.ends.tolist()
        for begin, end in itertools.pairwise(ends):
            yield letters[begin:end].decode()

    def _find(self, word: str) -> int:
        text = np.frombuffer(word.encode(), np.uint8)
        return int(find_word(self.letters, self.ends, self.table, text, 0, len(text)))


def table_size(words: int) -> int:
    """Slots for so many words: a power of 2, at least half of them empty."""
    return 1 << (2 * words).bit_length()


@numba.njit(cache=True, nogil=True)
def find_word(letters: Any, ends: Any, table: Any, text: Any, begin: int, end: int) -> int:
    """The id of the word `text[begin:end]`, 0 if it is not in the vocabulary."""
    return int(table[find_slot(letters, ends, table, text, begin, end)])


@numba.njit(cache=True, nogil=True)
def find_slot(letters: Any, ends: Any, table: Any, text: Any, begin: int, end: int) -> int:
    """The slot of the hash table that holds the word `text[begin:end]`, or the empty one where it belongs."""
    mask = len(table) - 1
    slot = _hash(text, begin, end) & mask
    while table[slot] != 0:
        start = ends[table[slot] - 1]
        if ends[table[slot]] - start == end - begin:
            same = 0
            while same < end - begin and letters[start + same] == text[begin + same]:
                same += 1
            if same == end - begin:
                return slot
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def fill_table(letters: Any, ends: Any, table: Any) -> None:
    """Enter every word into an empty hash table."""
    for word in range(1, len(ends)):
        table[find_slot(letters, ends, table, letters, ends[word - 1], ends[word])] = word


@numba.njit(cache=True, nogil=True)
def _hash(text: Any, begin: int, end: int) -> int:
    """FNV-1a of `text[begin:end]` (Fowler, Noll, Vo), its halves folded."""
    value = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        value = (value ^ np.uint64(text[i])) * np.uint64(0x100000001B3)
    return np.int64((value ^ (value >> np.uint64(32))) & np.uint64(0x7FFFFFFF))  # type: ignore[return-value]

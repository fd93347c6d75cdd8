"""Words as a trie of their characters, in flat arrays that compiled code walks.

A token takes the steps of all its characters: a word is the same word however it is cut into tokens.

A trie here is a numpy array of `NODE` records, breadth first: node 0 is outside the trie, node 1 the start of a word,
and the children of node n are nodes n.first to (n + 1).first - 1, in order of their characters. One unused record ends
the array. Hotwords are stored in the same way.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy

from asr.decoding.compilation import borrowing
from asr.errors import TextError
from asr.text.tokenizer import Tokenizer

OUTSIDE, START = 0, 1
NODE = numpy.dtype([("first", "i4"), ("character", "i4"), ("item", "i4"), ("parent", "i4")])
"""`character`, a code point, leads here from `parent`; `item` is the number of the text that ends here, or -1."""
SHOWN = 10
"""How many of the words that cannot be spelled an error lists."""


def writable(words: Iterable[str], tokenizer: Tokenizer, where: str = "lexicon") -> list[str]:
    """The words, each once, if all can be written in tokens.

    Args:
        words: single words or phrases, normalised as the transcripts were.
        tokenizer: the one the log-probabilities belong to.
        where: what to call the list in an error.

    Raises:
        TextError: some cannot be written in the tokens; names them and their characters.
    """
    once, impossible = list(dict.fromkeys(words)), []
    for word in once:
        if unknown := tokenizer.uncovered(word):
            impossible.append(
                f"{word!r} ({', '.join(f'{character!r} U+{ord(character):04X}' for character in unknown)})"
            )
        elif not word.strip():
            impossible.append(f"{word!r} (nothing to write)")
    if impossible:
        more = f" and {len(impossible) - SHOWN} more" if len(impossible) > SHOWN else ""
        raise TextError(
            f"{where}: cannot be spelled with the tokens of this model: {', '.join(impossible[:SHOWN])}{more}; "
            "remove them, or normalise them as the transcripts were"
        )
    return once


def read_lexicon(path: Path | str) -> list[str]:
    """The words of a UTF-8 file, one a line; blank lines are skipped.

    Raises:
        TextError: the file cannot be read, holds no word, or a line more than one; names file and line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: cannot be read as a lexicon ({error}); give a text file, one word a line") from None
    for number, line in enumerate(lines, start=1):
        if len(line.split()) > 1:
            raise TextError(f"{path}:{number}: more than one word on the line {line.strip()!r}; put each on its own")
    if not any(map(str.strip, lines)):
        raise TextError(f"{path}: holds no word, so that nothing could be read; write one a line, or leave it out")
    return [line.strip() for line in lines if line.strip()]


def build_trie(texts: Sequence[str]) -> Any:
    """The trie of some texts, none of them empty and no two alike.

    Returns:
        `NODE` records, shape (nodes + 1,); `item` counts the texts as given.
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    lengths = numpy.array([len(texts[index]) for index in order], dtype=numpy.int64)
    flat = numpy.fromiter(map(ord, itertools.chain.from_iterable(texts[index] for index in order)), dtype=numpy.int32)
    begins = numpy.cumsum(lengths) - lengths
    here = numpy.full(len(order), START, dtype=numpy.int32)  # the node that each text has come to
    parents, characters = [numpy.array([-1, -1], numpy.int32)], [numpy.zeros(2, numpy.int32)]
    items, count = [numpy.array([-1, -1], numpy.int32)], 2
    rows = numpy.arange(len(order))
    for depth in itertools.count():
        rows = rows[lengths[rows] > depth]
        if not len(rows):
            break
        above, character = here[rows], flat[begins[rows] + depth]
        opens = numpy.ones(len(rows), dtype=bool)  # sorted, so those that share a node are neighbours
        opens[1:] = (above[1:] != above[:-1]) | (character[1:] != character[:-1])
        here[rows] = count + numpy.cumsum(opens, dtype=numpy.int32) - 1
        parents.append(above[opens])
        characters.append(character[opens])
        ends = numpy.full(int(opens.sum()), -1, dtype=numpy.int32)
        last = rows[lengths[rows] == depth + 1]
        ends[here[last] - count] = numpy.array(order, dtype=numpy.int32)[last]
        items.append(ends)
        count += len(ends)
    trie = numpy.zeros(count + 1, NODE)
    trie["parent"][:-1], trie["character"][:-1] = numpy.concatenate(parents), numpy.concatenate(characters)
    trie["item"][:-1] = numpy.concatenate(items)
    trie["item"][-1] = -1
    trie["first"] = numpy.searchsorted(trie["parent"][:-1], numpy.arange(count + 1))
    return trie


@borrowing
def child(trie: Any, node: int, character: int) -> int:
    """Where a character leads from a node: a node, or `OUTSIDE`."""
    low, high = trie[node].first, trie[node + 1].first
    while low < high:
        middle = (low + high) // 2
        found = trie[middle].character
        if found == character:
            return int(middle)
        if found < character:
            low = middle + 1
        else:
            high = middle
    return OUTSIDE

"""The tables of the prefix search: a tree of every prefix that was ever kept, and the beam of those that are."""

from typing import Any, NamedTuple

import numpy

from asr.decoding.compilation import allocating
from asr.decoding.lexicon import START

NOTHING, EMPTY = 0, 1
"""Tree nodes: none (the parent of the empty prefix, the end of a list), and the empty prefix."""
NODES, ACTIVE = 0, 1
"""Places in `counts`: nodes in the tree, prefixes in the beam."""

NODE = numpy.dtype([("parent", "i4"), ("token", "i4"), ("child", "i4"), ("sibling", "i4"), ("slot", "i4")])
"""A prefix. Its children are a list: `child` is the newest, then `sibling`s. `slot`: its place in the beam, or -1."""
PREFIX, LAST, SPELLING = 0, 1, 2
"""Rows of `names`: the nodes of the kept prefixes, their last tokens, and what their unfinished words are to the
lexicon."""
BLANK, LABEL, TOTAL, NEXT_BLANK, NEXT_LABEL, SCORE = range(6)
"""Rows of `weights`: how likely the frames so far are the prefix and end in a blank or in its last token, the sum (a
common factor left out), and what the three become in the frame at hand."""
NEW = numpy.dtype([("parent", "i4"), ("token", "i4"), ("child", "i4"), ("score", "f8")], align=True)
"""A prefix that may join; `child` is its node where the tree has it already, else `NOTHING`."""


class Tables(NamedTuple):
    """A search under way, for compiled code, which changes it in place."""

    counts: Any
    """int64, see `NODES` and `ACTIVE`."""
    tree: Any
    """`NODE` records, parents before their children."""
    names: Any
    """int32, shape (3, beam_size), see `PREFIX`."""
    weights: Any
    """float64, shape (6, beam_size), see `BLANK`."""

    def copy(self) -> "Tables":
        return Tables(*(table.copy() for table in self))


class WorkSpace(NamedTuple):
    """What a frame needs and leaves behind."""

    pool: Any
    """`NEW` records: the prefixes that may join."""
    scores: Any
    """float64: scores to sort, those of the beam and of the pool."""
    passing: Any
    """int32: the tokens that pass the cut."""


def new_tables(size: int) -> Tables:
    """A search that has heard nothing, which is as good as a blank: it keeps the empty prefix."""
    tree = numpy.zeros(max(4096, 64 * size), NODE)
    tree["slot"][:2] = -1, 0
    names, weights = numpy.zeros((3, size), numpy.int32), numpy.zeros((6, size))
    names[PREFIX, 0], names[SPELLING, 0] = EMPTY, START
    weights[BLANK, 0] = weights[TOTAL, 0] = 1.0
    return Tables(numpy.array([2, 1]), tree, names, weights)


def new_work_space(size: int, vocabulary: int) -> WorkSpace:
    """For beams of `size`; the pool has room for all that one token makes, beside the best of those before."""
    pool = numpy.empty(4 * size, NEW)
    return WorkSpace(pool, numpy.empty(size + len(pool)), numpy.empty(vocabulary, numpy.int32))


def make_room(tables: Tables, nodes: Any) -> tuple[Tables, Any]:
    """Forget what no kept prefix descends from, and let the tree grow if that does not make it half empty.

    Args:
        tables: their tree is full; they are used up.
        nodes: other records beside those of the tree, or None.

    Returns:
        Both, with the tree's nodes numbered anew.
    """
    kept = _prune(tables)
    length = max(len(tables.tree), 2 * (len(kept) + tables.names.shape[1]))
    tree = _resized(tables.tree[kept], length)
    return tables._replace(tree=tree), None if nodes is None else _resized(nodes[kept], length)


def _resized(records: Any, length: int) -> Any:
    resized = numpy.zeros(length, records.dtype)
    resized[: len(records)] = records
    return resized


@allocating
def _prune(tables: Tables) -> Any:
    """Forget the nodes that no kept prefix descends from, and number the others anew, in place.

    A forgotten prefix has no descendants, so if it comes back there is nothing it could fail to meet.

    Returns:
        The old numbers of the nodes, in order; `tree` must be taken at them.
    """
    counts, tree, names = tables.counts, tables.tree, tables.names
    number = numpy.zeros(len(tree), numpy.int32)
    number[EMPTY] = EMPTY
    for i in range(counts[ACTIVE]):
        node = names[PREFIX, i]
        while number[node] == NOTHING and node != NOTHING:
            number[node] = EMPTY
            node = tree[node].parent
    kept = numpy.empty(len(tree), numpy.int64)
    kept[NOTHING], kept[EMPTY] = NOTHING, EMPTY
    tree[EMPTY].child = NOTHING
    count = 2
    for node in range(2, counts[NODES]):  # parents come before their children
        if number[node] != NOTHING:
            number[node] = count
            kept[count] = node
            above = tree[node].parent
            tree[node].parent, tree[node].child = number[above], NOTHING
            tree[node].sibling, tree[above].child = tree[above].child, count
            count += 1
    for i in range(counts[ACTIVE]):
        names[PREFIX, i] = number[names[PREFIX, i]]
    counts[NODES] = count
    return kept[:count]


@allocating
def trace(tree: Any, node: int) -> Any:
    """The tokens of a prefix, int32, shape (length,)."""
    length, above = 0, node
    while above != EMPTY:
        length += 1
        above = tree[above].parent
    tokens = numpy.empty(length, numpy.int32)
    while node != EMPTY:
        length -= 1
        tokens[length] = tree[node].token
        node = tree[node].parent
    return tokens

"""The tables of the prefix search: a tree of every prefix that was ever kept, and the beam of those that are."""

from typing import Any, NamedTuple

import numpy

from asr.decoding.compilation import allocating, borrowing
from asr.decoding.lexicon import START

NOTHING, EMPTY = 0, 1
"""Tree nodes: none (the parent of the empty prefix, the end of a list), and the empty prefix."""
NODES, ACTIVE = 0, 1
"""Places in `counts`: nodes in the tree, prefixes in the beam."""

NODE = numpy.dtype(
    [("parent", "i4"), ("token", "i4"), ("child", "i4"), ("sibling", "i4"), ("slot", "i4"), ("number", "i4")]
)
"""A prefix. Its children are a list: `child` is the newest, then `sibling`s. `slot`: its place in the beam, or -1.
`number`: for `compact`."""
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


@borrowing
def compact(tables: Tables, words: Any) -> None:
    """Forget the nodes that no kept prefix descends from, and move the others together, in place.

    A forgotten prefix has no descendants, so if it comes back there is nothing it could fail to meet.

    Args:
        tables: the search.
        words: `fusion.Words`, whose nodes move along, or None.
    """
    counts, tree, names = tables.counts, tables.tree, tables.names
    for node in range(2, counts[NODES]):
        tree[node].number = NOTHING
    tree[EMPTY].number, tree[EMPTY].child = EMPTY, NOTHING
    for i in range(counts[ACTIVE]):
        node = names[PREFIX, i]
        while tree[node].number == NOTHING:
            tree[node].number = EMPTY
            node = tree[node].parent
    count = 2
    for node in range(2, counts[NODES]):  # parents come before their children
        if tree[node].number != NOTHING:
            here, there = tree[node], tree[count]
            above = tree[here.parent].number
            # Numbers stay where they are: they are the new ones of the nodes that were there.
            here.number = count
            there.parent, there.token, there.slot = above, here.token, here.slot
            there.child, there.sibling = NOTHING, tree[above].child
            tree[above].child = count
            if words is not None:
                words.nodes[count] = words.nodes[node]
            count += 1
    for i in range(counts[ACTIVE]):
        names[PREFIX, i] = tree[names[PREFIX, i]].number
    counts[NODES] = count


def grown(records: Any) -> Any:
    """Twice as many records, one for each node of a tree; the new ones are zero."""
    return numpy.concatenate([records, numpy.zeros_like(records)])


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

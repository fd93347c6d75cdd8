"""N-grams as a trie in two flat arrays, and the steps through it that compiled code takes.

A node is an n-gram that may be a context: the empty one first, then the unigrams by word id, the bigrams, and so on;
the leaves are the n-grams of the highest order. The children of a context lie side by side, sorted by their last word,
and are searched by halving. Measured on 1.9 million n-grams, a query costs about 100 ns, and neither interpolation
search nor a hash table of all n-grams was faster: what counts is how often the cache is missed.

Every node links to its suffix, the longest one that is in the model, so backing off is following links. Probabilities
stay base-10 logarithms in float32, as ARPA files have them, so that nothing is lost on the way through a model.
"""

import math
from typing import Any

import numba
import numpy as np

ROOT = 0
"""The node of the empty context."""
NODE = np.dtype(
    [("word", "i4"), ("log10_prob", "f4"), ("log10_backoff", "f4"), ("link", "i4"), ("first", "i4")], align=True
)
"""`link` is the suffix's node; `first` the first child, and the next node's `first` the end of the children. Behind the
nodes stands one more, for its `first`. Numbers from there on mean leaves."""
LEAF = np.dtype([("word", "i4"), ("log10_prob", "f4"), ("next", "i4")], align=True)
"""`next` is the node of the longest suffix that matters, the state after this n-gram."""
LN10 = math.log(10.0)


@numba.njit(cache=True, nogil=True)
def score(nodes: Any, leaves: Any, state: int, word: int) -> tuple[float, int]:
    """The probability of a word, to be called from compiled code.

    Args:
        nodes: of an `NgramModel`.
        leaves: of the same model.
        state: `BEGIN` after <s>, `ROOT` without context, or what an earlier call returned.
        word: an id of the vocabulary; `UNKNOWN` for a word that is not in it, `END` for the end of the sentence.

    Returns:
        The natural log-probability, and the state after the word. Equal states score whatever follows equally; that
        unequal ones may too, where a node has no children, is cheaper to bear than to find out.
    """
    total = 0.0
    end = len(nodes) - 1
    while state != ROOT:
        first, last = nodes[state].first, nodes[state + 1].first
        if first < last:
            if first < end:
                place = find(nodes, first, last, word)
                if place >= 0:
                    return LN10 * (total + nodes[place].log10_prob), place
            else:
                place = find(leaves, first - end, last - end, word)
                if place >= 0:
                    return LN10 * (total + leaves[place].log10_prob), leaves[place].next
        total += nodes[state].log10_backoff
        state = nodes[state].link
    return LN10 * (total + nodes[word].log10_prob), word


@numba.njit(cache=True, nogil=True)
def child(nodes: Any, leaves: Any, node: int, word: int) -> int:
    """The n-gram that a word makes with a context: a node or a leaf, -1 if it is not in the model."""
    if node == ROOT:
        return word
    end = len(nodes) - 1
    first, last = nodes[node].first, nodes[node + 1].first
    if first < end:
        return find(nodes, first, last, word)
    place = find(leaves, first - end, last - end, word)
    return place + end if place >= 0 else -1


@numba.njit(cache=True, nogil=True)
def find(entries: Any, first: int, last: int, word: int) -> int:
    """Where among `entries[first:last]`, the children of one context, a word is; -1 if it is not there."""
    while first < last:
        middle = (first + last) >> 1
        found = entries[middle].word
        if found < word:
            first = middle + 1
        elif found > word:
            last = middle
        else:
            return middle
    return -1

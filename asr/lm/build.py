"""Building the trie of an n-gram model, one order after the other, from n-grams in any sequence."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from asr.lm.trie import LEAF, NODE, ROOT, child


class Builder:
    """Makes the nodes and leaves of a model. Call `add` once for each order, beginning with the unigrams.

    Args:
        counts: the number of n-grams of each order; `counts[0]` is the size of the vocabulary.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.order = 0
        """The order added last."""
        interior = sum(counts if len(counts) == 1 else counts[:-1])
        self.begins = np.cumsum([0, 1, *counts])
        """Where the n-grams of each order begin, 0 the empty one; leaves are numbered on from the nodes."""
        self.nodes: NDArray[Any] = np.zeros(1 + interior + 1, NODE)
        self.leaves: NDArray[Any] = np.zeros(sum(counts) - interior, LEAF)
        self.nodes["first"] = 1 + interior

    def contexts(self, words: NDArray[np.int32]) -> NDArray[np.int32]:
        """The nodes of n-grams of the order added last, from their words, shape (n-grams, order); -1 where none is."""
        found = np.empty(len(words), np.int32)
        _descend(self.nodes, self.leaves, words, found)
        return found

    def add(
        self,
        contexts: NDArray[np.int32],
        words: NDArray[np.int32],
        log10_prob: NDArray[np.float32],
        log10_backoff: NDArray[np.float32],
    ) -> NDArray[np.int64]:
        """Add the n-grams of the next order, all arrays of shape (n-grams,).

        Args:
            contexts: the nodes of all words but the last.
            words: the last words.
            log10_prob: base 10, as in an ARPA file.
            log10_backoff: likewise; not looked at for the highest order.

        Returns:
            How many were added in vain, because the n-gram is there twice: indices of such n-grams, shape (repeated,).
        """
        self.order += 1
        begin = int(self.begins[self.order])
        keys = contexts.astype(np.int64) << 32 | words
        sequence = np.argsort(keys)
        keys, contexts = keys[sequence], contexts[sequence]
        is_leaf = begin == len(self.nodes) - 1
        entries = self.leaves if is_leaf else self.nodes[begin : begin + len(words)]
        entries["word"], entries["log10_prob"] = words[sequence], log10_prob[sequence]
        if not is_leaf:
            entries["log10_backoff"] = log10_backoff[sequence]
        above = np.arange(self.begins[self.order - 1], begin + 1)
        self.nodes["first"][above] = begin + np.searchsorted(contexts, above)
        _link(self.nodes, self.leaves, contexts, entries["word"], entries["next" if is_leaf else "link"])
        repeated: NDArray[np.int64] = sequence[1:][keys[1:] == keys[:-1]]
        return repeated

    def finish(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The nodes and the leaves, where links no longer lead to nodes that say nothing."""
        _shorten(self.nodes, self.leaves)
        return self.nodes, self.leaves


@numba.njit(cache=True, nogil=True)
def _descend(nodes: Any, leaves: Any, words: Any, found: Any) -> None:
    """Find the n-gram of each row of words."""
    for row in range(len(words)):
        node = ROOT
        for column in range(words.shape[1]):
            if node >= 0:
                node = child(nodes, leaves, node, words[row, column])
        found[row] = node


@numba.njit(cache=True, nogil=True)
def _link(nodes: Any, leaves: Any, contexts: Any, words: Any, links: Any) -> None:
    """Find the suffix of each n-gram, the longest that is in the model."""
    for i in range(len(words)):
        if contexts[i] == ROOT:
            links[i] = ROOT
            continue
        suffix = nodes[contexts[i]].link
        found = child(nodes, leaves, suffix, words[i])
        while found < 0:
            suffix = nodes[suffix].link
            found = child(nodes, leaves, suffix, words[i])
        links[i] = found


@numba.njit(cache=True, nogil=True)
def _alive(nodes: Any, node: int) -> int:
    """The node, or where it neither has children nor costs anything to back off from, its suffix."""
    if nodes[node].log10_backoff == 0.0 and nodes[node].first == nodes[node + 1].first:
        return int(nodes[node].link)
    return node


@numba.njit(cache=True, nogil=True)
def _shorten(nodes: Any, leaves: Any) -> None:
    for node in range(1, len(nodes) - 1):  # a suffix stands before the nodes that link to it, so is short already
        nodes[node].link = _alive(nodes, nodes[node].link)
    for leaf in range(len(leaves)):
        leaves[leaf].next = _alive(nodes, leaves[leaf].next)

"""What a search has found, compiled: the likeliest prefixes that may end here, as tokens, scored exactly."""

from typing import Any

import numpy

from asr.decoding.compilation import allocating
from asr.decoding.fusion import Words, account, finish
from asr.decoding.likelihood import log_likelihood
from asr.decoding.tables import ACTIVE, EMPTY, PREFIX, TOTAL, Tables, trace


@allocating
def nbest(tables: Tables, words: Words | None, probabilities: Any, peaks: Any, most: int) -> list[tuple[Any, ...]]:
    """The likeliest texts by what the search has kept of their alignments, scored by all of them.

    Args:
        tables: the search.
        words: with the nodes of this search; or None.
        probabilities: shape (frames, tokens).
        peaks: the largest of each frame, shape (frames,).
        most: how many to return; more where no prefix ends with a word of the lexicon, and all are cut back to one.

    Returns:
        For each its tokens, int32, its log-likelihood, and what its words come to (`fusion.account`).
    """
    active = tables.counts[ACTIVE]
    ends, scores = tables.names[PREFIX, :active].copy(), tables.weights[TOTAL, :active].copy()
    if words is not None:
        for i in range(active):
            scores[i] *= finish(words, ends[i])
        if not scores.any():  # no prefix ends with a word of the lexicon: go back to where they last did
            for i in range(active):
                while ends[i] != EMPTY and finish(words, ends[i]) == 0.0:
                    ends[i] = tables.tree[ends[i]].parent
            ends = numpy.unique(ends)
            scores, most = numpy.ones(len(ends)), len(ends)  # none is likelier by anything known here
        else:
            ends, scores = ends[scores > 0.0], scores[scores > 0.0]
    found = []
    for best in numpy.argsort(-scores, kind="mergesort")[:most]:
        tokens = trace(tables.tree, ends[best])
        log_prob, extras = 0.0, 0.0
        if words is not None:
            log_prob, extras = account(words, tokens)
        found.append((tokens, log_likelihood(probabilities, peaks, tokens), log_prob, extras))
    return found

"""CTC prefix search, compiled: which texts are likely, all their alignments summed (Graves 2012, section 7.5).

Every prefix that was ever kept is a node of a tree, so two ways to write the same tokens meet in one node and their
probabilities add up. The beam holds the likeliest nodes, each with the probability that its frames so far end in a
blank and that they end in its last token (Hannun et al. 2014). Probabilities, not their logarithms: only ratios within
a beam matter, so a common factor keeps them in range, and a frame is a few multiplications.

Language model, lexicon and hotwords weigh prefixes; the weight of a prefix relative to its parent's is a factor on the
way into it (`fusion`), so the beam's probabilities are those of the fused model and nothing else is compared.

Where no token but the blank reaches `cut` times the frame's largest probability, the others count as zero. Then every
prefix is multiplied by the same blank, nothing changes rank, and the frame costs one addition a prefix; in the frames
after it not even that. This is the exact result of the search with that cut.
"""

from typing import Any

import numpy

from asr.decoding.compilation import borrowing
from asr.decoding.fusion import Words, enter, weigh
from asr.decoding.likelihood import examine
from asr.decoding.tables import (
    ACTIVE,
    BLANK,
    LABEL,
    LAST,
    NEXT_BLANK,
    NEXT_LABEL,
    NODES,
    NOTHING,
    PREFIX,
    SCORE,
    SPELLING,
    TOTAL,
    Tables,
    WorkSpace,
    compact,
)

SUM_TOLERANCE = 1e-2
"""How far the probabilities of a frame may add up from one: half-precision models round."""
SMALL, LARGE = 1e-50, 1e50
"""Weights are scaled when the best leaves this range: probabilities make them smaller and smaller, boosts larger."""


@borrowing
def advance(
    probabilities: Any,
    sums: Any,
    peaks: Any,
    start: int,
    cut: float,
    margin: float,
    tables: Tables,
    space: WorkSpace,
    words: Words | None,
) -> int:
    """Search frames `start`, `start + 1`, ..., changing `tables` and the nodes of `words` in place.

    Args:
        probabilities: shape (frames, tokens).
        sums: where the sum of each frame's probabilities is written, shape (frames,), when `start` is 0.
        peaks: so the largest of each frame, shape (frames,).
        start: the frame to begin with.
        cut: tokens below this share of their frame's largest are not entered.
        margin: prefixes below this share of the best one's weight are dropped.
        tables: the search so far.
        space: work space for this beam size and vocabulary.
        words: None for a search without language model, lexicon and hotwords.

    Returns:
        The first frame not searched: the number of frames, or less where the tree must grow first. If frame t does not
        add up to one nothing is searched, and it is -1 - t.
    """
    if start == 0:
        wrong = examine(probabilities, sums, peaks, SUM_TOLERANCE)
        if wrong >= 0:
            return -1 - wrong
    weights, size, vocabulary = tables.weights, tables.weights.shape[1], probabilities.shape[1]
    for t in range(start, len(probabilities)):
        if tables.counts[NODES] + size > len(tables.tree):
            compact(tables, words)
            if tables.counts[NODES] + size > len(tables.tree) // 2:
                return t
        found, least = 0, cut * peaks[t]
        if sums[t] - probabilities[t, 0] >= cut * probabilities[t, 0]:
            for token in range(1, vocabulary):
                space.passing[found] = token
                found += probabilities[t, token] >= least
        if found == 0:
            for i in range(tables.counts[ACTIVE]):
                weights[BLANK, i] = weights[TOTAL, i]
                weights[LABEL, i] = 0.0
            continue
        if not _hear(probabilities[t], found, least, margin, tables, space, words):
            # The lexicon allows none of the tokens that pass: let it see all.
            for token in range(1, vocabulary):
                space.passing[token - 1] = token
            _hear(probabilities[t], vocabulary - 1, 0.0, margin, tables, space, words)
    return len(probabilities)


@borrowing
def _hear(
    row: Any, found: int, least: float, margin: float, tables: Tables, space: WorkSpace, words: Words | None
) -> bool:
    """Search one frame, of which `found` tokens pass; False, and nothing changed, where no prefix survives it."""
    counts, size = tables.counts, tables.weights.shape[1]
    active = counts[ACTIVE]
    highest, lowest, before = _stay(row, least, tables, words)
    floor = max(highest * margin, lowest if active == size else 0.0)
    joined, highest = _extend(row, found, before, highest, floor, margin, tables, space, words)
    if highest == 0.0:
        return False
    threshold, ties = _threshold(joined, tables, space)
    if threshold < highest * margin:
        threshold, ties = highest * margin, size
    scale = 1.0 if SMALL <= highest <= LARGE else 1.0 / highest
    kept, ties = _keep(threshold, ties, scale, tables)
    for j in range(joined):
        score = space.pool[j].score
        if score > threshold or (score == threshold and ties > 0):
            ties -= score == threshold
            _join(space.pool[j], kept, scale, tables, words)
            kept += 1
    counts[ACTIVE] = kept
    return True


@borrowing
def _stay(row: Any, least: float, tables: Tables, words: Words | None) -> tuple[float, float, float]:
    """What the kept prefixes become without a new token of theirs.

    A prefix whose parent is also in the beam gains what the parent gives by saying the prefix's last token.

    Returns:
        The highest and the lowest new score, and the highest old one.
    """
    tree, names, weights = tables.tree, tables.names, tables.weights
    silence, highest, lowest, before = float(row[0]), 0.0, numpy.inf, 0.0
    for i in range(tables.counts[ACTIVE]):
        node, token = names[PREFIX, i], names[LAST, i]
        spoken = float(row[token])
        if spoken < least:
            spoken = 0.0
        said = weights[LABEL, i]
        above = tree[tree[node].parent].slot
        if above >= 0:
            given = weights[BLANK, above] if names[LAST, above] == token else weights[TOTAL, above]
            if words is not None:
                given *= words.nodes[node].factor
            said += given
        weights[NEXT_BLANK, i] = weights[TOTAL, i] * silence
        weights[NEXT_LABEL, i] = said * spoken
        score = weights[NEXT_BLANK, i] + weights[NEXT_LABEL, i]
        weights[SCORE, i] = score
        highest = max(highest, score)
        lowest = min(lowest, score)
        before = max(before, weights[TOTAL, i])
    return highest, lowest, before


@borrowing
def _extend(
    row: Any,
    found: int,
    before: float,
    highest: float,
    floor: float,
    margin: float,
    tables: Tables,
    space: WorkSpace,
    words: Words | None,
) -> tuple[int, float]:
    """Put into the pool every kept prefix extended by every token that passes, where the score exceeds `floor`.

    Returns:
        How many are in the pool, and the highest score of all.
    """
    tree, names, weights, pool = tables.tree, tables.names, tables.weights, space.pool
    joined, active = 0, tables.counts[ACTIVE]
    for k in range(found):
        token = space.passing[k]
        spoken = float(row[token])
        gain = 1.0 if words is None else words.tokens[token].gain  # no factor is larger
        if before * spoken * gain <= floor:
            continue
        if joined + active > len(pool):
            joined, floor = _thin(joined, tables, space)
        for i in range(active):
            value = (weights[BLANK, i] if names[LAST, i] == token else weights[TOTAL, i]) * spoken
            if value * gain <= floor:
                continue
            if words is not None:
                value = weigh(words, names[PREFIX, i], names[SPELLING, i], token, value, floor)
                if value <= floor:
                    continue
            child = tree[names[PREFIX, i]].child
            while child != NOTHING and tree[child].token != token:
                child = tree[child].sibling
            if child != NOTHING and tree[child].slot >= 0:
                continue  # it is in the beam, and `_stay` has counted this
            new = pool[joined]
            new.parent, new.token, new.child, new.score = names[PREFIX, i], token, child, value
            joined += 1
            if value > highest:
                highest = value
                floor = max(floor, highest * margin)
    return joined, highest


@borrowing
def _thin(joined: int, tables: Tables, space: WorkSpace) -> tuple[int, float]:
    """Keep in the pool only what is among the best so far; returns how many, and the lowest score."""
    threshold, ties = _threshold(joined, tables, space)
    for i in range(tables.counts[ACTIVE]):
        ties -= tables.weights[SCORE, i] == threshold
    kept = 0
    for j in range(joined):
        score = space.pool[j].score
        if score > threshold or (score == threshold and ties > 0):
            ties -= score == threshold
            space.pool[kept] = space.pool[j]
            kept += 1
    return kept, threshold


@borrowing
def _threshold(joined: int, tables: Tables, space: WorkSpace) -> tuple[float, int]:
    """The lowest score that the beam has room for, and how many of those that equal it it has room for."""
    scores, active, size = space.scores, tables.counts[ACTIVE], tables.weights.shape[1]
    if active + joined <= size:
        return 0.0, size
    for i in range(active):
        scores[i] = tables.weights[SCORE, i]
    for j in range(joined):
        scores[active + j] = space.pool[j].score
    low, high, wanted = 0, active + joined - 1, size - 1
    while low < high:  # quickselect (Hoare 1961), highest first
        pivot = scores[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while scores[i] > pivot:
                i += 1
            while scores[j] < pivot:
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    threshold, ties = scores[wanted], 0
    for i in range(size):  # those before the wanted one are at least as high
        ties += scores[i] == threshold
    return threshold, ties


@borrowing
def _keep(threshold: float, ties: int, scale: float, tables: Tables) -> tuple[int, int]:
    """Close ranks over the prefixes that fall below the threshold; returns how many stay, and the ties left."""
    tree, names, weights, kept = tables.tree, tables.names, tables.weights, 0
    for i in range(tables.counts[ACTIVE]):
        node, score = names[PREFIX, i], weights[SCORE, i]
        if score < threshold or (score == threshold and ties <= 0) or score == 0.0:
            tree[node].slot = -1
            continue
        ties -= score == threshold
        tree[node].slot = kept
        names[PREFIX, kept], names[LAST, kept], names[SPELLING, kept] = node, names[LAST, i], names[SPELLING, i]
        weights[BLANK, kept], weights[LABEL, kept] = weights[NEXT_BLANK, i] * scale, weights[NEXT_LABEL, i] * scale
        weights[TOTAL, kept] = score * scale
        kept += 1
    return kept, ties


@borrowing
def _join(new: Any, slot: int, scale: float, tables: Tables, words: Words | None) -> None:
    """Take a new prefix into the beam, making its node where the tree has none."""
    counts, tree, names, weights = tables
    node, token = new.child, new.token
    if node == NOTHING:
        node = counts[NODES]
        counts[NODES] += 1
        made, above = tree[node], tree[new.parent]
        made.parent, made.token, made.child, made.sibling = new.parent, token, NOTHING, above.child
        above.child = node
        if words is not None:
            enter(words, new.parent, node, token)
    tree[node].slot = slot
    names[PREFIX, slot], names[LAST, slot] = node, token
    if words is not None:
        names[SPELLING, slot] = words.nodes[node].spelling
    weights[BLANK, slot], weights[LABEL, slot] = 0.0, new.score * scale
    weights[TOTAL, slot] = new.score * scale

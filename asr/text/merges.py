"""BPE-dropout: words cut into subwords with some merges left out (Provilkov et al. 2020, arXiv 1910.13267).

SentencePiece can do so too, but draws from one generator for the whole process: how an utterance is cut would depend on
those that were read before it. So the merges are made here, from its pieces.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random


class Merges:
    """The merges of a BPE tokenizer.

    Args:
        tokens: the surface of each token, as of `BpeTokenizer`. SentencePiece numbers its pieces in the order in which
            it learnt them, so ids are ranks: the lowest is merged first.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._ids = {token: index for index, token in enumerate(tokens) if index}

    def encode(self, text: str, dropout: float, random: Random) -> list[int]:
        """The tokens of a text that the tokenizer covers; where `dropout` is 0, those that the tokenizer makes of it.

        Args:
            text: normalised.
            dropout: probability with which each merge is left out; at 1 the tokens are characters.
            random: where all draws come from.
        """
        words = filter(None, text.split(" "))
        return [self._ids[piece] for word in words for piece in merge(f" {word}", self._ids, dropout, random)]


def merge(word: Sequence[str], ranks: Mapping[str, int], dropout: float, random: Random) -> list[str]:
    """Join the pieces of a word: algorithm 1 of the paper.

    Of all neighbours that can be joined each is left out with probability `dropout`, then the first of the lowest rank
    is joined. This is repeated, with new draws, until there is nothing left to join.

    Args:
        word: pieces, at first its characters.
        ranks: of what may come out of a merge.
        dropout: 0..1.
        random: where the draws come from.
    """
    pieces = list(word)
    while True:
        possible = [
            (ranks[joined], place)
            for place, joined in enumerate(map("".join, pairwise(pieces)))
            if joined in ranks and random.random() >= dropout
        ]
        if not possible:
            return pieces
        _, place = min(possible)
        pieces[place : place + 2] = ["".join(pieces[place : place + 2])]

"""How well a model foretells a text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from asr.lm.counts import read_corpus, split_corpus, text_lines
from asr.lm.ngram import NgramModel
from asr.lm.scan import NEWLINE, is_blank, skip_word
from asr.lm.trie import score
from asr.lm.vocabulary import BEGIN, END, UNKNOWN, find_word

if TYPE_CHECKING:
    from asr.lm.rnn import RnnModel

SENTENCES_AT_ONCE = 4096
"""That a recurrent model sorts by length."""


@dataclass(frozen=True, slots=True)
class Perplexity:
    """A model on a text. The ends of sentences are foretold, and counted, as words are.

    Of a model of characters, words here are characters, the space between two words being one.
    """

    perplexity: float
    perplexity_known: float
    """Without the words that are not in the vocabulary; they still stand in the contexts of others."""
    words: int
    """Without the ends of sentences."""
    sentences: int
    unknown_words: int


def perplexity(model: "NgramModel | RnnModel", source: Path | str | Iterable[str]) -> Perplexity:
    """The perplexity of a text, exp of the mean negative log-probability of its words and sentence ends.

    Args:
        model: any. To a recurrent one, a word is unknown that holds characters it cannot write.
        source: a text file, plain or gzip, or lines; one sentence each, an empty line is an empty sentence. A text
            without sentences has no perplexity, NaN.

    Raises:
        LanguageModelError: the text cannot be read.
    """
    name, raw = read_corpus(source)
    if isinstance(model, NgramModel):
        text, vocabulary = np.frombuffer(split_corpus(name, raw, model.unit)[1], np.uint8), model.vocabulary
        known, unknown, words, sentences, unknown_words = _total(
            model.nodes, model.leaves, vocabulary.letters, vocabulary.ends, vocabulary.table, text
        )
    else:
        known, unknown, words, sentences, unknown_words = _recurrent_total(model, name, raw)
    tokens = words + sentences
    return Perplexity(
        perplexity=from_nats(-known - unknown, tokens),
        perplexity_known=from_nats(-known, tokens - unknown_words),
        words=words,
        sentences=sentences,
        unknown_words=unknown_words,
    )


def from_nats(nats: float, tokens: int) -> float:
    """The perplexity of so many tokens, words say, that cost so many nats together; of none it is NaN.

    It is infinite where it is too large for a number, as that of a long sentence without spaces, one word, may be.
    """
    try:
        return math.exp(nats / tokens) if tokens else math.nan
    except OverflowError:
        return math.inf


def _recurrent_total(model: "RnnModel", name: str, raw: bytes) -> tuple[float, float, int, int, int]:
    """As `_total`, of a recurrent model."""
    lines = text_lines(name, raw)
    known, unknown, words, unknown_words = 0.0, 0.0, 0, 0
    for begin in range(0, len(lines), SENTENCES_AT_ONCE):
        sentences = lines[begin : begin + SENTENCES_AT_ONCE]
        for sentence, log_probs in zip(sentences, model.word_log_probs(sentences), strict=True):
            known += log_probs[-1]
            for word, log_prob in zip(sentence.split(), log_probs, strict=False):
                words += 1
                if model.knows(word):
                    known += log_prob
                else:
                    unknown += log_prob
                    unknown_words += 1
    return known, unknown, words, len(lines), unknown_words


@numba.njit(cache=True, nogil=True)
def _total(
    nodes: Any, leaves: Any, letters: Any, ends: Any, table: Any, text: Any
) -> tuple[float, float, int, int, int]:
    """The log-probabilities of known and unknown words, and the numbers of words, sentences and unknown words."""
    known, unknown, words, sentences, unknown_words = 0.0, 0.0, 0, 0, 0
    position = 0
    while position < len(text):
        state = BEGIN
        while position < len(text) and text[position] != NEWLINE:
            if is_blank(text[position]):
                position += 1
                continue
            end = skip_word(text, position)
            word = find_word(letters, ends, table, text, position, end)
            words += 1
            log_prob, state = score(nodes, leaves, state, word if word > END else UNKNOWN)
            if word > END:
                known += log_prob
            else:
                unknown += log_prob
                unknown_words += 1
            position = end
        known += score(nodes, leaves, state, END)[0]
        sentences += 1
        position += 1
    return known, unknown, words, sentences, unknown_words

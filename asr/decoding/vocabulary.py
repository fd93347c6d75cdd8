"""The tables that `fusion` walks, made from a language model, a lexicon and hotwords."""

import itertools
from collections.abc import Collection, Mapping
from typing import Any

import numpy

from asr.decoding.compilation import borrowing
from asr.decoding.fusion import LOWEST_PROMISE, SPELLING, TOKEN, UNASKED, WORD_NODE, Words
from asr.decoding.hotwords import build_automaton
from asr.decoding.lexicon import OUTSIDE, START, build_trie, writable
from asr.errors import TextError
from asr.lm.ngram import BEGIN, END, ROOT, UNKNOWN, score
from asr.lm.trie import LEAF, NODE
from asr.lm.units import SPACE, units
from asr.text.tokenizer import Tokenizer


def build_words(
    tokenizer: Tokenizer,
    lm: Any,
    lm_weight: float,
    word_bonus: float,
    character_bonus: float,
    unknown_score: float,
    lexicon: Collection[str] | None,
    hotwords: Mapping[str, float] | None,
) -> Words | None:
    """Everything that weighs words; None where nothing does.

    The words of the trie are those of the lexicon and of the hotwords, or else those of the language model that the
    tokens can write. A model of characters has none.

    Raises:
        TextError: a word of the lexicon or a hotword cannot be spelled, or a lexicon word holds a space.
        ConfigError: a boost is out of range.
    """
    if lm is None and lexicon is None and not hotwords:
        return None
    speller = lm if lm is not None and lm.unit == "character" else None
    model = lm if speller is None else None
    named = [word for phrase in hotwords or () for word in phrase.split()]
    if lexicon is not None:
        words = writable([*lexicon, *named], tokenizer)
        if phrase := next((word for word in words if " " in word), None):
            raise TextError(f"lexicon: {phrase!r} is not one word; give its words one by one")
    elif model is not None:
        known = itertools.islice(model.vocabulary, END, None)  # without <unk>, <s> and </s>
        words = writable([*(word for word in known if not tokenizer.uncovered(word)), *named], tokenizer, "hotwords")
    else:
        words = []
    trie = build_trie(words)
    tokens, letters, characters = _tokens(tokenizer, speller)
    spellings = _spellings(trie, words, model, lm_weight, unknown_score)
    automaton = build_automaton(hotwords or {}, tokenizer)
    closed = lexicon is not None
    word_bonus, character_bonus = word_bonus if lm else 0.0, character_bonus if speller else 0.0
    _bound(tokens, spellings, automaton, word_bonus, character_bonus, closed)
    return Words(
        nodes=numpy.zeros(0, WORD_NODE),
        tokens=tokens,
        letters=letters,
        trie=trie,
        spellings=spellings,
        closed=closed,
        hotwords=automaton,
        listening=bool(hotwords),
        model=_tables(model),
        speller=_tables(speller),
        characters=characters,
        lm_weight=lm_weight if lm else 0.0,
        word_bonus=word_bonus,
        character_bonus=character_bonus,
        unknown_score=unknown_score if model else 0.0,
    )


def new_nodes(capacity: int) -> Any:
    """`WORD_NODE` records for a prefix tree that holds the empty prefix."""
    nodes = numpy.zeros(capacity, WORD_NODE)
    nodes["closing"][:2], nodes["context"][:2], nodes["written"][:2] = UNASKED, BEGIN, BEGIN
    nodes["spelling"][:2], nodes["hotword"][:2] = START, START
    return nodes


def _tables(lm: Any) -> tuple[Any, Any]:
    """The nodes and leaves of a language model; without one there are none, but of the same types."""
    return (lm.nodes, lm.leaves) if lm is not None else (_nothing(NODE), _nothing(LEAF))


def _nothing(kind: Any) -> Any:
    """An empty array, read-only as those of a language model are."""
    array = numpy.zeros(0, kind)
    array.flags.writeable = False
    return array


def _tokens(tokenizer: Tokenizer, speller: Any) -> tuple[Any, Any, Any]:
    """The tokens without what `_bound` fills in, and their characters: as code points, and as the speller's ids."""
    tokens = numpy.zeros(tokenizer.size, TOKEN)
    tokens["opens"] = [surface.startswith(" ") for surface in tokenizer.tokens]
    written = [units(surface, "character") for surface in tokenizer.tokens]
    tokens["end"] = 1 + numpy.cumsum([len(each) for each in written])
    tokens["first"][0], tokens["first"][1:] = 1, tokens["end"][:-1]
    characters = [*itertools.chain.from_iterable(written)]
    known = [] if speller is None else [speller.vocabulary.id(character) for character in (SPACE, *characters)]
    return tokens, numpy.array([*map(ord, (" ", *characters))], numpy.int32), numpy.array(known, numpy.int32)


def _spellings(trie: Any, words: list[str], lm: Any, lm_weight: float, unknown_score: float) -> Any:
    """Beside each node of the trie: its word, and the promise of the best word below it."""
    spellings = numpy.zeros(len(trie), SPELLING)
    ends = trie["item"] >= 0
    spellings["word"] = trie["item"]
    if lm is None:
        spellings["weight"] = 1.0
        return spellings
    numbers = numpy.array([lm.vocabulary.id(word) for word in words], dtype=numpy.int32)
    spellings["word"][ends] = numbers[trie["item"][ends]]
    _promise(trie, spellings, lm.nodes, lm.leaves, lm_weight, unknown_score)
    spellings["weight"] = numpy.exp(spellings["promise"])
    return spellings


@borrowing
def _promise(trie: Any, spellings: Any, nodes: Any, leaves: Any, lm_weight: float, unknown_score: float) -> None:
    for node in range(len(trie)):
        word = spellings[node].word
        spellings[node].promise = lm_weight * score(nodes, leaves, ROOT, word)[0] if word >= 0 else -numpy.inf
    outside = max(LOWEST_PROMISE, lm_weight * score(nodes, leaves, ROOT, UNKNOWN)[0] + unknown_score)
    for node in range(len(trie) - 2, START, -1):
        above, here = spellings[trie[node].parent], spellings[node]
        here.promise = max(here.promise, LOWEST_PROMISE)
        above.promise = max(above.promise, here.promise)
    spellings[START].promise = max(spellings[START].promise, outside)
    spellings[OUTSIDE].promise = outside


def _bound(
    tokens: Any, spellings: Any, automaton: Any, word_bonus: float, character_bonus: float, closed: bool
) -> None:
    """Bound the factors of each token: what a promise can grow by, the bonuses, and what hotwords can add."""
    promise = spellings["promise"][START:-1] if closed else spellings["promise"][:-1]
    lowest, highest = float(promise.min()), float(promise.max())
    outside = 0.0 if closed else max(0.0, float(spellings["promise"][OUTSIDE]) - lowest)
    credit, parents = automaton.states["credit"], automaton.trie["parent"]
    growth = float((credit[2:-1] - credit[parents[2:-1]]).max(initial=0.0))
    earned = float(automaton.states["boost"].max(initial=0.0)) + float(credit.max(initial=0.0))
    tokens["reach"] = numpy.exp(max(0.0, word_bonus) + highest + earned)
    count = tokens["end"] - tokens["first"]
    within = numpy.exp(outside + growth * count)
    tokens["gain"] = numpy.where(tokens["opens"], tokens["reach"] * numpy.exp(-lowest), within)
    written = numpy.exp(max(0.0, character_bonus) * (1 + count))  # a space may come before
    tokens["reach"] *= written
    tokens["gain"] *= written

"""What language model, lexicon and hotwords make of a prefix, compiled.

The weight of a prefix is

    exp(lm_weight * log P(words) + word_bonus * words + unknown_score * unknown words + boosts)

or, with a language model of characters, which knows no words but can spell all (Maas et al. 2015, "Lexicon-free
conversational speech recognition with neural networks"),

    exp(lm_weight * log P(characters) + character_bonus * characters + word_bonus * words + boosts)

and a token on the way to it has the factor by which that weight grows. A word is scored when it is complete: at a
space, at the first token of the next word, at the end. Until then it stands for the likeliest word that begins like it
(the best unigram below its node of the trie; Steinbiss et al. 1994), so a word meets its probability while it is being
spelled and not at its end, where it would be too late for the prefixes it has pushed out of the beam. An unknown word
costs P(<unk>) and unknown_score from the token on that takes it out of the trie. All of this cancels when the word is
complete. Characters are scored as they are written, the space between two words with the first of the second: so it
does not matter how many spaces there are, and whether any stand at the end.
"""

from typing import Any, NamedTuple

import numpy

from asr.decoding.compilation import borrowing, inlined
from asr.decoding.hotwords import Automaton, follow
from asr.decoding.lexicon import OUTSIDE, START, child
from asr.lm.ngram import BEGIN, END, UNKNOWN, score

UNASKED = -1.0
"""In `closing`: nobody has asked yet."""
LOWEST_PROMISE = -500.0
"""Promises below this are raised to it, so that their exponentials stay far from the smallest float64."""

WORD_NODE = numpy.dtype(
    [
        *(("factor", "f8"), ("closing", "f8"), ("context", "i8"), ("closed", "i8"), ("written", "i8")),
        *(("spelling", "i4"), ("hotword", "i4")),
    ],
    align=True,
)
"""Of a prefix: its factor; the state of the language model before the unfinished word; that word's node in the trie;
the state of the hotwords; `written` that of a model of characters after the prefix. Once asked for, `closing` is the
factor of ending the word here, `closed` the state after."""

SPELLING = numpy.dtype([("promise", "f8"), ("weight", "f8"), ("word", "i4")], align=True)
"""Beside each node of the trie of words: the promise, lm_weight times the log-probability it stands for, and its
exponential; its word for the language model (-1: none). At `START` no character of the word has been written."""

TOKEN = numpy.dtype([("gain", "f8"), ("reach", "f8"), ("first", "i4"), ("end", "i4"), ("opens", "?")], align=True)
"""Of a token: a bound on its factors; a bound on them times the weight of the spelling so far, for a token that ends
words; where its characters are in `letters` and `characters`, spaces left out; whether it ends words, beginning with a
space."""


class Words(NamedTuple):
    """Everything that weighs words, for compiled code."""

    nodes: Any
    """`WORD_NODE` for every node of the prefix tree."""
    tokens: Any
    letters: Any
    """The code points of all tokens, one after the other; the space between words comes first."""
    trie: Any
    spellings: Any
    closed: bool
    """Whether words outside the trie are forbidden."""
    hotwords: Automaton
    listening: bool
    """Whether there are any hotwords."""
    model: Any
    """The nodes and leaves of the n-gram model; without one there are no nodes, but of the same types, so that nothing
    has to be compiled anew."""
    speller: Any
    """Likewise, of the n-gram model of characters."""
    characters: Any
    """What that model calls the same characters."""
    lm_weight: float
    word_bonus: float
    character_bonus: float
    unknown_score: float


@inlined
def _spell(words: Words, spelling: int, token: int) -> int:
    """The node of the trie after a token."""
    kind = words.tokens[token]
    node = START if kind.opens else spelling
    for place in range(kind.first, kind.end):
        node = child(words.trie, node, words.letters[place])
    return node


@inlined
def _listen(automaton: Automaton, state: int, letters: Any, kind: Any, empty: bool) -> int:
    """The state of the hotwords after a token of that kind; `empty` as in `_write`."""
    if kind.opens and not empty:
        state = follow(automaton, state, letters[0])
    for place in range(kind.first, kind.end):
        state = follow(automaton, state, letters[place])
    return state


@borrowing
def _ask(model: Any, context: int, word: int) -> tuple[float, int]:
    """The log-probability of a word, and the model's state after it; without a model, nothing changes."""
    if len(model[0]) == 0:
        return 0.0, context
    return score(model[0], model[1], context, word)


@borrowing
def _score(words: Words, context: int, spelling: int) -> tuple[float, int]:
    """As `_ask`, for the word that is complete at a node of the trie."""
    word = words.spellings[spelling].word
    return _ask(words.model, context, word if word >= 0 else UNKNOWN)


@borrowing
def _close(words: Words, prefix: int) -> float:
    """The factor of ending the word here, its promise taken back; 0 where it may not end."""
    here = words.nodes[prefix]
    if here.closing == UNASKED:
        spelling = words.spellings[here.spelling]
        here.closed = here.context
        if here.spelling == START:
            here.closing = 1.0 / spelling.weight
        elif words.closed and spelling.word < 0:
            here.closing = 0.0
        else:
            log_prob, here.closed = _score(words, here.context, here.spelling)
            extra = words.word_bonus if spelling.word >= 0 else words.word_bonus + words.unknown_score
            here.closing = numpy.exp(words.lm_weight * log_prob + extra) / spelling.weight
    return float(here.closing)


@borrowing
def _write(words: Words, written: int, empty: bool, token: int) -> tuple[float, int, int]:
    """What a token's characters are worth to the model of characters, how many they are, and its state after them.

    `empty` is whether the word before it has no characters yet.
    """
    kind = words.tokens[token]
    if len(words.speller[0]) == 0 or kind.first == kind.end:
        return 0.0, 0, written
    log_prob, count = 0.0, kind.end - kind.first
    if written != BEGIN and (kind.opens or empty):
        log_prob, written = _ask(words.speller, written, words.characters[0])
        count += 1
    for place in range(kind.first, kind.end):
        value, written = _ask(words.speller, written, words.characters[place])
        log_prob += value
    return log_prob, count, written


@borrowing
def _step(words: Words, above: int, token: int) -> tuple[float, int, int, int]:
    """The factor of a token after a prefix, the nodes it leads to in the tries of words and hotwords, and `written`."""
    here = words.nodes[above]
    kind = words.tokens[token]
    empty, spelling, hotword = here.spelling == START, _spell(words, here.spelling, token), here.hotword
    if words.closed and spelling == OUTSIDE:
        return 0.0, spelling, hotword, here.written
    if empty and spelling == START:  # one more space
        return 1.0, spelling, hotword, here.written
    before, after = words.spellings[here.spelling], words.spellings[spelling]
    factor = after.weight * (_close(words, above) if kind.opens else 1.0 / before.weight)
    if words.listening and factor > 0.0:
        states = words.hotwords.states
        hotword = _listen(words.hotwords, here.hotword, words.letters, kind, empty)
        earned = states[here.hotword].boost if kind.opens and not empty else 0.0
        change = earned + states[hotword].credit - states[here.hotword].credit
        if change != 0.0:
            factor *= numpy.exp(change)
    log_prob, count, written = _write(words, here.written, empty, token)
    if count:
        factor *= numpy.exp(words.lm_weight * log_prob + words.character_bonus * count)
    return factor, spelling, hotword, written


@borrowing
def weigh(words: Words, above: int, spelling: int, token: int, score: float, floor: float) -> float:
    """The score of a prefix, its word spelled thus far, after a token; 0 where the lexicon forbids it.

    Anything may be returned that is not above `floor` where the score is not. So the language model is asked only
    where a probability of one would suffice.
    """
    kind, here = words.tokens[token], words.spellings[spelling]
    if kind.opens:
        if words.closed and here.word < 0 and spelling != START:
            return 0.0
        if score * kind.reach <= floor * here.weight:
            return 0.0
    elif not words.listening and len(words.speller[0]) == 0:
        after = _spell(words, spelling, token)
        if words.closed and after == OUTSIDE:
            return 0.0
        return float(score * words.spellings[after].weight / here.weight)
    return score * _step(words, above, token)[0]


@borrowing
def enter(words: Words, above: int, node: int, token: int) -> None:
    """Fill in the node of a new prefix, `above` extended by a token."""
    here, parent = words.nodes[node], words.nodes[above]
    here.factor, here.spelling, here.hotword, here.written = _step(words, above, token)
    here.closing, here.context = UNASKED, parent.context
    if words.tokens[token].opens:
        _close(words, above)
        here.context = parent.closed


@borrowing
def finish(words: Words, prefix: int) -> float:
    """The factor of ending the utterance here: the last word, the end of the sentence, credits taken back."""
    factor, here = _close(words, prefix), words.nodes[prefix]
    ends = _ask(words.model, here.closed, END)[0] + _ask(words.speller, here.written, END)[0]
    factor *= numpy.exp(words.lm_weight * ends)
    if words.listening:
        state = words.hotwords.states[here.hotword]
        earned = 0.0 if here.spelling == START else state.boost
        factor *= numpy.exp(earned - state.credit)
    return float(factor)


@borrowing
def account(words: Words, tokens: Any) -> tuple[float, float]:
    """What the finished tokens are worth to the model, end included, not weighted; and what comes on top."""
    log_prob, extras = 0.0, 0.0
    context, written, spelling, hotword = BEGIN, BEGIN, START, START
    for position in range(len(tokens) + 1):
        token = tokens[position] if position < len(tokens) else -1
        opens, empty = token < 0 or words.tokens[token].opens, spelling == START
        if opens and not empty:
            value, context = _score(words, context, spelling)
            log_prob += value
            extras += words.word_bonus
            if words.spellings[spelling].word < 0:
                extras += words.unknown_score
            if words.listening:
                extras += words.hotwords.states[hotword].boost
        if token < 0:
            break
        value, count, written = _write(words, written, empty, token)
        log_prob += value
        extras += words.character_bonus * count
        if words.listening:
            hotword = _listen(words.hotwords, hotword, words.letters, words.tokens[token], empty)
        spelling = _spell(words, spelling, token)
    return log_prob + _ask(words.model, context, END)[0] + _ask(words.speller, written, END)[0], extras

"""Words and phrases to listen for, each with a boost: what is added to the score of a text for every time it holds one.

Whole words count, never parts of words: the boost of "new york" is earned in "in new york" and not in "new yorker".
While a phrase is being spelled, the search is credited with the share of the boost that its characters so far make, so
that it survives until it is complete; what is not completed is withdrawn. The credit depends on the text alone, so no
text ends with more or less than the boosts of the phrases that stand in it.

Finding all phrases at once is the automaton of Aho and Corasick (1975), which falls back from a phrase that fails to
the longest phrase begun later; here, to one begun at a later word.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from asr.decoding.compilation import borrowing
from asr.decoding.lexicon import OUTSIDE, START, build_trie, child, writable
from asr.errors import ConfigError
from asr.text.tokenizer import Tokenizer

HIGHEST_BOOST = 100.0
"""In nats, either way; e ** 10 already makes a word twenty thousand times as likely."""

STATE = numpy.dtype([("fallback", "i4"), ("credit", "f8"), ("boost", "f8")], align=True)
"""Beside each trie node: the node to go on from where no character leads on, what the phrases begun are credited with,
and what is earned for good if the word ends here."""
SPACE = ord(" ")


class Automaton(NamedTuple):
    """Hotwords for compiled code: a trie (see `lexicon`) and its `STATE` records."""

    trie: Any
    states: Any


def parse_hotword(text: str, where: str = "--hotword") -> tuple[str, float]:
    """Read `word or phrase:boost` (or with a tab in place of the colon).

    Raises:
        ConfigError: there is no phrase, or no number between -100 and 100.
    """
    phrase, separator, number = text.rpartition("\t" if "\t" in text else ":")
    try:
        boost = float(number) if separator else math.nan
    except ValueError:
        boost = math.nan
    if not phrase.strip() or not abs(boost) <= HIGHEST_BOOST:
        raise ConfigError(
            f"{where}: {text.strip()!r} is not a hotword; write word:boost, a number of at most {HIGHEST_BOOST:g}, "
            "e.g. Kirov:8"
        )
    return " ".join(phrase.split()), boost


def read_hotwords(path: Path | str) -> dict[str, float]:
    """Read a UTF-8 file of hotwords, one a line, with a tab or a colon before its boost; blank lines are skipped.

    Raises:
        ConfigError: the file cannot be read, or a line is not a hotword, or repeats one; names file and line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as hotwords ({error}); give a text file, word:boost a line"
        ) from None
    hotwords: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        phrase, boost = parse_hotword(line, f"{path}:{number}")
        if phrase in hotwords:
            raise ConfigError(f"{path}:{number}: {phrase!r} stands here for the second time; keep one")
        hotwords[phrase] = boost
    return hotwords


def build_automaton(hotwords: Mapping[str, float], tokenizer: Tokenizer) -> Automaton:
    """The automaton that finds these phrases in a text, character by character, one space between words.

    Raises:
        TextError: a phrase cannot be written in the tokens.
        ConfigError: a boost is not a number between -100 and 100.
    """
    hotwords = {" ".join(phrase.split()): boost for phrase, boost in hotwords.items()}
    for phrase, boost in hotwords.items():
        if not abs(boost) <= HIGHEST_BOOST:
            raise ConfigError(
                f"hotword {phrase!r}: boost {boost} must lie between -{HIGHEST_BOOST:g} and {HIGHEST_BOOST:g}"
            )
    trie = build_trie(writable(hotwords, tokenizer, "hotwords"))
    states = numpy.zeros(len(trie), STATE)
    _set_credits(trie, states, hotwords)
    for node in range(2, len(trie) - 1):  # parents come first, and fallbacks are shorter than what falls back
        _set_fallback(trie, states, node)
    return Automaton(trie, states)


def _set_credits(trie: Any, states: Any, hotwords: Mapping[str, float]) -> None:
    """Credit every node with the best share of a boost, and the last node of a phrase with the boost itself."""
    states["credit"][2:-1] = -math.inf
    for phrase, boost in hotwords.items():
        node = START
        for said, character in enumerate(phrase, start=1):
            node = child(trie, node, ord(character))
            states["credit"][node] = max(states["credit"][node], boost * said / len(phrase))
        states["boost"][node] = boost


def _set_fallback(trie: Any, states: Any, node: int) -> None:
    """Where to go on from a node: as from its longest ending that begins a phrase at the start of a word."""
    above, character = int(trie[node]["parent"]), int(trie[node]["character"])
    if above == START:
        back = OUTSIDE
    else:
        back = int(states[above]["fallback"])
        while (found := child(trie, back, character)) == OUTSIDE and back not in (OUTSIDE, START):
            back = int(states[back]["fallback"])
        back = found
    if back == OUTSIDE and character == SPACE:
        back = START
    states["fallback"][node] = back
    states["credit"][node] = max(states["credit"][node], states["credit"][back])
    states["boost"][node] += states[back]["boost"]


@borrowing
def follow(automaton: Automaton, state: int, character: int) -> int:
    """The state after a character, which is a space only between words."""
    trie, states = automaton.trie, automaton.states
    found = child(trie, state, character)
    while found == OUTSIDE and state != OUTSIDE and state != START:
        state = states[state].fallback
        found = child(trie, state, character)
    return START if found == OUTSIDE and character == SPACE else found

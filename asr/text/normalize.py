"""Normalisation: the one spelling of a transcript that is trained on, and that scores are computed in.

The steps, in order:

1. Unicode NFC, so that "e" + U+0301 and "é" are one character (Unicode Standard Annex 15). What nobody sees is deleted
   without trace: format and control characters (categories Cf and Cc), such as soft hyphens, zero-width spaces and byte
   order marks, that are no white space. Joiners (U+200C, U+200D) stay, for they change how letters look; so do
   characters that `keep` or `replace` names.
2. `replace`: literal, in the given order, while upper and lower case are still told apart.
3. `case`, by Unicode's full mapping, whatever the language: "İ" becomes "i" + U+0307 and "I" becomes "i". A Turkish
   recipe says `replace = {"I" = "ı", "İ" = "i"}`.
4. `drop`: deleted without trace. It sees characters as they are after the change of case, which is how
   `check_coverage` names them. So are others that step 5 would write as one that is deleted, as "’" where "'" is.
5. `punctuation = "drop"`: punctuation marks and symbols (Unicode categories P and S) become spaces. Those in `keep`
   stay; so do hyphens inside words, the typographic ones (U+2010, U+2011) written as "-"; so do, when "'" is kept,
   typographic apostrophes (U+2019, U+FF07) inside words, written as "'". At a word's edge U+2019 is far more often a
   closing quotation mark, and goes. U+02BC, the apostrophe that is a letter, is written as "'" everywhere.
6. White space: each run becomes one space, and none is left at the ends.

Normalising twice is normalising once, unless a replacement writes what it or an earlier one would replace again.
"""

import re
import unicodedata

from asr.config import TextConfig

APOSTROPHES = "\u2019\uff07"
LETTER_APOSTROPHE = "\u02bc"
HYPHENS = "\u2010\u2011"
JOINERS = "\u200c\u200d"


class Normalizer:
    """The normalisation that `config` describes: `normalizer("Don’t stop!")` is "don't stop"."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self._replacements = [(_nfc(old), _nfc(new)) for old, new in config.replace.items()]
        self._unseen = _Unseen(JOINERS + config.keep + "".join(old + new for old, new in self._replacements))
        self._dropped = dict.fromkeys(map(ord, _dropped(config)))
        self._marks = _Marks(config.keep)
        # What stands for a hyphen or apostrophe inside a word, after `_marks`; kept marks are decided there.
        self._joiners = {"-": "-"} | ({"\u2019": "'"} if "'" in config.keep else {})
        for mark in config.keep:
            self._joiners.pop(mark, None)
        joiners = re.escape("".join(self._joiners))
        self._joiner = (
            re.compile(rf"((?<=[^\s{joiners}])[{joiners}](?=[^\s{joiners}]))|[{joiners}]") if joiners else None
        )

    def __call__(self, text: str) -> str:
        """Normalise one transcript; the result may be empty."""
        text = _nfc(text)
        if not text.isprintable():  # which few texts are not, and deleting takes longer than asking
            text = _nfc(text.translate(self._unseen))
        for old, new in self._replacements:
            text = text.replace(old, new)
        if self.config.case != "keep":
            text = text.lower() if self.config.case == "lower" else text.upper()
        text = _nfc(text)
        # Deleting a character may let its neighbours compose into another one that is to be dropped.
        while self._dropped and (shorter := _nfc(text.translate(self._dropped))) != text:
            text = shorter
        if self.config.punctuation == "drop":
            text = text.translate(self._marks)
            if self._joiner is not None:
                text = self._joiner.sub(self._join, text)
        return " ".join(text.split())

    def describe(self) -> str:
        """One line that can stand beside a score: "NFC, lower case, punctuation dropped except ..."."""
        config = self.config
        parts = ["NFC"]
        if config.replace:
            parts.append("replaced " + ", ".join(f"{old!r} by {new!r}" for old, new in config.replace.items()))
        parts.append("case kept" if config.case == "keep" else f"{config.case} case")
        if config.drop:
            parts.append("deleted " + " ".join(_visible(mark) for mark in config.drop))
        if config.punctuation == "keep":
            parts.append("punctuation kept")
        else:
            kept = [_visible(mark) for mark in config.keep if mark not in config.drop]
            if "-" not in config.keep + config.drop:
                kept.append("and hyphens inside words" if kept else "hyphens inside words")
            parts.append(" ".join(["punctuation dropped", *(["except", *kept] if kept else [])]))
        return ", ".join(parts)

    def _join(self, match: re.Match[str]) -> str:
        return self._joiners[match[0]] if match[1] else " "


class _Unseen(dict[int, int | None]):
    """A table for `str.translate`, filled as characters are met: None for those that nobody sees."""

    def __init__(self, keep: str) -> None:
        super().__init__((ord(character), ord(character)) for character in keep)

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        unseen = unicodedata.category(character) in ("Cf", "Cc") and not character.isspace()
        self[code] = form = None if unseen else code
        return form


class _Marks(dict[int, str]):
    """A table for `str.translate`, filled as characters are met: the text each character becomes.

    Hyphens and typographic apostrophes pass, in one form each, to be decided by their neighbours.
    """

    def __init__(self, keep: str) -> None:
        passing = {"-": "-"} | dict.fromkeys(HYPHENS, "-")
        if "'" in keep:
            passing |= dict.fromkeys(APOSTROPHES, "\u2019") | {LETTER_APOSTROPHE: "'"}
        passing |= {mark: mark for mark in keep}
        super().__init__((ord(mark), form) for mark, form in passing.items())

    def __missing__(self, code: int) -> str:
        character = chr(code)
        form = " " if unicodedata.category(character)[0] in "PS" or character.isspace() else character
        self[code] = form
        return form


def _dropped(config: TextConfig) -> str:
    """What is deleted: also what looks like it, where that would be written as it later."""
    dropped = _nfc(config.drop)
    if config.punctuation == "keep":
        return dropped
    alike = APOSTROPHES + LETTER_APOSTROPHE if "'" in dropped else ""
    alike += HYPHENS if "-" in dropped else ""
    return dropped + "".join(mark for mark in alike if mark not in config.keep)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _visible(character: str) -> str:
    """The character where it prints alone, its code point where it does not."""
    alone = character.isprintable() and not character.isspace() and not unicodedata.combining(character)
    return character if alone else f"U+{ord(character):04X}"

"""What a language model counts: words, or characters, of which it knows all words and can spell those never seen."""

from typing import Literal

Unit = Literal["word", "character"]
SPACE = "\u2581"
"""Stands for the space between two words where characters are counted."""


def units(sentence: str, unit: Unit) -> list[str]:
    """The words of a sentence, or its characters with one `SPACE` between words."""
    words = sentence.split()
    return words if unit == "word" else list(SPACE.join(words))

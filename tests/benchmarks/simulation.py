"""Made-up text, and what a CTC model might make of it being spoken: inputs of the decoding benchmarks.

Text: words of syllables, drawn from a Zipf distribution; every second word is a frequent follower of the one before, so
that a language model has something to learn. Emissions: a peak for every character, often beside rivals, between
blanks; some characters are missed and some heard that nobody said. `peaky` is a sure model, `flat` an unsure one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

CHARACTERS = "abcdefghijklmnopqrstuvwxyz '"
"""Tokens 1 to 28; 0 is the blank."""
FRAMES_A_CHARACTER = 4.2
ONSETS = (*"bcdfghklmnprstvw", "br", "st", "tr")
VOWELS, CODAS = ("a", "e", "i", "o", "u", "ea"), ("", "n", "r", "s", "t")
ONE_SYLLABLE, TWO_SYLLABLES = 100, 10_000
"""How many words have no more; there are some 500 syllables."""
Random = np.random.Generator


@dataclass(frozen=True)
class Voice:
    """How clearly a model hears: logits of a character's peak and of the blank, and the share of characters missed and
    of those heard that were not said."""

    peak: float
    blank: float
    missed: float
    added: float


VOICES = {"peaky": Voice(12.0, 9.5, 0.015, 0.008), "flat": Voice(9.0, 6.7, 0.03, 0.02)}
SPREAD, RIVALS, RIVAL_PEAK, LEAK, MISSED_PEAK = 2.7, 3, 3.0, 0.35, 6.0
"""Standard deviation of peaks; rivals of each character and their mean; what neighbours get of a peak; what a missed
character's peak lacks."""


def words(count: int, random: Random) -> list[str]:
    """Different words of one to three syllables, the shorter ones first."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = 1 + (len(found) >= ONE_SYLLABLE) + (len(found) >= TWO_SYLLABLES)
        found["".join(_syllable(random) for _ in range(syllables))] = None
    return list(found)


def text(lines: int, vocabulary: list[str], random: Random) -> Iterator[str]:
    """Lines of 6 to 28 words."""
    chances = 1.0 / np.arange(1, len(vocabulary) + 1)
    chances /= chances.sum()
    for length in random.integers(6, 29, lines).tolist():
        chosen = random.choice(len(vocabulary), length, p=chances)
        followers = (chosen * 7919 + random.zipf(1.7, length) * 104_729) % len(vocabulary)
        chosen[1::2] = followers[:-1:2]
        yield " ".join(vocabulary[word] for word in chosen)


def emissions(line: str, voice: Voice, random: Random) -> torch.Tensor:
    """Log-probabilities, float32, shape (frames, 29), of a line being spoken."""
    tokens = np.array([CHARACTERS.index(character) + 1 for character in line])
    frames = int(len(tokens) * random.normal(FRAMES_A_CHARACTER, 0.2)) + 4
    free = np.sort(random.integers(0, frames - 2 * len(tokens) - 2, len(tokens)))
    places = free + 2 * np.arange(len(tokens)) + 1  # no two are neighbours, so doubled letters stay two
    logits = random.normal(0.0, 1.0, (frames, len(CHARACTERS) + 1))
    logits[:, 0] += voice.blank + random.normal(0.0, 1.0, frames)
    peaks = voice.peak + SPREAD * random.standard_normal(len(tokens))
    peaks -= MISSED_PEAK * (random.random(len(tokens)) < voice.missed)
    for place, token, peak in zip(places, tokens, peaks, strict=True):
        logits[place, token] += peak
        logits[[place - 1, place + 1], token] += LEAK * peak
        rivals = random.integers(1, logits.shape[1], RIVALS)
        logits[place, rivals] += RIVAL_PEAK + SPREAD * random.standard_normal(RIVALS)
        logits[place, 0] -= random.uniform(2.0, 5.0)
    added = random.poisson(voice.added * len(tokens))
    logits[random.integers(frames, size=added), random.integers(1, logits.shape[1], added)] += voice.peak
    return _normalised(logits)


def _normalised(logits: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(logits).log_softmax(-1).float()


def _syllable(random: Random) -> str:
    return "".join(str(random.choice(part)) for part in (ONSETS, VOWELS, CODAS))

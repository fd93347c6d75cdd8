"""Made-up text in which every count from 1 to 4 occurs, so that discounts can be estimated."""

import numpy as np


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of 0 to 9 words; what follows a word depends on it, and few words are frequent."""
    random = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        word, words = 0, []
        for _ in range(random.integers(0, 10)):
            word = (3 * word + random.zipf(1.6)) % 3000
            words.append(f"w{word}" if word % 7 else f"ñ{word}")
        lines.append(" ".join(words))
    return lines

"""A language of tones, so simple that a tiny model learns it in seconds: each letter is a beep of its own pitch."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16000
PITCH_HZ = {"a": 300.0, "b": 700.0, "c": 1400.0, "d": 2600.0}
BEEP_SECONDS, GAP_SECONDS, SPACE_SECONDS = 0.12, 0.08, 0.20
SPLITS = {"train": 160, "dev": 10, "test": 10}

RECIPE = """\
[data]
train = "train.jsonl"
dev = "dev.jsonl"
test = "test.jsonl"

[augment]
speeds = [1.0]
frequency_masks = 0
time_masks = 0

[model]
channels = 8
layers = 1
units = 64
dropout = 0.0
subsampling = 4

[training]
epochs = 8
batch_seconds = 6.0
learning_rate = 4e-3
warmup_steps = 10
ema_decay = 0.9
precision = "fp32"
workers = 0
"""


@dataclass(frozen=True)
class Spoken:
    """A waveform (samples,) of float32, and the words (start, end, text) that are in it, in seconds."""

    waveform: np.ndarray
    words: tuple[tuple[float, float, str], ...]

    @property
    def text(self) -> str:
        return " ".join(word for _, _, word in self.words)


def speak(text: str, seed: int = 0) -> Spoken:
    """Beep a text, softly or loudly, over a little noise."""
    random = np.random.default_rng(seed)
    pieces, words, now = [np.zeros(round(0.1 * SAMPLE_RATE))], [], 0.1
    for word in text.split():
        start = now
        for letter in word:
            times = np.arange(round(BEEP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
            beep = np.sin(2 * np.pi * PITCH_HZ[letter] * times) * np.hanning(len(times)) ** 0.2
            pieces += [beep, np.zeros(round(GAP_SECONDS * SAMPLE_RATE))]
            now += BEEP_SECONDS + GAP_SECONDS
        words.append((start, now - GAP_SECONDS, word))
        pieces.append(np.zeros(round(SPACE_SECONDS * SAMPLE_RATE)))
        now += SPACE_SECONDS
    clean = np.concatenate(pieces) * random.uniform(0.1, 0.5)
    noisy = clean + 0.003 * random.standard_normal(len(clean))
    return Spoken(noisy.astype(np.float32), tuple(words))


def sentence(seed: int) -> str:
    """One to three words of one to three letters."""
    random = np.random.default_rng(seed)
    return " ".join(
        "".join(random.choice(list(PITCH_HZ), size=random.integers(1, 4))) for _ in range(random.integers(1, 4))
    )


def write_corpus(folder: Path) -> None:
    """Write wav files, train.jsonl, dev.jsonl and test.jsonl; no seed, hence no recording, is in two of them."""
    seed = 0
    for split, size in SPLITS.items():
        (folder / "wav" / split).mkdir(parents=True)
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as manifest:
            for number in range(size):
                seed += 1
                spoken = speak(sentence(seed), seed)
                name = f"wav/{split}/{number}.wav"
                soundfile.write(folder / name, spoken.waveform, SAMPLE_RATE)
                line = {"audio_filepath": name, "duration": len(spoken.waveform) / SAMPLE_RATE, "text": spoken.text}
                manifest.write(json.dumps(line) + "\n")

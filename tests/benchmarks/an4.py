"""AN4, or what is as long: its lengths, and recordings of them where the corpus is not prepared."""

import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from asr.dataset import Manifest, Utterance, write_manifest
from asr.dataset.batches import Batch, Example, collate

SAMPLE_RATE = 16000
PREPARED = Path(__file__).resolve().parents[2] / "data/an4"
UTTERANCES = {"train": 883, "test": 130}
LETTERS = "abcdefghijklmnopqrstuvwxyz "
# fmt: off
LENGTHS = (
    (0.8, 2), (0.8, 2), (0.8, 4), (0.9, 4), (0.9, 5), (1.0, 3), (1.0, 3), (1.0, 5), (1.0, 12), (1.1, 6), (1.2, 4),
    (1.3, 5), (1.3, 10), (1.4, 7), (1.4, 13), (1.5, 9), (1.5, 13), (1.5, 21), (1.6, 15), (1.6, 20), (1.7, 14),
    (1.7, 19), (1.7, 23), (1.8, 16), (1.8, 21), (1.8, 22), (1.9, 13), (1.9, 24), (2.0, 12), (2.0, 20), (2.0, 25),
    (2.1, 13), (2.1, 21), (2.1, 30), (2.2, 9), (2.2, 12), (2.2, 21), (2.2, 26), (2.2, 35), (2.3, 17), (2.3, 22),
    (2.3, 28), (2.4, 11), (2.4, 19), (2.4, 22), (2.4, 29), (2.5, 9), (2.5, 13), (2.5, 23), (2.5, 33), (2.6, 13),
    (2.6, 23), (2.6, 29), (2.7, 13), (2.7, 19), (2.7, 30), (2.8, 13), (2.8, 20), (2.9, 11), (2.9, 17), (2.9, 23),
    (2.9, 32), (3.0, 19), (3.1, 11), (3.1, 15), (3.1, 25), (3.2, 13), (3.2, 22), (3.3, 11), (3.3, 19), (3.3, 30),
    (3.4, 11), (3.4, 32), (3.5, 22), (3.5, 33), (3.6, 15), (3.6, 32), (3.7, 22), (3.8, 19), (3.8, 51), (3.9, 24),
    (4.0, 19), (4.0, 35), (4.1, 24), (4.2, 15), (4.2, 29), (4.3, 17), (4.4, 9), (4.4, 52), (4.6, 33), (4.8, 17),
    (5.0, 15), (5.2, 17), (5.5, 32), (6.0, 19), (6.3, 15),
)
# fmt: on
"""Seconds and characters of AN4's training set: every ninth utterance or so, in order of length."""


def examples() -> list[Example]:
    """Noise and random tokens (1 to 26) of these lengths."""
    random = torch.Generator().manual_seed(0)
    found = []
    for number, (seconds, characters) in enumerate(LENGTHS):
        waveform = 0.1 * torch.randn(round(seconds * SAMPLE_RATE), generator=random)
        tokens = torch.randint(1, len(LETTERS), (characters,), generator=random).tolist()
        found.append(Example(waveform, tokens, str(number), ""))
    return found


def batches(size: int, pad_samples: int = 1) -> list[Batch]:
    """All of `examples`, in batches of similar length, shortest first; `pad_samples` as for `asr.dataset.collate`."""
    found = examples()
    return [collate(found[begin : begin + size], pad_samples) for begin in range(0, len(found), size)]


def manifest(split: str, folder: Path, utterances: int | None = None) -> Path:
    """The manifest of a split, "train" or "test": AN4's where it is prepared, else noise of its lengths.

    Args:
        split: which one.
        folder: where recordings are written if there must be some.
        utterances: how many of them to write; None is as many as AN4 has.
    """
    prepared = PREPARED / f"{split}.jsonl"
    if utterances is None and prepared.exists():
        return prepared
    made = folder / f"{split}.jsonl"
    if not made.exists():
        write_manifest(made, [_record(folder, split, each) for each in range(utterances or UTTERANCES[split])])
    return made


def is_prepared() -> bool:
    """Whether AN4 itself is there."""
    return all((PREPARED / f"{split}.jsonl").exists() for split in UTTERANCES)


def seconds_of(path: Path) -> float:
    """Seconds of audio in a manifest."""
    return float(Manifest(path).durations.sum(dtype=np.float64))


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="asr-benchmarks-")


def _record(folder: Path, split: str, number: int) -> Utterance:
    random = np.random.default_rng((number, len(split)))
    seconds, characters = LENGTHS[int(random.integers(len(LENGTHS)))]
    text = "".join(random.choice(list(LETTERS[:-1]), characters))
    path = folder / f"{split}-{number}.wav"
    noise = 0.1 * random.standard_normal(round(seconds * SAMPLE_RATE))
    soundfile.write(path, noise.clip(-1, 1), SAMPLE_RATE, subtype="PCM_16")
    return Utterance(path, seconds, text, id=path.stem)

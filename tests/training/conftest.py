"""A tiny language that can be learnt in seconds: every letter is a tone of its own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.config import Recipe
from asr.dataset import Utterance, write_manifest

RATE = 16000
TONES = {"a": 400.0, "b": 800.0, "c": 1600.0, "d": 3200.0}


def tones(text: str, generator: np.random.Generator) -> np.ndarray:
    pieces = [np.zeros(RATE // 20)]
    for letter in text:
        time = np.arange(RATE // 10) / RATE
        pieces += [np.sin(2 * np.pi * TONES[letter] * time) * np.hanning(len(time)), np.zeros(RATE // 25)]
    waveform = 0.3 * np.concatenate(pieces)
    return (waveform + 0.001 * generator.standard_normal(len(waveform))).astype(np.float32)


def write_corpus(folder: Path, name: str, texts: list[str], seed: int) -> None:
    generator = np.random.default_rng(seed)
    utterances = []
    for number, text in enumerate(texts):
        path = folder / f"{name}-{number}.wav"
        waveform = tones(text, generator)
        soundfile.write(path, waveform, RATE)
        utterances.append(Utterance(path, len(waveform) / RATE, text, id=f"{name}-{number}"))
    write_manifest(folder / f"{name}.jsonl", utterances)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list(TONES), generator.integers(2, 6))) for _ in range(40)]
    write_corpus(folder, "train", texts[:32], seed=1)
    write_corpus(folder, "dev", texts[32:], seed=2)
    return folder


@pytest.fixture
def recipe(corpus) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"train": str(corpus / "train.jsonl"), "dev": str(corpus / "dev.jsonl")},
            "features": {"bins": 24},
            "augment": {"frequency_mask_bins": 4},
            "model": {"subsampling": 4, "channels": 4, "layers": 1, "units": 16, "dropout": 0.1},
            "training": {
                "epochs": 3,
                "batch_seconds": 4.0,
                "warmup_steps": 5,
                "learning_rate": 5e-3,
                "precision": "fp32",
                "workers": 0,
            },
        }
    )

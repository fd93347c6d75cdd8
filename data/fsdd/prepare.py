"""Write the manifests of the Free Spoken Digit Dataset, and of connected digits made of it. See README.md here."""

import json
import math
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr.dataset import Utterance
from asr.dataset.corpus import Corpus, Splits, expect, main, measure
from asr.dataset.download import github_archive

HERE = Path(__file__).resolve().parent
COMMIT = "26eb9aaf"
CORPUS = Corpus(
    name="fsdd",
    marker="recordings/0_george_0.wav",
    archives=(github_archive("Jakobovski/free-spoken-digit-dataset", COMMIT, "fsdd"),),
)
SAMPLE_RATE = 8000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
INDICES = {"train": range(10, 50), "dev": range(5, 10), "test": range(5)}
"""Of the 50 recordings of every digit by every speaker. Test is the publisher's; its training set is all the others."""

SEED = 0
USES = {"train": 4, "dev": 2, "test": 3}
"""How often each recording of a split occurs in its connected digits."""
FEWEST, MOST = 3, 7
"""Digits in a string."""
GAP_SECONDS, EDGE_SECONDS = (0.05, 0.35), (0.1, 0.3)
FADE_SAMPLES = SAMPLE_RATE // 200
"""The recordings are cut tightly: a fade of 5 ms at both ends keeps the joints from clicking."""
FRAME_SAMPLES = SAMPLE_RATE // 50
"""The background noise of a recording is that of its quietest 20 ms."""

Samples = NDArray[np.float32]


def read(source: Path, out: Path) -> Splits:
    """Single digits in the official split and with each speaker left out; connected digits in the official split."""
    count = len(WORDS) * len(SPEAKERS) * sum(map(len, INDICES.values()))
    expect(source / "recordings", "recordings", len(list((source / "recordings").glob("*.wav"))), count)
    digits = {(speaker, name): single(source, speaker, name) for speaker in SPEAKERS for name in INDICES}
    splits = {name: [digit for speaker in SPEAKERS for digit in digits[speaker, name]] for name in INDICES}
    for speaker in SPEAKERS:
        others = [other for other in SPEAKERS if other != speaker]
        splits |= {
            f"speaker/{speaker}/train": [digit for o in others for n in ("train", "dev") for digit in digits[o, n]],
            f"speaker/{speaker}/dev": [digit for other in others for digit in digits[other, "test"]],
            f"speaker/{speaker}/test": [digit for name in INDICES for digit in digits[speaker, name]],
        }
    return splits | connected({name: splits[name] for name in INDICES}, out / "connected")


def single(source: Path, speaker: str, name: str) -> list[Utterance]:
    """One speaker's recordings in one part of the official split."""
    stems = [(f"{digit}_{speaker}_{index}", word) for digit, word in enumerate(WORDS) for index in INDICES[name]]
    return measure(
        [Utterance(source / f"recordings/{stem}.wav", 0.0, word, speaker=speaker, id=stem) for stem, word in stems],
        SAMPLE_RATE,
    )


def connected(splits: Splits, folder: Path) -> dict[str, list[Utterance]]:
    """Join recordings of one speaker and one split into strings of digits; the audio is there whole or not at all.

    `recordings.json` beside the manifests lists, for every string, the recordings it was made of.
    """
    final, temporary = folder / "audio", folder / "audio.part"
    shutil.rmtree(temporary, ignore_errors=True)
    found: dict[str, list[Utterance]] = {}
    made_of: dict[str, list[str]] = {}
    for name, digits in splits.items():
        found[f"connected/{name}"] = []
        (temporary / name).mkdir(parents=True)
        for speaker in SPEAKERS:
            # Seeded by name, so that no string depends on those of another split or speaker.
            rng, noise = (
                random.Random(f"{SEED} {name} {speaker}"),
                np.random.default_rng([SEED, *f"{name} {speaker}".encode()]),
            )
            own = [digit for digit in digits if digit.speaker == speaker]
            waveforms = {digit.id: soundfile.read(digit.audio_filepath, dtype="float32")[0] for digit in own}
            for number, string in enumerate(strings(own, USES[name], rng)):
                waveform = join([waveforms[digit.id] for digit in string], noise)
                stem = f"{name}-{speaker}-{number:03d}"
                soundfile.write(temporary / name / f"{stem}.wav", waveform, SAMPLE_RATE, subtype="PCM_16")
                made_of[stem] = [digit.id for digit in string]
                text, path = " ".join(digit.text for digit in string), final / name / f"{stem}.wav"
                found[f"connected/{name}"].append(
                    Utterance(path, len(waveform) / SAMPLE_RATE, text, speaker=speaker, id=stem)
                )
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    (folder / "recordings.json").write_text(json.dumps(made_of, indent=0), encoding="utf-8")
    return found


def strings(digits: Sequence[Utterance], uses: int, rng: random.Random) -> Iterator[list[Utterance]]:
    """Deal the recordings like a pack of cards, `uses` times over, into strings; none occurs twice in one string."""
    dealt: list[Utterance] = []
    for _ in range(uses):
        # The string under way is finished with recordings that cannot be in it yet.
        others = [digit for digit in digits if digit not in dealt[1 - MOST :]]
        head = rng.sample(others, MOST - 1)
        rest = [digit for digit in digits if digit not in head]
        dealt += head + rng.sample(rest, len(rest))
    first = 0
    while left := len(dealt) - first:
        # A length after which too few would be left for one more string is not drawn.
        length = rng.choice([n for n in range(FEWEST, MOST + 1) if left == n or left - n >= FEWEST])
        yield dealt[first : first + length]
        first += length


def join(recordings: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Recordings one after the other, with gaps between, over a noise that goes through from beginning to end.

    Without the noise, gaps would be the only true silence, and far too easy to find.

    Args:
        recordings: float32 in [-1, 1], each of shape (samples,).
        rng: draws the lengths of the gaps, and the noise.
    """
    pieces = [silence(EDGE_SECONDS, rng)]
    for recording in recordings:
        pieces += [faded(recording), silence(GAP_SECONDS, rng)]
    pieces[-1] = silence(EDGE_SECONDS, rng)
    waveform = np.concatenate(pieces)
    level = min(background(recording) for recording in recordings)
    return waveform + level * rng.standard_normal(len(waveform), dtype=np.float32)


def background(recording: Samples) -> float:
    """The level (root mean square) of white noise that is as loud as the quietest frame of a recording.

    It is measured on differences of neighbours, which keep twice the power of white noise and little of a low hum.
    """
    steps = np.diff(recording)
    frames = steps[: len(steps) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return math.sqrt(np.square(frames).mean(axis=1).min() / 2)


def faded(recording: Samples) -> Samples:
    """The recording, rising from and falling to nothing."""
    ramp = np.minimum(np.arange(len(recording)), np.arange(len(recording))[::-1]) / FADE_SAMPLES
    return (recording * np.minimum(ramp, 1.0)).astype(np.float32)


def silence(seconds: tuple[float, float], rng: np.random.Generator) -> Samples:
    """Zeros, at least and at most so long."""
    return np.zeros(round(rng.uniform(*seconds) * SAMPLE_RATE), dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main(HERE / "prepare.py", __doc__ or "", CORPUS, read))

"""How well models time words: by what anyone can see in a waveform, where speech begins and ends.

    python tests/benchmarks/word_times.py MANIFEST MODEL ...    # with commas between models, their mean

Two utterances of a speaker are cut where speech ends and begins, and joined with nothing between. So three instants are
known: where the first word begins, where one utterance passes into the other, and where the last word ends. The text is
given to the models, which only place it; so what they misread plays no part. `words` are the times that everything here
gives; `tokens` those of the frames where tokens are said, before words reach into the blanks around them. Models that
equalise voices are not placed: they would have to hear the speaker's other utterances too.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import librosa
import numpy
import torch
from harness import Report
from numpy.typing import NDArray
from torch import Tensor

from asr.audio import load
from asr.dataset import Manifest, Utterance
from asr.decoding.align import align
from asr.decoding.words import group, words
from asr.transcription import Recognizer

Instants = tuple[float, float, float]
"""Seconds: where the first word begins, where the utterances meet, where the last word ends."""


@dataclass(frozen=True)
class Joined:
    """Two utterances as one recording."""

    waveform: Tensor
    texts: tuple[str, str]
    instants: Instants


def speech(waveform: Tensor, quiet_db: float) -> tuple[int, int]:
    """Where speech begins and ends, in samples: what is less than `quiet_db` decibels below the loudest 20 ms."""
    parts = librosa.effects.split(waveform.numpy(), top_db=quiet_db, frame_length=320, hop_length=80)
    return int(parts[0, 0]), int(parts[-1, 1])


def join(utterances: Sequence[Utterance], rate: int, quiet_db: float) -> Iterator[Joined]:
    """Each two successive utterances of a speaker."""
    for first, second in pairwise(utterances):
        if first.speaker == second.speaker:
            heard = [load(each.audio_filepath, rate, each.offset, each.duration) for each in (first, second)]
            (begins, meets), (resumes, last) = (speech(waveform, quiet_db) for waveform in heard)
            waveform = torch.cat((heard[0][:meets], heard[1][resumes:]))
            instants = (begins / rate, meets / rate, (meets + last - resumes) / rate)
            yield Joined(waveform, (first.text, second.text), instants)


def place(recognizer: Recognizer, joined: Joined) -> dict[str, Instants]:
    """The instants as the model has them: the middle between two words is where they meet."""
    texts = [recognizer.normalizer(text) for text in joined.texts]
    log_probs, _ = recognizer.log_probs([joined.waveform])
    tokenizer, frame = recognizer.tokenizer, recognizer.frame_seconds
    spans = align(log_probs[0], tokenizer.encode(" ".join(texts)))
    said = words(spans, tokenizer, frame, (len(log_probs[0]) - 0.5) * frame)
    groups = [each for _, each in group(spans, tokenizer.tokens)]
    times = {
        "words": [(word.start, word.end) for word in said],
        "tokens": [((each[0].start_frame - 0.5) * frame, (each[-1].end_frame - 0.5) * frame) for each in groups],
    }
    next_word = len(texts[0].split())
    return {
        name: (found[0][0], (found[next_word - 1][1] + found[next_word][0]) / 2, found[-1][1])
        for name, found in times.items()
    }


def errors(models: Sequence[Path], manifest: Manifest, quiet_db: float) -> dict[str, NDArray[numpy.float64]]:
    """What is placed too late, in seconds, of all the models: (recordings * models, 3)."""
    found: dict[str, list[NDArray[numpy.float64]]] = {}
    for model in models:
        recognizer = Recognizer.load(model)
        for joined in join(list(manifest), recognizer.sample_rate, quiet_db):
            for name, instants in place(recognizer, joined).items():
                found.setdefault(name, []).append(numpy.subtract(instants, joined.instants))
    return {name: numpy.array(rows) for name, rows in found.items()}


def row(name: str, late: NDArray[numpy.float64]) -> list[str]:
    """The row of the table."""
    milliseconds = 1000 * late
    medians, sizes = numpy.median(milliseconds, axis=0), numpy.median(abs(milliseconds), axis=0)
    places = [f"{median:+.0f}, {size:.0f}" for median, size in zip(medians, sizes, strict=True)]
    return [name, *places, f"{(abs(milliseconds) < 100).mean():.0%}"]


def main() -> None:
    """Place all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL[,MODEL...]")
    parser.add_argument(
        "--quiet-db", type=float, default=30.0, help="speech is less below an utterance's loudest 20 ms"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    manifest = Manifest(chosen.manifest)
    rows = []
    for models in chosen.models:
        folders = [Path(each) for each in models.split(",")]
        rows += [row(f"{models}, {name}", late) for name, late in errors(folders, manifest, chosen.quiet_db).items()]
    header = ("", "first begins", "they meet", "last ends", "within 100 ms")
    Report().table("Late by, median, and off by, median, in ms", header, rows)


if __name__ == "__main__":
    main()

"""Write the manifest of ESC-10, noises to add to training audio. See README.md beside this file."""

import sys
from pathlib import Path

from asr.dataset import Utterance
from asr.dataset.corpus import Corpus, Splits, expect, main, measure
from asr.dataset.download import github_archive
from asr.errors import CorpusError

HERE = Path(__file__).resolve().parent
COMMIT = "553c8f1"
CORPUS = Corpus(
    name="esc10",
    marker="README.md",
    archives=(github_archive("karoldvl/ESC-10", COMMIT, "esc10"),),
)
CLASSES, RECORDINGS = 10, 40
"""Folders, whose names begin with a number, and recordings in each."""
SECONDS, TOLERANCE = 5.0, 0.05
"""Mean duration as published, and how far it may be off."""
SAMPLE_RATES = {".ogg": 44100, ".opus": 16000}
"""As published, and as re-encoded."""


def read(source: Path, out: Path) -> Splits:
    """All recordings, without texts, in the order of their classes."""
    classes = sorted(path for path in source.glob("[0-9][0-9][0-9]*") if path.is_dir())
    expect(source, "classes", len(classes), CLASSES)
    noises = [noise for folder in classes for noise in recordings(folder)]
    mean = sum(noise.duration for noise in noises) / len(noises)
    if abs(mean - SECONDS) > TOLERANCE:
        raise CorpusError(
            f"{source}: recordings last {mean:.2f} s where {SECONDS:g} s were published; get a fresh copy of the corpus"
        )
    return {"noise": noises}


def recordings(folder: Path) -> list[Utterance]:
    """The recordings of one class."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in SAMPLE_RATES)
    expect(folder, "recordings", len(paths), RECORDINGS)
    rate = SAMPLE_RATES[paths[0].suffix]
    return measure([Utterance(path, 0.0, "", id=path.stem) for path in paths], rate, is_speech=False)


if __name__ == "__main__":
    sys.exit(main(HERE / "prepare.py", __doc__ or "", CORPUS, read))

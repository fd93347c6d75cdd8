"""Write the manifests of CMU AN4: spelled names, numbers and commands. See README.md beside this file."""

import re
import sys
from pathlib import Path

from asr.dataset import Utterance
from asr.dataset.corpus import Corpus, Splits, expect, main, measure, read_text
from asr.dataset.download import github_archive
from asr.errors import CorpusError

HERE = Path(__file__).resolve().parent
COMMIT = "b567d132f43304e70a2b2eca6077f22255311812"
CORPUS = Corpus(
    name="an4",
    marker="etc/an4_train.fileids",
    archives=(github_archive("cmusphinx/an4", COMMIT, "an4"),),
)
SAMPLE_RATE = 16000
TRAIN_UTTERANCES, TEST_UTTERANCES = 948, 130
DEV_SPEAKERS = frozenset({"fclc", "fmjd", "mcen", "mjhp", "mtje"})
"""Two women and three men of the published training set. Nobody of similar initials is left in it."""


def read(source: Path, out: Path) -> Splits:
    """The published sets, and the training set parted by speakers."""
    train = utterances(source, "train", TRAIN_UTTERANCES)
    return {
        "train": [utterance for utterance in train if utterance.speaker not in DEV_SPEAKERS],
        "dev": [utterance for utterance in train if utterance.speaker in DEV_SPEAKERS],
        "test": utterances(source, "test", TEST_UTTERANCES),
        "train_all": train,
    }


def utterances(source: Path, name: str, published: int) -> list[Utterance]:
    """One published set: a line of `.fileids` names the recording whose transcript is the same line of the other."""
    paths = read_text(source / f"etc/an4_{name}.fileids").split()
    listing = source / f"etc/an4_{name}.transcription"
    lines = read_text(listing).splitlines()
    expect(source / f"etc/an4_{name}.fileids", "recordings", len(paths), published)
    expect(listing, "transcripts", len(lines), published)
    found = []
    for number, (path, line) in enumerate(zip(paths, lines, strict=True), start=1):
        _, speaker, stem = path.split("/")
        match = re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? ?\((.+)\)", line.strip())
        if match is None or match[2] != stem:
            raise CorpusError(f"{listing}:{number}: not the transcript of {stem}; get a fresh copy of the corpus")
        found.append(Utterance(source / f"wav/{path}.wav", 0.0, match[1].strip(), speaker=speaker, id=stem))
    return measure(found, SAMPLE_RATE)


if __name__ == "__main__":
    sys.exit(main(HERE / "prepare.py", __doc__ or "", CORPUS, read))

"""Write the manifests of the Kerstin voice, read German. See README.md beside this file."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asr.dataset import Utterance
from asr.dataset.corpus import Corpus, Splits, expect, main, measure, read_text
from asr.dataset.download import github_archive
from asr.errors import CorpusError

HERE = Path(__file__).resolve().parent
COMMIT = "f7312713"
CORPUS = Corpus(
    name="kerstin_de",
    marker="metadata.csv",
    archives=(github_archive("rhasspy/dataset-voice-kerstin", COMMIT, "kerstin_de"),),
)
SPEAKER = "kerstin"
RATES = {".flac": 48000, ".opus": 16000}
"""Samples per second, by the ending of the recordings: as published, and of copies."""
UTTERANCES = 1374
EVERY = 10
"""Of so many sentences in a row the first is for the test and the middle one for dev."""


def read(source: Path, out: Path) -> Splits:
    """Train, dev and test, which share no sentence: one that was read twice is in train both times."""
    utterances = sentences(source)
    twice = {text for text, count in Counter(utterance.text for utterance in utterances).items() if count > 1}
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for position, utterance in enumerate(utterances):
        place = {0: "test", EVERY // 2: "dev"}.get(position % EVERY, "train")
        splits["train" if utterance.text in twice else place].append(utterance)
    return splits


def sentences(source: Path) -> Sequence[Utterance]:
    """The recordings by number, of lines `<id>|<text>`; those whose text has digits are left out."""
    listing = source / CORPUS.marker
    ending = next((ending for ending in RATES if any((source / "verified").glob(f"*{ending}"))), ".flac")
    found = []
    for number, line in enumerate(read_text(listing).splitlines(), start=1):
        stem, bar, text = line.partition("|")
        if not bar or not stem:
            raise CorpusError(f"{listing}:{number}: not a line '<id>|<text>'; get a fresh copy of the corpus")
        found.append(Utterance(source / f"verified/{stem}{ending}", 0.0, text, speaker=SPEAKER, id=stem))
    expect(listing, "sentences", len(found), UTTERANCES)
    found.sort(key=lambda utterance: utterance.id or "")
    return [utterance for utterance in measure(found, RATES[ending]) if not re.search(r"\d", utterance.text)]


if __name__ == "__main__":
    sys.exit(main(HERE / "prepare.py", __doc__ or "", CORPUS, read))

"""Write the manifests of Mini LibriSpeech, read English. See README.md beside this file."""

import sys
from collections.abc import Set
from pathlib import Path

from asr.dataset import Utterance
from asr.dataset.corpus import Corpus, Splits, expect, main, measure, read_text
from asr.dataset.download import Archive
from asr.errors import CorpusError

HERE = Path(__file__).resolve().parent
TRAIN, DEV = "LibriSpeech/train-clean-5", "LibriSpeech/dev-clean-2"
SPEAKERS = "LibriSpeech/SPEAKERS.TXT"
PUBLISHER = "https://www.openslr.org/resources/31"
CORPUS = Corpus(
    name="mini_librispeech",
    marker=TRAIN,
    archives=(
        Archive(f"{PUBLISHER}/train-clean-5.tar.gz", "train-clean-5.tar.gz", md5="5df7d4e78065366204ca6845bb08f490"),
        Archive(f"{PUBLISHER}/dev-clean-2.tar.gz", "dev-clean-2.tar.gz", md5="6d7ab67ac6a1d2c993d050e16d61080d"),
    ),
)
SAMPLE_RATE = 16000
PUBLISHED = {TRAIN: 1519, DEV: 1089}
ENDINGS = (".flac", ".opus")
HELD_OUT: dict[str, Set[str]] = {"dev": frozenset({"4640", "2136"}), "test": frozenset({"3526", "1867"})}
"""A woman and a man each, of train-clean-5, where that is all there is."""


def read(source: Path, out: Path) -> Splits:
    """Train, dev and test, which share no speaker."""
    train = part(source, TRAIN)
    if (source / DEV).is_dir():
        rest = part(source, DEV)
        held_out = halves({utterance.speaker or "" for utterance in rest}, sexes(source / SPEAKERS))
        return {"train": train} | {name: spoken_by(speakers, rest) for name, speakers in held_out.items()}
    print(f"{source}: without {DEV}; four speakers of {TRAIN} are held out in its place")
    everybody = {utterance.speaker or "" for utterance in train}
    speakers = {"train": everybody - HELD_OUT["dev"] - HELD_OUT["test"]} | HELD_OUT
    return {name: spoken_by(chosen, train) for name, chosen in speakers.items()}


def part(source: Path, name: str) -> list[Utterance]:
    """Utterances of a part: each has a line `<id> <TEXT>` in `<speaker>/<chapter>/<speaker>-<chapter>.trans.txt`."""
    found = []
    for listing in sorted((source / name).glob("*/*/*.trans.txt")):
        for number, line in enumerate(read_text(listing).splitlines(), start=1):
            stem, _, text = line.partition(" ")
            if not stem.startswith(listing.name.removesuffix(".trans.txt")):
                raise CorpusError(f"{listing}:{number}: not an utterance of this chapter; get a fresh copy")
            paths = [listing.with_name(stem + ending) for ending in ENDINGS]
            path = next((path for path in paths if path.exists()), paths[0])
            found.append(Utterance(path, 0.0, text, speaker=stem.split("-")[0], id=stem))
    expect(source / name, "transcripts", len(found), PUBLISHED[name])
    return measure(found, SAMPLE_RATE)


def sexes(path: Path) -> dict[str, str]:
    """Speaker's number to F or M, from the lines `<speaker> | <sex> | ...` of SPEAKERS.TXT."""
    rows = [line.split("|") for line in read_text(path).splitlines() if not line.startswith(";")]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}


def halves(speakers: set[str], sex: dict[str, str]) -> dict[str, frozenset[str]]:
    """Speakers parted in two: women by number, then men by number, in turn into dev and into test."""
    if unknown := sorted(speakers - sex.keys()):
        raise CorpusError(f"{SPEAKERS}: says nothing of speaker {unknown[0]}; get a fresh copy of the corpus")
    ordered = sorted(speakers, key=lambda speaker: (sex[speaker], int(speaker)))
    return {"dev": frozenset(ordered[0::2]), "test": frozenset(ordered[1::2])}


def spoken_by(speakers: Set[str], utterances: list[Utterance]) -> list[Utterance]:
    """The utterances of these speakers, in their order."""
    return [utterance for utterance in utterances if utterance.speaker in speakers]


if __name__ == "__main__":
    sys.exit(main(HERE / "prepare.py", __doc__ or "", CORPUS, read))

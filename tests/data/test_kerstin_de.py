"""Kerstin's voice: a few sentences in its layout, then the real one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import preparer, real

from asr.errors import CorpusError

kerstin = preparer("kerstin_de")
SENTENCES = {0: "Null.", 1: "Eins.", 2: "Zwei Prozent.", 3: "20 Prozent.", 4: "Vier.", 5: "Fünf!", 6: "Eins."}


def write(source: Path, ending: str, rate: int) -> None:
    lines = []
    for number, text in reversed(SENTENCES.items()):
        lines.append(f"k-{number:04}|{text}")
        path = source / f"verified/k-{number:04}{ending}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(
            path, np.zeros(rate // 2), rate, **({"format": "OGG", "subtype": "OPUS"} if rate < 48000 else {})
        )
    (source / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kerstin, "UTTERANCES", len(SENTENCES))
    monkeypatch.setattr(kerstin, "EVERY", 3)
    write(tmp_path, ".flac", 48000)
    return tmp_path


def test_sentences_are_parted_and_none_is_in_two_parts(source: Path) -> None:
    splits = kerstin.read(source, source)
    ids = {name: [int(utterance.id[-1]) for utterance in split] for name, split in splits.items()}
    # 0 1 2 4 5 6, for 3 has digits, are test, dev, train in turn; 1 says what 6 says, so it is in train too
    assert ids == {"train": [1, 2, 6], "dev": [5], "test": [0, 4]}
    first = splits["test"][0]
    assert (first.text, first.speaker, first.duration) == ("Null.", "kerstin", 0.5)


def test_copies_have_their_own_rate(source: Path) -> None:
    for path in (source / "verified").iterdir():
        path.unlink()
    write(source, ".opus", 16000)
    assert {u.audio_filepath.suffix for u in kerstin.read(source, source)["train"]} == {".opus"}


def test_what_is_wrong_is_named(source: Path) -> None:
    (source / "verified/k-0004.flac").unlink()
    with pytest.raises(CorpusError, match=r"k-0004\.flac: missing"):
        kerstin.read(source, source)
    listing = source / "metadata.csv"
    listing.write_text("k-0001|Eins.\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="1 sentences where 7 were published"):
        kerstin.read(source, source)
    listing.write_text("k-0001 Eins.\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"metadata\.csv:1: not a line"):
        kerstin.read(source, source)


def test_the_real_one() -> None:
    splits = kerstin.read(real("kerstin_de"), Path())
    assert {name: len(split) for name, split in splits.items()} == {"train": 1099, "dev": 135, "test": 136}
    texts = {name: {utterance.text for utterance in split} for name, split in splits.items()}
    assert not texts["train"] & texts["dev"] | texts["train"] & texts["test"] | texts["dev"] & texts["test"]

"""AN4: a corpus of three utterances, then the real one."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import preparer, real

from asr.errors import CorpusError

an4 = preparer("an4")
TRAIN = {
    "an4_clstk/fash/an251-fash-b": "<s> YES </s> (an251-fash-b)",
    "an4_clstk/mcen/cen1-mcen-b": "<s> B C </s> (cen1-mcen-b)",
}
TEST = {"an4test_clstk/fcaw/an406-fcaw-b": "RUBOUT G (an406-fcaw-b)"}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(an4, "TRAIN_UTTERANCES", len(TRAIN))
    monkeypatch.setattr(an4, "TEST_UTTERANCES", len(TEST))
    (tmp_path / "etc").mkdir()
    for name, lines in (("train", TRAIN), ("test", TEST)):
        (tmp_path / f"etc/an4_{name}.fileids").write_text("\n".join(lines) + "\n")
        (tmp_path / f"etc/an4_{name}.transcription").write_text("\n".join(lines.values()) + "\n")
        for path in lines:
            (tmp_path / f"wav/{path}").parent.mkdir(parents=True)
            soundfile.write(tmp_path / f"wav/{path}.wav", np.zeros(16000), 16000)
    return tmp_path


def test_texts_and_speakers(source: Path) -> None:
    splits = an4.read(source, source)
    assert {name: [(u.id, u.speaker, u.text, u.duration) for u in split] for name, split in splits.items()} == {
        "train": [("an251-fash-b", "fash", "YES", 1.0)],
        "dev": [("cen1-mcen-b", "mcen", "B C", 1.0)],
        "test": [("an406-fcaw-b", "fcaw", "RUBOUT G", 1.0)],
        "train_all": [("an251-fash-b", "fash", "YES", 1.0), ("cen1-mcen-b", "mcen", "B C", 1.0)],
    }


def test_what_is_wrong_is_named(source: Path) -> None:
    listing = source / "etc/an4_test.transcription"
    listing.write_text("RUBOUT G (an407-fcaw-b)\n")
    with pytest.raises(CorpusError, match=r"an4_test\.transcription:1: not the transcript of an406-fcaw-b"):
        an4.read(source, source)
    listing.write_text("RUBOUT G (an406-fcaw-b)\n" * 2)
    with pytest.raises(CorpusError, match=r"an4_test\.transcription: 2 transcripts where 1 were published"):
        an4.read(source, source)
    listing.unlink()
    with pytest.raises(CorpusError, match=r"an4_test\.transcription: cannot be read"):
        an4.read(source, source)


def test_the_real_one() -> None:
    splits = an4.read(real("an4"), Path())
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 883, "dev": 65, "test": 130, "train_all": 948,
    }  # fmt: skip
    speakers = {name: {u.speaker for u in split} for name, split in splits.items()}
    assert speakers["dev"] == an4.DEV_SPEAKERS
    assert {speaker[0] for speaker in speakers["dev"]} == {"f", "m"}
    assert not speakers["train"] & speakers["dev"]
    assert not speakers["train_all"] & speakers["test"]
    assert sorted(splits["train"] + splits["dev"], key=lambda u: u.id) == sorted(
        splits["train_all"], key=lambda u: u.id
    )
    assert all(re.fullmatch(r"[A-Z]+( [A-Z]+)*", u.text) for split in splits.values() for u in split)
    assert sum(len(u.text.split()) for u in splits["test"]) == 773
    # What the README says is shared.
    trained = {u.text for u in splits["train_all"]}
    assert sum(u.text in trained for u in splits["test"]) == 26

"""Mini LibriSpeech: a few utterances in its layout, then the real one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import preparer, real

from asr.errors import CorpusError

mini = preparer("mini_librispeech")
WOMEN, MEN = ("4640", "3526", "19", "84", "174"), ("2136", "1867", "27", "251", "422")


def add(source: Path, part: str, speaker: str, ending: str = ".flac") -> None:
    chapter = source / part / speaker / "7"
    chapter.mkdir(parents=True)
    lines = [f"{speaker}-7-{number:04d} IT'S NUMBER {'ONE' if number else 'NOUGHT'}" for number in range(2)]
    (chapter / f"{speaker}-7.trans.txt").write_text("\n".join(lines) + "\n")
    for line in lines:
        rate = {"format": "OGG", "subtype": "OPUS"} if ending == ".opus" else {}
        soundfile.write(chapter / (line.split()[0] + ending), np.zeros(8000), 16000, **rate)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mini, "PUBLISHED", {mini.TRAIN: 12, mini.DEV: 8})
    for speaker in (*WOMEN[:3], *MEN[:3]):
        add(tmp_path, mini.TRAIN, speaker, ".opus" if speaker == "19" else ".flac")
    rows = [f"{speaker:5}| F | a | 1.0 | Somebody" for speaker in WOMEN]
    rows += [f"{speaker:5}| M | a | 1.0 | Some | body" for speaker in MEN]
    (tmp_path / mini.SPEAKERS).write_text(";ID |SEX| ...\n" + "\n".join(rows) + "\n")
    return tmp_path


def speakers(splits: dict[str, list]) -> dict[str, list[str]]:
    return {name: sorted({utterance.speaker for utterance in split}) for name, split in splits.items()}


def test_one_part(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = mini.read(source, source)
    assert speakers(splits) == {"train": ["19", "27"], "dev": ["2136", "4640"], "test": ["1867", "3526"]}
    assert "without LibriSpeech/dev-clean-2" in capsys.readouterr().out
    first = splits["train"][0]
    assert (first.id, first.text, first.duration) == ("19-7-0000", "IT'S NUMBER NOUGHT", 0.5)
    assert {u.audio_filepath.suffix for u in splits["train"]} == {".flac", ".opus"}


def test_both_parts(source: Path) -> None:
    for speaker in (*WOMEN[3:], *MEN[3:]):
        add(source, mini.DEV, speaker)
    splits = mini.read(source, source)
    assert len(splits["train"]) == 12
    assert speakers(splits) | {"train": []} == {"train": [], "dev": ["251", "84"], "test": ["174", "422"]}


def test_what_is_wrong_is_named(source: Path) -> None:
    add(source, mini.DEV, "9999")
    with pytest.raises(CorpusError, match="dev-clean-2: 2 transcripts where 8 were published"):
        mini.read(source, source)
    mini.PUBLISHED[mini.DEV] = 2
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT: says nothing of speaker 9999"):
        mini.read(source, source)
    (source / mini.TRAIN / "27/7/27-7-0001.flac").unlink()
    with pytest.raises(CorpusError, match=r"27-7-0001\.flac: missing"):
        mini.read(source, source)
    (source / mini.TRAIN / "27/7/27-7.trans.txt").write_text("28-7-0000 HELLO\n")
    with pytest.raises(CorpusError, match=r"27-7\.trans\.txt:1: not an utterance of this chapter"):
        mini.read(source, source)


def test_the_real_one() -> None:
    source = real("mini_librispeech")
    splits = mini.read(source, Path())
    by = speakers(splits)
    assert not set(by["train"]) & set(by["dev"]) | set(by["train"]) & set(by["test"]) | set(by["dev"]) & set(by["test"])
    sex = mini.sexes(source / mini.SPEAKERS)
    if not (source / mini.DEV).exists():
        assert {name: len(split) for name, split in splits.items()} == {"train": 1336, "dev": 82, "test": 101}
        assert all(sorted(sex[speaker] for speaker in by[name]) == ["F", "M"] for name in ("dev", "test"))

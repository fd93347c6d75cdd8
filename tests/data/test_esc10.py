"""ESC-10: two classes of two noises in its layout, then the real one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import preparer, real

from asr.audio import load
from asr.dataset import Manifest, write_manifest
from asr.errors import CorpusError

esc10 = preparer("esc10")
NAMES = ("001 - Dog bark/1-100-B", "001 - Dog bark/2-200-A", "002 - Rain/1-300-A", "002 - Rain/1-300-B")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(esc10, "CLASSES", 2)
    monkeypatch.setattr(esc10, "RECORDINGS", 2)
    (tmp_path / "README.md").write_text("ESC-10")
    for name in NAMES:
        path = tmp_path / f"{name}.ogg"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.zeros(5 * 44100), 44100)
    return tmp_path


def test_noises_have_no_text(source: Path, tmp_path: Path) -> None:
    splits = esc10.read(source, source)
    assert [(u.id, u.text, u.speaker, u.duration) for u in splits["noise"]] == [
        (Path(name).name, "", None, 5.0) for name in NAMES
    ]
    write_manifest(tmp_path / "noise.jsonl", splits["noise"])
    assert len(Manifest(tmp_path / "noise.jsonl")) == 4


def test_what_is_wrong_is_named(source: Path) -> None:
    soundfile.write(source / f"{NAMES[3]}.ogg", np.zeros(44100), 44100)
    with pytest.raises(CorpusError, match=r"recordings last 4\.00 s where 5 s were published"):
        esc10.read(source, source)
    soundfile.write(source / f"{NAMES[3]}.ogg", np.zeros(16000), 16000)
    with pytest.raises(CorpusError, match=r"1-300-B\.ogg: 16000 samples per second where the corpus has 44100"):
        esc10.read(source, source)
    (source / f"{NAMES[3]}.ogg").unlink()
    with pytest.raises(CorpusError, match="002 - Rain: 1 recordings where 2 were published"):
        esc10.read(source, source)
    (source / "002 - Rain").rename(source / "Rain")
    with pytest.raises(CorpusError, match="1 classes where 2 were published"):
        esc10.read(source, source)


def test_the_real_one() -> None:
    noises = esc10.read(real("esc10"), Path())["noise"]
    assert len(noises) == len({noise.id for noise in noises}) == 400
    assert sum(noise.duration for noise in noises) == pytest.approx(2000, abs=5)
    for noise in noises[::7]:
        assert len(load(noise.audio_filepath, 16000, duration=noise.duration)) > 3 * 16000

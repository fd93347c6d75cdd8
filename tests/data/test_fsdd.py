"""FSDD: a corpus of noises in its layout, then the real one."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import preparer, real

from asr.dataset import Utterance
from asr.errors import CorpusError

fsdd = preparer("fsdd")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two speakers, ten digits, four recordings; every recording has its own level."""
    monkeypatch.setattr(fsdd, "SPEAKERS", ("anna", "bert"))
    monkeypatch.setattr(fsdd, "INDICES", {"train": range(2, 4), "dev": range(1, 2), "test": range(1)})
    monkeypatch.setattr(fsdd, "MOST", 5)
    rng = np.random.default_rng(0)
    (tmp_path / "corpus/recordings").mkdir(parents=True)
    for number, (digit, speaker, index) in enumerate(
        (d, s, i) for d in range(10) for s in fsdd.SPEAKERS for i in range(4)
    ):
        path = tmp_path / f"corpus/recordings/{digit}_{speaker}_{index}.wav"
        soundfile.write(path, 0.01 * (number + 10) * rng.uniform(-1, 1, 1600), 8000)
    return tmp_path / "corpus"


def read(source: Path, out: Path) -> tuple[dict[str, list[Utterance]], dict[str, list[str]]]:
    return fsdd.read(source, out), json.loads((out / "connected/recordings.json").read_text())


def names(utterances: list[Utterance]) -> set[str]:
    return {utterance.id for utterance in utterances}


def test_single_digits(source: Path, tmp_path: Path) -> None:
    splits, _ = read(source, tmp_path)
    assert {name: len(split) for name, split in splits.items() if not name.startswith("connected")} == {
        "train": 40, "dev": 20, "test": 20,
        "speaker/anna/train": 30, "speaker/anna/dev": 10, "speaker/anna/test": 40,
        "speaker/bert/train": 30, "speaker/bert/dev": 10, "speaker/bert/test": 40,
    }  # fmt: skip
    assert names(splits["test"]) == {f"{digit}_{speaker}_0" for digit in range(10) for speaker in ("anna", "bert")}
    assert {u.text for u in splits["test"] if u.id.startswith("2_")} == {"two"}
    assert {u.speaker for u in splits["speaker/anna/test"]} == {"anna"}
    assert {u.speaker for u in splits["speaker/anna/train"] + splits["speaker/anna/dev"]} == {"bert"}
    assert not names(splits["speaker/anna/train"]) & names(splits["speaker/anna/dev"])


def check_connected(splits: dict[str, list[Utterance]], made_of: dict[str, list[str]]) -> None:
    for name, uses in fsdd.USES.items():
        split, digits = splits[f"connected/{name}"], {u.id: u for u in splits[name]}
        counts = Counter(part for u in split for part in made_of[u.id])
        assert counts == dict.fromkeys(digits, uses)
        for utterance in split:
            parts = made_of[utterance.id]
            assert utterance.text == " ".join(digits[part].text for part in parts)
            assert {digits[part].speaker for part in parts} == {utterance.speaker}
            assert fsdd.FEWEST <= len(parts) <= fsdd.MOST
            assert len(set(parts)) == len(parts)
            gaps = utterance.duration - sum(digits[part].duration for part in parts)
            assert 2 * 0.1 + 0.05 * (len(parts) - 1) - 1e-3 <= gaps <= 2 * 0.3 + 0.35 * (len(parts) - 1) + 1e-3


def test_connected_digits(source: Path, tmp_path: Path) -> None:
    splits, made_of = read(source, tmp_path)
    check_connected(splits, made_of)
    for utterance in splits["connected/test"]:
        found = soundfile.info(utterance.audio_filepath)
        assert (found.samplerate, found.channels, found.subtype) == (8000, 1, "PCM_16")
        assert found.frames == utterance.duration * 8000
        # Each recording is in it, in this order: the place where it fits best moves on.
        waveform, places = soundfile.read(utterance.audio_filepath)[0], []
        for part in made_of[utterance.id]:
            recording = soundfile.read(source / f"recordings/{part}.wav")[0]
            fit = np.correlate(waveform, recording) / np.sum(recording**2)
            assert fit.max() == pytest.approx(1.0, abs=0.1)
            places.append(fit.argmax())
        assert min(np.diff(places)) >= 1600 + 0.05 * 8000


def test_bit_for_bit_the_same(source: Path, tmp_path: Path) -> None:
    for out in ("1", "2"):
        read(source, tmp_path / out)
    read(source, tmp_path / "2")  # over what is there
    first, second = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*.*")} for out in "12"
    )
    assert first == second
    assert len(first) > 20


def test_a_recording_is_missing(source: Path, tmp_path: Path) -> None:
    (source / "recordings/3_bert_3.wav").unlink()
    with pytest.raises(CorpusError, match="recordings: 79 recordings where 80 were published"):
        read(source, tmp_path)


def test_no_gap_is_silent_and_none_is_loud() -> None:
    rng = np.random.default_rng(0)
    recordings = [(level * rng.standard_normal(4000)).astype(np.float32) for level in (0.1, 0.01)]
    assert fsdd.background(recordings[1]) == pytest.approx(0.01, rel=0.2)
    edge = fsdd.join(recordings, rng)[:800]
    assert np.sqrt(np.mean(edge**2)) == pytest.approx(0.01, rel=0.2)


def test_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsdd.USES, "train", 1)  # a quarter, which is sooner made
    splits, made_of = read(real("fsdd"), tmp_path)
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [2400, 300, 300]
    assert [len(splits[f"connected/{name}"]) for name in ("dev", "test")] == [116, 183]
    check_connected(splits, made_of)

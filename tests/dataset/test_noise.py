import pickle
from pathlib import Path

import pytest
import soundfile
import torch

from asr.dataset import noise
from asr.dataset.cache import WaveformCache
from asr.dataset.manifest import Utterance, write_manifest
from asr.dataset.noise import Noises
from asr.errors import AudioError, ManifestError

RATE = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings whose samples say where they are: 0, 1, 2 ... and 500, 501 ..., in units of 16 bits."""
    for name, first, samples in (("a", 0, 400), ("b", 500, 100)):
        soundfile.write(tmp_path / f"{name}.wav", (torch.arange(samples) + first).short().numpy(), RATE)
    write_manifest(
        tmp_path / "noise.jsonl", [Utterance(tmp_path / "a.wav", 0.4, ""), Utterance(tmp_path / "b.wav", 0.1, "")]
    )
    return tmp_path


def stretches(folder: Path, samples: int, count: int = 400, cache_bytes: int = 10**6) -> list[list[int]]:
    noises = Noises([str(folder / "noise.jsonl")], RATE, WaveformCache(cache_bytes))
    generator = torch.Generator().manual_seed(0)
    return [(noises(samples, generator) * 32768).round().int().tolist() for _ in range(count)]


def test_stretches_are_neighbours_from_anywhere(folder: Path) -> None:
    found = stretches(folder, 40)
    for stretch in found:
        assert stretch == list(range(stretch[0], stretch[0] + 40))
    firsts = [stretch[0] for stretch in found]
    long, short = ([first for first in firsts if (first < 500) == is_long] for is_long in (True, False))
    assert len(long) / len(firsts) == pytest.approx(0.5, abs=0.08), (
        "recordings are equally likely, whatever their length"
    )
    assert min(long) < 10
    assert 350 < max(long) <= 360
    assert min(short) < 505
    assert 555 < max(short) <= 560


def test_short_recordings_are_repeated(folder: Path) -> None:
    for stretch in stretches(folder, 1000, count=20):
        first, samples = (0, 400) if stretch[0] < 500 else (500, 100)
        assert stretch == [first + (stretch[0] - first + place) % samples for place in range(1000)]


def test_whole_recordings_and_single_stretches_are_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = stretches(folder, 40)
    assert stretches(folder, 40, cache_bytes=0) == kept
    monkeypatch.setattr(noise, "LONGEST_KEPT_SECONDS", 0.2)
    for stretch in stretches(folder, 40):
        assert stretch == list(range(stretch[0], stretch[0] + 40))


def test_a_long_recording_is_not_decoded_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "LONGEST_KEPT_SECONDS", 0.2)
    read, load = [], noise.load
    monkeypatch.setattr(noise, "load", lambda *arguments: read.append(arguments[3]) or load(*arguments))
    stretches(folder, 40, count=30)
    assert set(read) == {0.04, 0.1}


def test_missing_recording_names_the_line(folder: Path) -> None:
    (folder / "b.wav").unlink()
    with pytest.raises(AudioError, match=r"noise\.jsonl:2: .*b\.wav") as caught:
        stretches(folder, 40)
    assert "\n" not in str(caught.value)


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.jsonl: no such manifest"):
        Noises([str(tmp_path / "none.jsonl")], RATE, WaveformCache(0))


def test_travels_to_a_process(folder: Path) -> None:
    noises = Noises([str(folder / "noise.jsonl")], RATE, WaveformCache(0))
    copy = pickle.loads(pickle.dumps(noises))
    draws = [each(50, torch.Generator().manual_seed(3)) for each in (noises, copy)]
    assert torch.equal(*draws)

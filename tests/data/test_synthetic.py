"""The synthetic corpus, small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from preparers import ROOT, preparer

from asr.dataset import Manifest
from asr.errors import DependencyError

synthetic = preparer("synthetic")
pytest.importorskip("espeakng_loader", reason="the extra `synthetic` is not installed")


def make(out: Path, seed: int = 0) -> str:
    """130 utterances to train on, so that two processes speak."""
    sizes = ("--train", "130", "--dev", "6", "--test", "12")
    command = [sys.executable, str(ROOT / "data/synthetic/prepare.py"), "--out", str(out), "--seed", str(seed), *sizes]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.suffix != ".json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    assert "SYNTHETIC" in make(out)
    return out


def test_the_same_seed_makes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    make(tmp_path)
    assert contents(tmp_path) == contents(made)
    assert len(contents(made)) == 130 + 6 + 12 + 4


def test_another_seed_makes_other_bytes(made: Path, tmp_path: Path) -> None:
    make(tmp_path, seed=1)
    first, second = contents(made), contents(tmp_path)
    assert not {name for name in first if name.endswith(".wav") and first[name] == second.get(name)}


def test_a_second_run_does_nothing(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.wav")}
    assert "already prepared" in make(made)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.wav")} == before


def test_audio_is_as_the_manifest_says(made: Path) -> None:
    for name, count in (("train", 130), ("dev", 6), ("test", 12)):
        manifest = Manifest(made / f"{name}.jsonl")
        assert len(manifest) == count
        for utterance in manifest:
            samples, rate = soundfile.read(utterance.audio_filepath)
            assert (rate, samples.ndim) == (16000, 1)
            assert len(samples) == round(utterance.duration * rate)
            assert 0.005 < np.sqrt(np.mean(samples**2)) < 0.2
            assert np.abs(samples).max() < 1.0
            assert 0.15 < utterance.duration / len(utterance.text.split()) < 1.5


def test_held_out_voices_and_sentences_are_never_trained_on() -> None:
    texts = synthetic.sentences(synthetic.SIZES, synthetic.Rng(0))
    voices = {name: synthetic.voices(name, synthetic.Rng(name)) for name in synthetic.SIZES}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not set(texts[one]) & set(texts[other])
        assert not {voice.name.split("+")[1] for voice in voices[one]} & {v.name.split("+")[1] for v in voices[other]}
    for name in ("dev", "test"):
        assert len(set(texts[name])) == len(texts[name])
        for setting in ("pitch", "pitch_range"):
            trained = {getattr(voice, setting) for voice in voices["train"]}
            assert not trained & {getattr(voice, setting) for voice in voices[name]}
    for split in voices.values():
        assert len({voice.name for voice in split}) == len(split)


def test_every_word_is_trained_on_often() -> None:
    texts = synthetic.sentences(synthetic.SIZES, synthetic.Rng(0))
    words = [word for text in texts["train"] for word in text.split()]
    assert 120 <= len(set(words)) <= 170
    assert all(words.count(word) >= 10 for word in set(words))
    assert {word for name in ("dev", "test") for text in texts[name] for word in text.split()} <= set(words)
    assert not [word for word in words if not word.isalpha() or not word.islower()]


@pytest.mark.parametrize("hertz", [200.0, 3000.0, 7000.0])
def test_resampling_keeps_a_tone(hertz: float) -> None:
    def tone(rate: int) -> np.ndarray:
        times = np.arange(rate) / rate
        return np.sin(2 * np.pi * hertz * times) * np.hanning(rate)

    np.testing.assert_allclose(synthetic.resampled(tone(22050)), tone(16000), atol=1e-3)


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -1.0)])
def test_noise_has_its_spectrum(kind: str, slope: float) -> None:
    noise = synthetic.noise(kind, 1 << 16, np.zeros(1), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    bands = 2 ** np.arange(6, 15)
    mean = [power[low : 2 * low].mean() for low in bands]
    assert np.polyfit(np.log(bands), np.log(mean), 1)[0] == pytest.approx(slope, abs=0.1)


def test_mixtures_have_the_promised_signal_to_noise_ratio() -> None:
    """Without speech's own samples only noise is left, before and after it."""
    rng = np.random.default_rng(0)
    speech = np.ones(16000)
    for _ in range(20):
        samples = synthetic.mixed(speech, rng.standard_normal(1000), rng).astype(float)
        inside, edge = samples[8000:12000], samples[:1600]
        ratio = 10 * np.log10(inside.mean() ** 2 / edge.var())
        assert 7 < ratio < 43


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DependencyError, match=r"pip install 'asr\[synthetic\]'"):
        synthetic.Espeak()

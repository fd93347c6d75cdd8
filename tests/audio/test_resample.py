import math

import librosa
import pytest
import torch
from torch import Tensor
from torchaudio.transforms import Resample

from asr.audio import resample
from asr.audio.resample import BETA, GRID_SAMPLES, ROLLOFF, ZERO_CROSSINGS


def tone(hz: float, rate: int, seconds: float = 1.0) -> Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate), dtype=torch.float64) / rate).float()


def inner(waveform: Tensor) -> Tensor:
    """Without the ends, where the sound begins out of nothing."""
    margin = len(waveform) // 8
    return waveform[margin:-margin]


RATES = [(48000, 16000), (44100, 16000), (8000, 16000), (22050, 16000), (16000, 44100), (11127, 16000)]


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_tone_stays_that_tone(from_rate: int, to_rate: int) -> None:
    hz = 0.85 * min(from_rate, to_rate) / 2
    resampled = resample(tone(hz, from_rate), from_rate, to_rate)
    expected = tone(hz, to_rate)
    assert abs(len(resampled) - to_rate) <= 1
    tolerance = 5e-3 if from_rate != 11127 else 2e-2  # that ratio is approximated to 1e-6
    torch.testing.assert_close(inner(resampled[:to_rate]), inner(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (17600, 16000)])
def test_tone_above_the_new_nyquist_vanishes(from_rate: int, to_rate: int) -> None:
    resampled = resample(tone(1.02 * to_rate / 2, from_rate), from_rate, to_rate)
    assert inner(resampled).abs().max() < 1e-5  # -100 dB


def test_as_librosa_does() -> None:
    noise = torch.randn(44100, generator=torch.Generator().manual_seed(0))
    low = resample(resample(noise, 44100, 8000), 8000, 44100)[:44100]  # nothing near the new Nyquist frequency
    expected = torch.from_numpy(librosa.resample(low.numpy(), orig_sr=44100, target_sr=16000, res_type="soxr_vhq"))
    resampled = resample(low, 44100, 16000)
    assert resampled.shape == expected.shape
    torch.testing.assert_close(inner(resampled), inner(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, GRID_SAMPLES - 1, GRID_SAMPLES, GRID_SAMPLES + 1, 3 * GRID_SAMPLES - 7])
def test_padding_to_the_grid_changes_nothing(samples: int) -> None:
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    unpadded = Resample(9, 10, "sinc_interp_kaiser", ZERO_CROSSINGS, ROLLOFF, BETA)(noise)
    torch.testing.assert_close(resample(noise, 14400, 16000), unpadded, rtol=0, atol=1e-6)


def test_constant_stays_constant() -> None:
    resampled = resample(torch.full((44100,), 0.5), 44100, 16000)
    torch.testing.assert_close(inner(resampled), torch.full_like(inner(resampled), 0.5), rtol=0, atol=1e-5)


def test_same_rate_is_the_same_tensor() -> None:
    waveform = torch.randn(100)
    assert resample(waveform, 16000, 16000) is waveform

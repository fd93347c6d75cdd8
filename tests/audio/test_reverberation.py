import math

import numpy as np
import pytest
import scipy.signal
import torch
from sounds import sweep

from asr.audio import perturb
from asr.audio.reverberation import reverberate, room_response
from asr.config import AugmentConfig


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("samples", [16000, 300, 1])
def test_convolution_is_that_of_scipy_at_the_same_level(samples: int) -> None:
    waveform, response = sweep(1.0, 16000)[:samples], room_response(16000, 0.3, 5.0, seeded(0))
    expected = scipy.signal.fftconvolve(waveform.double(), response.double())[:samples]
    expected *= np.sqrt(np.mean(waveform.double().numpy() ** 2) / np.mean(expected**2))
    np.testing.assert_allclose(reverberate(waveform, response), expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_response_decays_by_60_db_in_its_time(seconds: float) -> None:
    # Schroeder's backward integration; the slope from -5 to -25 dB, as ISO 3382 measures a reverberation time
    tail = room_response(16000, seconds, 0.0, seeded(1))[1:].double()
    left = tail.square().flip(0).cumsum(0).flip(0)
    decibels = 10 * (left / left[0]).log10()
    first, last = int((decibels > -5).sum()), int((decibels > -25).sum())
    assert 3 * (last - first) / 16000 == pytest.approx(seconds, rel=0.1)
    assert len(tail) == round(seconds * 16000) - 1


@pytest.mark.parametrize("direct_db", [-3.0, 0.0, 12.0])
def test_direct_sound_is_first_and_has_its_share(direct_db: float) -> None:
    response = room_response(16000, 0.4, direct_db, seeded(2)).double()
    assert response[0] == 1.0
    assert 10 * math.log10(1 / float(response[1:].square().sum())) == pytest.approx(direct_db, abs=1e-4)
    torch.testing.assert_close(room_response(8000, 1e-6, direct_db, seeded(2)), torch.ones(1))


def test_speech_is_neither_delayed_nor_louder_nor_longer() -> None:
    waveform = torch.zeros(8000)
    waveform[2000] = 0.5
    heard = reverberate(waveform, room_response(16000, 0.3, 6.0, seeded(3)))
    assert heard.shape == waveform.shape
    assert int(heard.abs().argmax()) == 2000
    assert heard[:2000].abs().max() < 1e-6
    assert heard[2001:4000].abs().max() > 1e-3
    torch.testing.assert_close(heard.square().mean(), waveform.square().mean())


def test_silence_stays_silent() -> None:
    assert not reverberate(torch.zeros(100), room_response(16000, 0.3, 6.0, seeded(0))).any()


def test_rooms_come_as_often_as_asked_and_differ() -> None:
    config = AugmentConfig(speeds=(), reverberation_share=0.5, reverberation_seconds=(0.1, 0.6))
    waveform, generator = 0.3 * sweep(0.2, 16000), seeded(0)
    heard = [perturb(waveform, 16000, config, generator) for _ in range(300)]
    changed = [each for each in heard if each is not waveform]
    assert len(changed) / 300 == pytest.approx(0.5, abs=0.08)
    assert not torch.equal(changed[0], changed[1])

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sounds import sweep
from torch import Tensor

from asr.audio import perturb
from asr.audio.perturb import change_level, noise_at, quiet_noise
from asr.config import AugmentConfig


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def level(waveform: Tensor) -> float:
    """Decibels of mean power."""
    return 10 * math.log10(float(waveform.double().square().mean()))


def white(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(samples, generator=seeded(seed))


def played_at(waveform: Tensor, speed: float, **settings: float) -> Tensor:
    return perturb(waveform, 16000, AugmentConfig(speeds=(speed,), **settings), torch.Generator())


def test_normal_speed_is_the_same_tensor() -> None:
    waveform = torch.rand(1000)
    assert played_at(waveform, 1.0) is waveform
    assert perturb(waveform, 16000, AugmentConfig(speeds=()), torch.Generator()) is waveform


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.03, 1.1, 2.0])
def test_speed_scales_duration_and_pitch(speed: float) -> None:
    seconds, hz = 2.0, 500.0
    waveform = 0.5 * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * 16000), dtype=torch.float64) / 16000)
    played = played_at(waveform.float(), speed)
    assert len(played) == pytest.approx(len(waveform) / speed, abs=2)
    expected = 0.5 * torch.sin(2 * math.pi * hz * speed * torch.arange(len(played), dtype=torch.float64) / 16000)
    inner = slice(1000, -1000)
    torch.testing.assert_close(played[inner], expected.float()[inner], rtol=0, atol=2e-3)


def test_gain_is_within_its_decibels_and_never_clips() -> None:
    generator = torch.Generator().manual_seed(0)
    config = AugmentConfig(speeds=(1.0,), gain_db=6.0)
    waveform = torch.tensor([0.1, -0.6])
    gains = [float(perturb(waveform, 16000, config, generator)[1] / -0.6) for _ in range(300)]
    assert min(gains) == pytest.approx(10 ** (-6 / 20), rel=0.05)
    assert max(gains) == pytest.approx(1 / 0.6)


def test_draws_come_from_the_generator_only() -> None:
    config, waveform = AugmentConfig(gain_db=3.0), torch.rand(400)
    before = torch.get_rng_state()
    first = [perturb(waveform, 16000, config, generator) for generator in [torch.Generator().manual_seed(1)] * 8]
    torch.manual_seed(99)
    again = [perturb(waveform, 16000, config, generator) for generator in [torch.Generator().manual_seed(1)] * 8]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert {len(played) for played in first} == {364, 400, 445}  # ceil(400 / speed): all three speeds are drawn
    torch.set_rng_state(before)
    perturb(waveform, 16000, config, torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5])
def test_noise_is_as_loud_as_asked(snr_db: float) -> None:
    speech, noise = sweep(1.0, 16000), 0.01 * white(24000)
    assert level(speech) - level(noise_at(snr_db, noise, speech)) == pytest.approx(snr_db, abs=1e-3)
    assert not noise_at(snr_db, torch.zeros(100), speech).any(), "silence cannot be made louder"


def test_ratios_are_uniform_in_their_range_and_noise_comes_as_often_as_asked() -> None:
    config = AugmentConfig(speeds=(), noise=("n.jsonl",), noise_share=0.25, noise_snr_db=(3.0, 18.0))
    speech, generator = 0.1 * sweep(0.2, 16000), seeded(0)
    added = [perturb(speech, 16000, config, generator, lambda samples, _: white(samples)) - speech for _ in range(800)]
    ratios = [level(speech) - level(each) for each in added if each.any()]
    assert len(ratios) / 800 == pytest.approx(0.25, abs=0.04)
    assert 3.0 - 1e-2 < min(ratios) < 4.0
    assert 17.0 < max(ratios) < 18.0 + 1e-2
    assert np.mean(ratios) == pytest.approx(10.5, abs=1.0)


def test_silence_around_speech_does_not_change_the_ratio() -> None:
    config = AugmentConfig(
        speeds=(), silence_seconds=2.0, noise=("n.jsonl",), noise_share=1.0, noise_snr_db=(10.0, 10.0)
    )
    speech, generator = torch.cat((sweep(0.5, 16000), torch.zeros(400))), seeded(2)
    heard = perturb(speech, 16000, config, generator, lambda samples, _: white(samples))
    assert len(heard) > 20000
    start = int(np.correlate(heard.numpy(), speech.numpy()).argmax())
    rest = torch.cat((heard[:start], heard[start + len(speech) :]))
    assert level(speech) - level(rest) == pytest.approx(10.0, abs=0.2)


def test_loud_noise_is_scaled_together_with_the_speech() -> None:
    config = AugmentConfig(speeds=(), noise=("n.jsonl",), noise_share=1.0, noise_snr_db=(-20.0, -20.0))
    speech = sweep(0.2, 16000)
    heard = perturb(speech, 16000, config, seeded(0), lambda samples, _: white(samples))
    assert float(heard.abs().max()) == pytest.approx(1.0)
    clean = noise_at(-20.0, white(len(speech)), speech) + speech
    torch.testing.assert_close(heard, clean / clean.abs().max())


@pytest.mark.parametrize("tilt", ["white", "dark"])
def test_quiet_noise_sounds_like_the_quietest_moment(tilt: str) -> None:
    hiss = white(32000)
    if tilt == "dark":
        hiss = (hiss + hiss.roll(1) + hiss.roll(2) + hiss.roll(3)) / 4
    speech = torch.cat((sweep(1.0, 16000), 0.01 * hiss[:320], sweep(1.0, 16000)))
    made = quiet_noise(speech, 32000, 16000, seeded(1))
    assert level(made) == pytest.approx(level(0.01 * hiss[:320]), abs=0.3)
    bands = [torch.fft.rfft(each).abs().square().chunk(4) for each in (made, hiss)]
    shares = [[float(band.sum()) / sum(float(b.sum()) for b in each) for band in each] for each in bands]
    assert shares[0] == pytest.approx(shares[1], abs=0.1)


def test_silence_lies_before_and_behind() -> None:
    config = AugmentConfig(speeds=(), silence_seconds=0.5)
    speech, generator = 0.1 * sweep(0.3, 8000), seeded(0)
    before, behind = [], []
    for _ in range(200):
        heard = perturb(speech, 8000, config, generator)
        start = int((heard.unfold(0, len(speech), 1) - speech).abs().amax(dim=1).argmin())
        assert torch.equal(heard[start : start + len(speech)], speech)
        before.append(start / 8000)
        behind.append((len(heard) - start - len(speech)) / 8000)
    for seconds in (before, behind):
        assert max(seconds) <= 0.5
        assert np.mean(seconds) == pytest.approx(0.25, abs=0.03)
    assert abs(np.corrcoef(before, behind)[0, 1]) < 0.2


def test_a_recording_with_digital_silence_gets_more_of_it() -> None:
    speech = torch.cat((sweep(0.2, 16000), torch.zeros(1000)))
    assert not quiet_noise(speech, 5000, 16000, seeded(0)).any()
    assert quiet_noise(torch.tensor([0.5]), 10, 16000, seeded(0)).shape == (10,)
    assert quiet_noise(speech, 0, 16000, seeded(0)).shape == (0,)


def test_level_changes_by_decibels() -> None:
    waveform = torch.tensor([0.1, -0.25])
    torch.testing.assert_close(change_level(waveform, 6.0206), torch.tensor([0.2, -0.5]))
    torch.testing.assert_close(change_level(waveform, 40.0), torch.tensor([0.4, -1.0]))
    assert change_level(waveform, 0.0) is waveform


ALL = AugmentConfig(
    gain_db=3.0, silence_seconds=0.3, reverberation_share=0.5, noise=("n.jsonl",), noise_share=0.5
)  # fmt: skip


@pytest.mark.parametrize("make", [sweep, lambda seconds, rate: torch.zeros(round(seconds * rate))])
@pytest.mark.parametrize("seconds", [0.7, 0.01, 1 / 16000])
def test_everything_together_is_a_waveform(make: Callable[[float, int], Tensor], seconds: float) -> None:
    generator = seeded(0)
    for _ in range(20):
        heard = perturb(make(seconds, 16000), 16000, ALL, generator, lambda samples, _: white(samples))
        assert heard.dtype == torch.float32
        assert heard.isfinite().all()
        assert heard.abs().max() <= 1.0 + 1e-6
    assert perturb(torch.zeros(0), 16000, ALL, generator).shape == (0,)


def test_what_is_off_changes_no_draw_of_what_is_on() -> None:
    config = AugmentConfig(gain_db=6.0, reverberation_seconds=(0.1, 0.2), noise_snr_db=(1.0, 2.0))
    waveform = 0.3 * sweep(0.1, 16000)
    generator, expected = seeded(7), seeded(7)
    heard = perturb(waveform, 16000, config, generator, lambda samples, _: white(samples))
    torch.randint(3, (), generator=expected)
    torch.rand((), generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state())
    assert torch.equal(heard, perturb(waveform, 16000, AugmentConfig(gain_db=6.0), seeded(7)))

import math

import pytest
import torch
from torch import Tensor

from asr.audio import SpecAugment, perturb
from asr.config import AugmentConfig


def naive(features: Tensor, lengths: Tensor, config: AugmentConfig) -> Tensor:
    """The definition, one mask at a time, from the same draws."""
    batch, _, bins = features.shape
    masked = features.clone()
    places = torch.rand(2, batch, config.frequency_masks), torch.rand(2, batch, config.time_masks)
    for row in range(batch):
        for width, place in places[0][:, row].T.tolist():
            size = int(width * (min(config.frequency_mask_bins, bins) + 1))
            start = int(place * (bins - size + 1))
            masked[row, :, start : start + size] = 0
        length = int(lengths[row])
        for width, place in places[1][:, row].T.tolist():
            size = int(width * (int(config.time_mask_fraction * length) + 1))
            start = int(place * (length - size + 1))
            masked[row, start : start + size] = 0
    return masked


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(),
        AugmentConfig(frequency_masks=0, time_masks=3, time_mask_fraction=1.0),
        AugmentConfig(frequency_masks=3, frequency_mask_bins=200, time_masks=0),
        AugmentConfig(frequency_masks=0, time_masks=0),
    ],
)
def test_masks_are_those_of_the_definition(config: AugmentConfig) -> None:
    features, lengths = torch.randn(6, 240, 80), torch.tensor([240, 1, 100, 37, 240, 20])
    torch.manual_seed(5)
    masked = SpecAugment(config)(features, lengths)
    torch.manual_seed(5)
    assert torch.equal(masked, naive(features, lengths, config))


def test_time_masks_stay_within_the_utterance_and_their_widest() -> None:
    config = AugmentConfig(frequency_masks=0, time_masks=1, time_mask_fraction=0.25)
    lengths = torch.tensor([40, 100, 3]).repeat(200)
    masked = SpecAugment(config)(torch.ones(600, 100, 2), lengths) == 0
    frames = torch.arange(100)
    assert not masked[frames >= lengths[:, None]].any()
    widths = masked[..., 0].sum(dim=1).reshape(200, 3)
    assert widths.amax(dim=0).tolist() == [10, 25, 0]  # the widest are drawn, and nothing wider
    assert widths.amin(dim=0).tolist() == [0, 0, 0]
    reached = masked[..., 0].reshape(200, 3, 100).any(dim=0)
    assert reached[0, :40].float().mean() > 0.9
    assert reached[1].float().mean() > 0.9


def test_expected_share_is_masked() -> None:
    config = AugmentConfig(frequency_masks=1, frequency_mask_bins=20, time_masks=0)
    torch.manual_seed(0)
    masked = SpecAugment(config)(torch.ones(4000, 1, 80), torch.ones(4000, dtype=torch.long)) == 0
    assert masked.float().mean() == pytest.approx(10 / 80, rel=0.05)


def test_evaluation_masks_nothing() -> None:
    features = torch.randn(2, 50, 80)
    assert SpecAugment(AugmentConfig()).eval()(features, torch.tensor([50, 20])) is features


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

import math

import numpy as np
import pytest
import torch
from sounds import sweep
from torch import Tensor

from asr.audio import LogMel, Warp
from asr.audio.features import mel_edges
from asr.audio.warp import warped_bins, warped_frames
from asr.config import AugmentConfig, FeatureConfig

FEATURES = FeatureConfig()
EDGES = mel_edges(80, 20.0, 8000.0)
BOTH = AugmentConfig(vocal_tract=0.1, time_warp_frames=40)


def warped_hz(hz: np.ndarray, factor: float, nyquist: float = 8000.0, knee: float = 4800.0) -> np.ndarray:
    """The formula of the paper, as it stands there."""
    border = knee * min(factor, 1) / factor
    slope = (nyquist - knee * min(factor, 1)) / (nyquist - border)
    return np.where(hz <= border, hz * factor, nyquist - slope * (nyquist - hz))


def log_mel(waveform: Tensor) -> Tensor:
    """(frames, bins)."""
    return LogMel(FeatureConfig(normalization="none"))(waveform[None], torch.tensor([len(waveform)]))[0][0]


@pytest.mark.parametrize("factor", [0.8, 0.9, 0.97, 1.0, 1.05, 1.1])
def test_bins_are_read_where_the_paper_says(factor: float) -> None:
    centres = EDGES[1:-1].numpy()
    expected = np.interp(warped_hz(centres, factor), EDGES.numpy(), np.arange(-1, 81)).clip(0, 79)
    found = warped_bins(EDGES, 8000.0, torch.tensor([factor, 1.0], dtype=torch.float64))
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    np.testing.assert_allclose(found[1], np.arange(80), atol=1e-5)


def test_factors_map_the_axis_onto_itself_in_order() -> None:
    positions = warped_bins(EDGES, 8000.0, torch.linspace(0.5, 1.5, 101))
    assert positions.min() >= 0
    assert positions.max() <= 79
    assert (positions.diff(dim=1) >= 0).all()
    assert (positions.diff(dim=0) >= 0).all(), "a larger factor reads higher"


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("hz", [500.0, 1000.0, 3000.0])
def test_a_tone_moves_by_the_factor(factor: float, hz: float) -> None:
    time = torch.arange(16000, dtype=torch.float64) / 16000
    # a filter that now sees the frequency f * factor answers to a tone of hz if it is centred on hz / factor
    tone, moved = (log_mel((0.3 * torch.sin(2 * math.pi * f * time)).float())[50] for f in (hz, hz / factor))
    positions = warped_bins(EDGES, 8000.0, torch.tensor([factor]))[0]
    warped = torch.from_numpy(np.interp(positions, np.arange(80), tone))
    assert abs(int(warped.argmax()) - int(moved.argmax())) <= 1
    assert int(warped.argmax()) != int(tone.argmax())


def test_batch_is_what_numpy_interpolates_one_by_one() -> None:
    lengths = torch.tensor([120, 33, 1])
    features = torch.randn(3, 120, 80) * (torch.arange(120) < lengths[:, None])[..., None]
    torch.manual_seed(3)
    found = Warp(BOTH, FEATURES)(features, lengths)
    torch.manual_seed(3)
    factors, draws = 0.9 + 0.2 * torch.rand(3).double(), torch.rand(2, 3)
    for row, length in enumerate(lengths.tolist()):
        bins = np.interp(warped_hz(EDGES[1:-1].numpy(), float(factors[row])), EDGES.numpy(), np.arange(-1, 81))
        by_bin = [np.interp(bins.clip(0, 79), np.arange(80), frame) for frame in features[row, :length].numpy()]
        reach = min(40, (length - 1) / 8)
        moment = reach + float(draws[0, row]) * (length - 1 - 2 * reach)
        moved = moment + (2 * float(draws[1, row]) - 1) * reach
        frames = np.interp(np.arange(length), [0, moved, length - 1], [0, moment, length - 1])
        expected = np.stack([np.interp(frames, np.arange(length), values) for values in np.array(by_bin).T], axis=1)
        np.testing.assert_allclose(found[row, :length], expected, atol=2e-3)
        assert not found[row, length:].any(), "padding stays 0"


def test_time_warp_by_hand() -> None:
    lengths = torch.tensor([81, 9])
    # W is 10 and 1; the moments are the middles, which move by W to the right and not at all
    positions = warped_frames(lengths, 83, 40, torch.tensor([[0.5, 0.5], [1.0, 0.5]]))
    assert positions[0, [0, 25, 50, 65, 80, 81, 82]].tolist() == pytest.approx([0, 20, 40, 60, 80, 81, 82], abs=1e-4)
    assert positions[1].tolist() == pytest.approx(list(range(83)), abs=1e-4)


def test_moments_move_no_farther_than_asked_and_both_ways() -> None:
    draws = torch.rand(2, 2000, generator=torch.Generator().manual_seed(0))
    positions = warped_frames(torch.full((2000,), 401), 401, 30, draws)
    shifts = (positions - torch.arange(401)).flatten(1)
    assert shifts.abs().max() == pytest.approx(30, rel=0.05)
    assert shifts.abs().max() <= 30
    assert (positions.diff(dim=1) >= 0).all()
    assert float((shifts[:, 200] > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(positions[:, [0, -1]], torch.tensor([0.0, 400.0]).expand(2000, 2))


@pytest.mark.parametrize("config", [AugmentConfig(vocal_tract=0.3), AugmentConfig(time_warp_frames=9), BOTH])
def test_constant_stays_constant_and_warps_differ(config: AugmentConfig) -> None:
    lengths = torch.tensor([90, 60])
    constant = (torch.arange(90) < lengths[:, None]).float()[..., None].repeat(1, 1, 80)
    torch.testing.assert_close(Warp(config, FEATURES)(constant, lengths), constant)
    same = torch.randn(1, 90, 80).expand(4, -1, -1)
    warped = Warp(config, FEATURES)(same, torch.full((4,), 90))
    assert not torch.equal(warped[0], warped[1])
    assert warped.isfinite().all()


def test_an_utterance_does_not_depend_on_its_padding() -> None:
    positions = [warped_frames(torch.tensor([50]), frames, 20, torch.tensor([[0.3], [0.9]])) for frames in (50, 99)]
    assert torch.equal(positions[0], positions[1][:, :50])


def test_off_and_evaluation_leave_everything_as_it_is() -> None:
    features, lengths, state = torch.randn(2, 50, 80), torch.tensor([50, 20]), torch.get_rng_state()
    assert Warp(AugmentConfig(), FEATURES)(features, lengths) is features
    assert Warp(BOTH, FEATURES).eval()(features, lengths) is features
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("bins", [1, 2, 40])
def test_any_number_of_bins_and_any_top(bins: int) -> None:
    features = FeatureConfig(bins=bins, low_hz=0.0, high_hz=3800.0)
    warped = Warp(BOTH, features)(torch.randn(2, 1, bins), torch.tensor([1, 1]))
    assert warped.shape == (2, 1, bins)
    assert warped.isfinite().all()


def test_speech_of_a_warp_resembles_filters_moved_by_it() -> None:
    plain, factor = LogMel(FeatureConfig(normalization="none")), 1.08
    waveform = sweep(1.0, 16000) + 0.05 * torch.randn(16000, generator=torch.Generator().manual_seed(1))
    before = plain(waveform[None], torch.tensor([16000]))[0][0]
    edges = warped_hz(EDGES.numpy(), factor)
    hz = np.linspace(0, 8000, plain.fft_length // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    slopes = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clip(0) * 2 / (high - low)
    plain.filters = torch.from_numpy(slopes).float()
    expected = plain(waveform[None], torch.tensor([16000]))[0][0]
    positions = warped_bins(EDGES, 8000.0, torch.tensor([factor]))[0].numpy()
    found = torch.from_numpy(np.stack([np.interp(positions, np.arange(80), frame) for frame in before.numpy()]))
    unmoved, moved = ((each - expected).square().mean().sqrt() for each in (before, found))
    assert moved < 0.6 * unmoved

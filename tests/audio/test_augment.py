import pytest
import torch
from torch import Tensor

from asr.audio import SpecAugment
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

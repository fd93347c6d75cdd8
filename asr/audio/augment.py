"""Masks on the features of training audio."""

import torch
from torch import Tensor, nn

from asr.config import AugmentConfig


class SpecAugment(nn.Module):
    """Masks of SpecAugment (Park et al. 2019, arXiv 1904.08779, section 2), for all utterances of a batch at once.

    A mask sets some neighbouring bins of all frames, or frames of all bins, to 0, which after normalisation is the
    mean. Widths are uniform from 0 to `frequency_mask_bins`, or to `time_mask_fraction` of the utterance's own frames
    (Park et al. 2020, arXiv 1912.05533: longer utterances, longer masks), and so are the places, within the utterance.
    Draws come from torch's global generator of the CPU, whatever the features' device; in eval mode nothing happens.

    Args:
        config: number and largest width of the masks.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Mask features.

        Args:
            features: normalised, shape (batch, frames, bins).
            lengths: frames of each utterance, shape (batch,).

        Returns:
            Shape of `features`; the same tensor in eval mode.
        """
        if not self.training:
            return features
        config = self.config
        _, frames, bins = features.shape
        all_bins = torch.full_like(lengths, bins)
        widest_bins = all_bins.clamp_max(config.frequency_mask_bins)
        widest_frames = (lengths * config.time_mask_fraction).long()
        in_bins = _masks(config.frequency_masks, widest_bins, all_bins, bins)
        in_frames = _masks(config.time_masks, widest_frames, lengths, frames)
        return features.masked_fill(in_bins[:, None, :] | in_frames[:, :, None], 0.0)


def _masks(count: int, widest: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Union of `count` random intervals in 0..lengths, each at most `widest` wide; bool, shape (batch, size)."""
    draws = torch.rand(2, len(lengths), count).to(lengths.device, non_blocking=True)
    widest, room = widest[:, None], lengths[:, None]
    # minimum, as a draw just below 1, times n + 1, may round up to n + 1
    widths = (draws[0] * (widest + 1)).long().minimum(widest)
    starts = (draws[1] * (room - widths + 1)).long().minimum(room - widths)
    positions = torch.arange(size, device=lengths.device)
    inside = (positions >= starts[..., None]) & (positions < (starts + widths)[..., None])
    return inside.any(dim=1)

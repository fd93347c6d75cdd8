"""Features read between their bins and frames, as if spoken by another vocal tract and in another rhythm."""

import torch
from torch import Tensor, nn

from asr.audio.features import mel_edges
from asr.config import AugmentConfig, FeatureConfig

KNEE = 0.6
"""Share of the highest frequency up to which all is scaled by the factor: 4800 Hz of 8000, as in the paper."""
LARGEST_SHARE = 0.125
"""Of an utterance, that its moment moves by at most: a side of a short one could vanish, words and all."""


class Warp(nn.Module):
    """Vocal-tract-length perturbation and time warping, for all utterances of a batch at once.

    Both move features on their axis, by linear interpolation between neighbours, which are standardised already: what
    moves between bins is how far each is from its own mean. Views of an utterance whose frames are compared must be
    warped alike (CR-CTC, Yao et al. 2025, arXiv 2410.05101), so warps come before the views part, masks after.
    Draws come from torch's global generator of the CPU, whatever the features' device; in eval mode nothing happens,
    and what is off draws nothing.

    Args:
        config: how far both go.
        features: which frequencies the bins lie at.
    """

    def __init__(self, config: AugmentConfig, features: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.top_hz = features.high_hz or features.sample_rate / 2
        self.edges_hz = mel_edges(features.bins, features.low_hz, self.top_hz)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Warp features.

        Args:
            features: (batch, frames, bins), 0 beyond each length.
            lengths: frames of each utterance, shape (batch,).

        Returns:
            Shape of `features`; the same tensor in eval mode, or if both are off.
        """
        if not self.training:
            return features
        if self.config.vocal_tract:
            factors = 1 + self.config.vocal_tract * (2 * torch.rand(len(features)) - 1)
            positions = warped_bins(self.edges_hz, self.top_hz, factors).to(features.device, non_blocking=True)
            features = _between(features, positions, dim=2)
        if self.config.time_warp_frames:
            draws = torch.rand(2, len(features)).to(features.device, non_blocking=True)
            positions = warped_frames(lengths, features.shape[1], self.config.time_warp_frames, draws)
            features = _between(features, positions, dim=1)
        return features


def warped_bins(edges_hz: Tensor, top_hz: float, factors: Tensor) -> Tensor:
    """Where on the axis of bins each warped bin is read (Jaitly & Hinton 2013).

    The filter centred on f is replaced by one centred on f * factor, below a knee; above it by a straight line on to
    `top_hz`, which stays where it is. The knee is at KNEE * top_hz before or after scaling, whichever comes later.

    Args:
        edges_hz: as `mel_edges` gives them, float64, shape (bins + 2,).
        top_hz: the highest frequency.
        factors: of each utterance, shape (batch,).

    Returns:
        Positions within 0..bins - 1, float32, shape (batch, bins).
    """
    factors = factors.double()[:, None]
    centres = edges_hz[1:-1].expand(len(factors), -1)
    reached = KNEE * top_hz * factors.clamp_max(1.0)
    knee = reached / factors
    slope = (top_hz - reached) / (top_hz - knee)
    warped = torch.where(centres <= knee, centres * factors, top_hz - slope * (top_hz - centres))
    # between two centres the position is linear in Hz, as the filters' own slopes are
    below = (torch.searchsorted(edges_hz, warped, right=True) - 1).clamp(0, centres.shape[1])
    positions = below + (warped - edges_hz[below]) / (edges_hz[below + 1] - edges_hz[below])
    return (positions - 1).clamp(0, centres.shape[1] - 1).float()


def warped_frames(lengths: Tensor, frames: int, farthest: int, draws: Tensor) -> Tensor:
    """Where on the axis of frames each warped frame is read (Park et al. 2019, arXiv 1904.08779, section 2).

    With W the least of `farthest` and LARGEST_SHARE of the utterance, a moment drawn from W..length - W moves by a
    distance drawn from -W..W; what lies before and behind it is stretched evenly, and both ends stay where they are.

    Args:
        lengths: frames of each utterance, shape (batch,).
        frames: frames of the batch.
        farthest: the parameter W of the paper.
        draws: uniform in 0..1, for the moments and for the distances, shape (2, batch).

    Returns:
        Positions within 0..length - 1, and beyond the length each frame's own; float32, shape (batch, frames).
    """
    last = (lengths - 1).float()
    reach = (last * LARGEST_SHARE).clamp_max(farthest)
    moment = reach + draws[0] * (last - 2 * reach)
    moved = moment + (2 * draws[1] - 1) * reach
    frame = torch.arange(frames, device=lengths.device).expand(len(lengths), -1).float()
    last, moment, moved = last[:, None], moment[:, None], moved[:, None]
    # a side without any frames is never looked at, but must not divide by zero
    before = frame * (moment / moved.clamp_min(1e-6))
    behind = last - (last - frame) * ((last - moment) / (last - moved).clamp_min(1e-6))
    positions = torch.where(frame < moved, before, behind).minimum(last).clamp_min(0.0)
    return torch.where(frame <= last, positions, frame)


def _between(features: Tensor, positions: Tensor, dim: int) -> Tensor:
    """Features (batch, frames, bins) at positions (batch, size of dim) between frames (1) or bins (2)."""
    below = positions.long().clamp_max(max(features.shape[dim] - 2, 0))
    above = (below + 1).clamp_max(features.shape[dim] - 1)
    other = 3 - dim
    below, above, share = (
        each.unsqueeze(other).expand_as(features) for each in (below, above, positions - below.float())
    )
    return torch.lerp(features.gather(dim, below), features.gather(dim, above), share)

"""The stack of recurrent layers between subsampling and the CTC head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asr.config import ModelConfig
from asr.model.recurrence import Recurrence
from asr.model.subsampling import valid_frames

Tap = Callable[[Tensor], Tensor | None]
"""Reads the encoding after an intermediate layer, (batch, frames, outputs), and may return as much to be added to what
the next layer reads."""


class Encoder(nn.Module):
    """Recurrent layers, pre-norm with residual: `x + dropout(recurrence(norm(x)))`.

    The normalisation before each layer keeps deep stacks trainable, the residual keeps the gradient's short way down.
    Frames keep their size throughout, which is what one layer puts out: `units` per direction.

    In training a batch may skip layers (stochastic depth, Huang et al. 2016, arXiv 1603.09382): layer l of L survives
    with probability p = 1 - layer_drop l / L, for the first layers hear what all later ones build on. A survivor's
    recurrence is divided by p, where the paper multiplies by p at inference: the same up to the scale of the weights,
    and a trained model needs to know nothing of it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.outputs = config.units * (2 if config.bidirectional else 1)
        self.intermediate_layers = config.intermediate_layers
        self.layer_drop = config.layer_drop
        self.norms = nn.ModuleList(nn.LayerNorm(self.outputs) for _ in range(config.layers))
        self.layers = nn.ModuleList(
            Recurrence(self.outputs, config.units, config.cell, config.bidirectional, config.weight_dropout)
            for _ in range(config.layers)
        )
        self.dropout = LockedDropout(config.dropout)
        self.lookahead = Lookahead(self.outputs, config.lookahead_frames) if config.lookahead_frames else None
        self.norm = nn.LayerNorm(self.outputs)

    def forward(self, frames: Tensor, lengths: Tensor, tap: Tap | None = None) -> Tensor:
        """Encode a padded batch; (batch, frames, outputs) in and out, lengths (batch,).

        `tap` is given what would be the encoding if the network ended after each of `intermediate_layers`, last
        normalisation and dropout included, lookahead not.
        """
        scales = self._scales()
        for number, (norm, layer, scale) in enumerate(zip(self.norms, self.layers, scales, strict=True), start=1):
            if scale:
                change = self.dropout(layer(norm(frames), lengths))
                frames = frames + (change if scale == 1.0 else change * scale)
            if tap is not None and number in self.intermediate_layers:
                feedback = tap(self.dropout(self.norm(frames)))
                frames = frames if feedback is None else frames + feedback
        if self.lookahead is not None:
            frames = frames + self.lookahead(frames, lengths)
        encoded: Tensor = self.dropout(self.norm(frames))
        return encoded

    def _scales(self) -> list[float]:
        """What each recurrence is multiplied by: 1, or in training 0, which skips it, or 1 / p."""
        depth = len(self.layers)
        if not self.training or self.layer_drop == 0.0:
            return [1.0] * depth
        survival = 1.0 - self.layer_drop * torch.arange(1, depth + 1) / depth
        # from the generator on the CPU, whatever the device: what is skipped is decided here
        return torch.where(torch.rand(depth) < survival, 1.0 / survival, 0.0).tolist()


class Lookahead(nn.Module):
    """Each unit's weighted sum over this frame and the next ones (Wang et al. 2016): a little future at a fixed delay.

    Args:
        units: size of the frames.
        context: frames of future seen.
    """

    def __init__(self, units: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.convolution = nn.Conv1d(units, units, kernel_size=context + 1, groups=units, bias=False)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Look ahead within each sequence; (batch, frames, units) in and out, lengths (batch,)."""
        frames = frames * valid_frames(lengths, frames.shape[1])[:, :, None]
        padded = nn.functional.pad(frames.transpose(1, 2), (0, self.context))
        ahead: Tensor = self.convolution(padded).transpose(1, 2)
        return ahead


class LockedDropout(nn.Module):
    """Dropout whose mask is drawn once an utterance and holds for all its frames (Gal & Ghahramani 2016).

    A unit is absent from a whole sequence rather than flickering, and the mask costs next to nothing to draw.

    Args:
        share: probability that a unit is dropped.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, frames: Tensor) -> Tensor:
        """Drop units in training mode; (batch, frames, units) in and out."""
        if not self.training or self.share == 0.0:
            return frames
        kept = 1.0 - self.share
        mask = torch.empty(len(frames), 1, frames.shape[2], device=frames.device).bernoulli_(kept).div_(kept)
        return frames * mask.to(frames.dtype)

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
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.outputs = config.units * (2 if config.bidirectional else 1)
        self.intermediate_layers = config.intermediate_layers
        self.norms = nn.ModuleList(nn.LayerNorm(self.outputs) for _ in range(config.layers))
        self.layers = nn.ModuleList(
            Recurrence(self.outputs, config.units, config.cell, config.bidirectional) for _ in range(config.layers)
        )
        self.dropout = LockedDropout(config.dropout)
        self.lookahead = Lookahead(self.outputs, config.lookahead_frames) if config.lookahead_frames else None
        self.norm = nn.LayerNorm(self.outputs)

    def forward(self, frames: Tensor, lengths: Tensor, tap: Tap | None = None) -> Tensor:
        """Encode a padded batch; (batch, frames, outputs) in and out, lengths (batch,).

        `tap` is given what would be the encoding if the network ended after each of `intermediate_layers`, last
        normalisation and dropout included, lookahead not.
        """
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True), start=1):
            frames = frames + self.dropout(layer(norm(frames), lengths))
            if tap is not None and number in self.intermediate_layers:
                feedback = tap(self.dropout(self.norm(frames)))
                frames = frames if feedback is None else frames + feedback
        if self.lookahead is not None:
            frames = frames + self.lookahead(frames, lengths)
        encoded: Tensor = self.dropout(self.norm(frames))
        return encoded


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

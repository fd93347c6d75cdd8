"""Strided convolutions that shorten the spectrogram before the recurrence, which costs time per frame."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Size = TypeVar("Size", int, Tensor)


class Subsampling(nn.Module):
    """Two 3x3 convolutions over time and frequency, then a projection; as in Deep Speech 2 (Amodei et al. 2016).

    Both halve the frequency axis. The first takes every second frame, or third when `factor` is 3; the second takes
    every second of those when `factor` is 4. Output frame t is centred on input frame t * factor. Frames past a
    sequence's length are zero before each convolution, as if the sequence stood alone.

    Args:
        bins: mel bins of the features.
        channels: channels of the convolutions.
        factor: frames in for one frame out: 2, 3 or 4.
        outputs: size of the projected frames.
    """

    def __init__(self, bins: int, channels: int, factor: int, outputs: int) -> None:
        super().__init__()
        strides = {2: (2, 1), 3: (3, 1), 4: (2, 2)}[factor]
        self.factor = factor
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel_size=3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, channels), strides, strict=True)
        )
        # In bf16, forward and backward, more than twice as fast on CPUs.
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _ in strides:
            bins = _strided(bins, 2)
        self.projection = nn.Linear(channels * bins, outputs)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shorten a batch.

        Args:
            features: (batch, frames, bins).
            lengths: (batch,) valid frames.

        Returns:
            frames (batch, ceil(frames / factor), outputs), and their lengths (batch,).
        """
        image = features[:, None]
        for convolution in self.convolutions:
            image = image * valid_frames(lengths, image.shape[2])[:, None, :, None]
            image = nn.functional.relu(convolution(image))
            lengths = _strided(lengths, convolution.stride[0])  # type: ignore[arg-type, index]
        # Frames are flattened as they lie in memory, bins before channels; the projection's inputs are the other way.
        _, channels, _, bins = image.shape
        weight = self.projection.weight.view(-1, channels, bins).transpose(1, 2).flatten(1)
        frames = nn.functional.linear(image.permute(0, 2, 3, 1).flatten(2), weight, self.projection.bias)
        return frames, lengths

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths of features to lengths of output frames, any shape."""
        return _strided(lengths, self.factor)


def valid_frames(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame lies within its sequence; (batch,) lengths give (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def _strided(size: Size, stride: int) -> Size:
    return (size + stride - 1) // stride

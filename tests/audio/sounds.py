"""Sounds and files that the tests of audio make themselves."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor


def sweep(seconds: float, rate: int, seed: int = 0) -> Tensor:
    """A rising tone with a little noise: no two stretches alike; shape (samples,)."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    noise = torch.randn(time.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.3 * torch.sin(2 * math.pi * (200 + 150 * time) * time) + 0.01 * noise).float()


def encode(
    path: Path,
    waveform: Tensor,
    rate: int,
    codec: str,
    options: dict[str, str] | None = None,
    late: float = 0.0,
    video: float = 0.0,
) -> Path:
    """Write with FFmpeg, one second at a time.

    Args:
        waveform: shape (samples,) or (2, samples).
        late: seconds at which the sound starts.
        video: seconds of a black picture beside it, which starts at 0.
    """
    samples = np.atleast_2d(waveform.numpy())
    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 192_000
        picture = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=25) if video else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        for index in range(round(video * 25)):
            image = av.VideoFrame(32, 32, "yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(image))
        if picture is not None:
            container.mux(picture.encode(None))
        for start in range(0, samples.shape[1], rate):
            block = np.ascontiguousarray(samples[:, start : start + rate])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start + round(late * rate), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

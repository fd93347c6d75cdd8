"""Sounds and files that the tests of audio make themselves."""

import math
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


def encode(path: Path, waveform: Tensor, rate: int, codec: str, options: dict[str, str] | None = None) -> Path:
    """Write with FFmpeg, one second at a time; waveform (samples,) or (2, samples)."""
    samples = np.atleast_2d(waveform.numpy())
    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 192_000
        for start in range(0, samples.shape[1], rate):
            block = np.ascontiguousarray(samples[:, start : start + rate])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

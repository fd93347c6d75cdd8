"""Decoded audio kept in memory, so that a small corpus is read from disk once."""

import threading
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

FULL_SCALE = 32768
"""A 16-bit sample of this value would be 1.0."""


class WaveformCache:
    """Waveforms as 16-bit samples, until a limit is reached; the rest is read anew each time.

    All waveforms are rounded to 16 bits, kept or not, so nothing depends on what happens to be in memory. Recordings of
    16 bits that are not resampled are not changed by it; others by noise 98 dB below full scale.

    Several threads may use it. A pickled copy, for another process, is empty.

    Args:
        limit_bytes: most memory for samples; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._kept: dict[Hashable, Tensor] = {}
        self._keeping = threading.Lock()

    def __reduce__(self) -> tuple[type["WaveformCache"], tuple[int]]:
        return WaveformCache, (self.limit_bytes,)

    def get(self, key: Hashable, read: Callable[[], Tensor]) -> Tensor:
        """The waveform called `key`, float32, shape (samples,); `read` reads it where it is not kept."""
        samples = self._kept.get(key)
        if samples is None:
            scaled = read().mul(FULL_SCALE).round_().clamp_(-FULL_SCALE, FULL_SCALE - 1)
            samples = scaled.to(torch.int16)
            with self._keeping:
                if key not in self._kept and self.bytes + samples.nbytes <= self.limit_bytes:
                    self.bytes += samples.nbytes
                    self._kept[key] = samples
        return samples.float().div_(FULL_SCALE)

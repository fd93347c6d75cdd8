"""Rooms that are simulated: speech as a microphone hears it from across the room."""

import torch
from torch import Tensor

DIRECT_TO_REVERBERANT_DB = (0.0, 15.0)
"""Range of the ratio of direct to reverberant energy. At 0 dB the speaker stands at the critical distance, which is
where both are equal by definition: about a metre in a furnished room. Phones and laptops are nearer."""
GRID_SAMPLES = 4096
"""Convolutions are padded to a multiple of this: 2 ms for 4 s of speech in half a second of reverberation. Padded to a
power of two they take 6 ms, not padded 10 ms, as lengths with large prime factors are slow to transform."""
DECAY_DB = 60.0
"""The fall of level that defines the reverberation time."""


def room_response(sample_rate: int, seconds: float, direct_db: float, generator: torch.Generator) -> Tensor:
    """The impulse response of a room, as Polack (1988) models it: white noise that dies away exponentially.

    The direct sound is its first sample, of height 1; the noise follows at once.

    Args:
        sample_rate: samples per second.
        seconds: reverberation time, in which the noise falls by 60 dB, and with it ends.
        direct_db: energy of the direct sound relative to that of the noise, in decibels.
        generator: where the noise comes from.

    Returns:
        float32, shape (samples,), at least one.
    """
    samples = max(round(seconds * sample_rate), 1)
    decay = 10 ** (-DECAY_DB / 20 * torch.arange(1, samples) / (seconds * sample_rate))
    noise = torch.randn(samples - 1, generator=generator) * decay
    energy = noise.square().sum().clamp_min(1e-30)
    return torch.cat((torch.ones(1), noise * (10 ** (-direct_db / 10) / energy).sqrt()))


def reverberate(waveform: Tensor, response: Tensor) -> Tensor:
    """What a room makes of a waveform: as long, as loud, and no later.

    Args:
        waveform: float32, shape (samples,).
        response: impulse response whose first sample is the direct sound, shape (any,).

    Returns:
        float32, shape (samples,), of the same mean power; it may go beyond [-1, 1]. What still sounds at the end is
        cut off.
    """
    response = response[: len(waveform)]
    length = -(-(len(waveform) + len(response) - 1) // GRID_SAMPLES) * GRID_SAMPLES
    spectrum = torch.fft.rfft(waveform, length) * torch.fft.rfft(response, length)
    heard: Tensor = torch.fft.irfft(spectrum, length)[: len(waveform)]
    return heard * (waveform.square().sum() / heard.square().sum().clamp_min(1e-30)).sqrt()

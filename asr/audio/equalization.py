"""Equalisation: any voice, through any microphone, as if its long-term spectrum were flat.

What a microphone, a room and a throat do to everything that is said through them is a factor at each frequency, and a
constant in the logarithm of the spectrum; dividing by the mean takes it away. That is cepstral mean normalisation (Atal
1974; Furui 1981) over a speaker instead of an utterance, for a single word would lose with its mean much of what was
said. It is done to waveforms, before features, so that whatever training does to waveforms comes after.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

WINDOW_SECONDS = 0.032
HOP_SECONDS = 0.010
LOUD_DB = 30.0
"""Frames as loud as an utterance's loudest but for so much are speech; pauses, however long, do not count."""
SMOOTH_HZ = 280.0
"""A long-term spectrum is smoothed over so much: no harmonics of the pitch, but the slopes of microphones."""
RANGE_DB = 35.0
"""Frequencies that are softer than the loudest by more are raised by this only: they may hold nothing but noise."""
LEVEL_DB = -56.0
"""White noise of this level, relative to full scale, has the spectrum to which all are made equal. Speech is then 10 to
20 dB louder, and its peaks stay within full scale."""
GRID_SAMPLES = 4096
"""Transforms are a multiple of this long: lengths with large prime factors take longer."""
MOST_FRAMES = 60_000
"""Of a longer recording, frames that are further apart stand for all: ten minutes of them."""


def long_term_spectrum(waveforms: Iterable[Tensor], sample_rate: int) -> Tensor:
    """The mean logarithm of the power at each frequency over the frames of speech of some waveforms.

    Args:
        waveforms: of one voice, each float32, shape (samples,).
        sample_rate: samples per second.

    Returns:
        Natural logarithms, float32, shape (frequencies,), evenly spaced from 0 to half the sample rate; all 0, which
        `equalize` takes for nothing known, if there are no samples.
    """
    size = 2 * round(WINDOW_SECONDS * sample_rate / 2)  # even, so that the last frequency is half the sample rate
    window = torch.hann_window(size)
    total, frames = torch.zeros(size // 2 + 1, dtype=torch.float64), 0
    for waveform in waveforms:
        if not len(waveform):
            continue
        hop = max(round(HOP_SECONDS * sample_rate), len(waveform) // MOST_FRAMES)
        pieces = functional.pad(waveform, (0, size)).unfold(0, size, hop)
        power = torch.fft.rfft(pieces * window).abs().square()
        loudness = power.sum(dim=1)
        loud = power[loudness >= loudness.max() * 10 ** (-LOUD_DB / 10)]
        total += loud.clamp_min(1e-12).log().sum(dim=0)
        frames += len(loud)
    return (total / max(frames, 1)).float()


def equalize(waveform: Tensor, spectrum: Tensor) -> Tensor:
    """A waveform through the filter that makes a voice's long-term spectrum flat, and as loud as every other.

    The filter does not delay, whatever the frequency (its phase is zero).

    Args:
        waveform: float32, shape (samples,).
        spectrum: of its voice, at its sample rate, as `long_term_spectrum` gives it.

    Returns:
        float32 in [-1, 1], shape (samples,).
    """
    if not spectrum.any():
        return waveform
    size = 2 * (len(spectrum) - 1)
    width = 2 * round(SMOOTH_HZ * WINDOW_SECONDS / 2) + 1
    around = functional.pad(spectrum[None, None], (width // 2, width // 2), mode="replicate")
    smooth = functional.avg_pool1d(around, width, stride=1)
    smooth = smooth.clamp_min(float(smooth.max()) - RANGE_DB * math.log(10) / 10)
    # the power that noise of one would have in a frame
    level = 10 ** (LEVEL_DB / 20) * math.sqrt(float(torch.hann_window(size).square().sum()))
    samples = -(-(len(waveform) + size) // GRID_SAMPLES) * GRID_SAMPLES
    gains = functional.interpolate((-smooth / 2).exp(), samples // 2 + 1, mode="linear", align_corners=True)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, samples) * gains[0, 0] * level, samples)
    return filtered[: len(waveform)].clamp(-1.0, 1.0)


def equalize_by(voice: Tensor | None, waveform: Tensor, sample_rate: int) -> Tensor:
    """As `equalize`, by the long-term spectrum of a voice; if that is None, by what is heard in the waveform itself."""
    return equalize(waveform, long_term_spectrum([waveform], sample_rate) if voice is None else voice)

"""Equalisation: any voice, through any microphone, as if its long-term spectrum were flat.

What a microphone, a room and a throat do to everything that is said through them is a factor at each frequency, and a
constant in the logarithm of the spectrum; dividing by the mean takes it away. That is cepstral mean normalisation (Atal
1974; Furui 1981) over a speaker instead of an utterance, for a single word would lose with its mean much of what was
said. It is done to waveforms, before features, so that whatever training does to waveforms comes after.

Who is heard for a second or two is known by that and by what voices are like: the expectation of the mean, given the
frames heard and a prior worth so many frames more (MAP estimation: Gauvain & Lee 1994). So a single short utterance by
somebody unknown does not lose what was said with what it sounds like.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

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
PRIOR_FRAMES = 100
"""What is known of voices beforehand counts as so many frames, a second. With every utterance of AN4's dev speakers by
itself 6.2 % of the words are wrong without, 5.1, 4.6, 4.5 and 4.7 % with half a second, one, two and four; through a
microphone that is brighter or duller by 12 dB, 7.4 and 6.3 % without, 5.3 and 5.3 with one second, 5.2 and 5.6 with
two (`recipes/an4`, mean of three seeds)."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What has been heard of a voice.

    Args:
        spectrum: mean natural logarithm of the power at frequencies evenly spaced from 0 to half the sample rate,
            float32, shape (frequencies,).
        frames: how many frames of speech it is the mean of.
    """

    spectrum: Tensor
    frames: int


def window_samples(sample_rate: int) -> int:
    """The samples of a frame; even, so that the last of samples / 2 + 1 frequencies is half the sample rate."""
    return 2 * round(WINDOW_SECONDS * sample_rate / 2)


def hear(waveforms: Iterable[Tensor], sample_rate: int) -> Voice:
    """The voice in some waveforms, each float32, shape (samples,); pauses do not count."""
    size = window_samples(sample_rate)
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
    return Voice((total / max(frames, 1)).float(), frames)


def typical_spectrum(voices: Iterable[Voice]) -> Tensor:
    """What voices are like: the mean spectrum of at least one, apart from their loudness; shape (frequencies,)."""
    voices = list(voices)
    spectra = torch.stack([voice.spectrum for voice in voices if voice.frames] or [voices[0].spectrum])
    return (spectra - spectra.mean(dim=1, keepdim=True)).mean(dim=0)


def long_term_spectrum(voice: Voice, typical: Tensor) -> Tensor:
    """The spectrum of a voice to be expected after what has been heard of it, if voices are like `typical`.

    Args:
        voice: what has been heard.
        typical: the spectrum that voices have but for their loudness, shape (frequencies,).

    Returns:
        Shape (frequencies,); all 0, which `equalize` takes for nothing known, if nothing was heard.
    """
    if not voice.frames:
        return voice.spectrum
    prior = typical + voice.spectrum.mean()
    return (voice.frames * voice.spectrum + PRIOR_FRAMES * prior) / (voice.frames + PRIOR_FRAMES)


def equalize(waveform: Tensor, spectrum: Tensor) -> Tensor:
    """A waveform through the filter that makes a voice's long-term spectrum flat, and as loud as every other.

    The filter does not delay, whatever the frequency (its phase is zero).

    Args:
        waveform: float32, shape (samples,).
        spectrum: of its voice, at its sample rate.

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


def equalize_by(spectrum: Tensor | None, waveform: Tensor, sample_rate: int, typical: Tensor) -> Tensor:
    """As `equalize`; where the spectrum is not known, by what is heard in the waveform itself."""
    if spectrum is None:
        spectrum = long_term_spectrum(hear([waveform], sample_rate), typical)
    return equalize(waveform, spectrum)

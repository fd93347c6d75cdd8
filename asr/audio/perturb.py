"""Changes made to the waveforms of training: how fast, where, over what noise and how loudly something is said."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from asr.audio.resample import resample
from asr.audio.reverberation import DIRECT_TO_REVERBERANT_DB, reverberate, room_response
from asr.config import AugmentConfig

Noise = Callable[[int, torch.Generator], Tensor]
"""(samples, where its draws come from) -> a stretch of noise, float32, shape (samples,)."""
QUIET_SECONDS = 0.02
"""An utterance's quietest moment is the quietest of its stretches of this length: shorter than the pause of a stop."""


def perturb(
    waveform: Tensor, sample_rate: int, config: AugmentConfig, generator: torch.Generator, noise: Noise | None = None
) -> Tensor:
    """One utterance as it might have been recorded otherwise, the changes in the order in which sound meets them.

    It is played at a random speed of `config.speeds`, pitch included (Ko et al. 2015); silence is put around it; a room
    answers; noise is added; and the level changes.

    Args:
        waveform: float32 in [-1, 1], shape (samples,).
        sample_rate: samples per second.
        config: which changes, how often and how far; a raise of level stops where the peak reaches 1.
        generator: where all draws come from; nothing else is random.
        noise: where noise comes from; None adds none.

    Returns:
        Shape (ceil(samples / speed) + silence,), float32 in [-1, 1]; `waveform` itself when nothing is to be changed.
    """
    speeds = config.speeds or (1.0,)
    speed = speeds[int(torch.randint(len(speeds), (), generator=generator))]
    gain_db = config.gain_db * (2 * _draw(generator) - 1)
    if not waveform.numel():
        return waveform
    if speed != 1.0:
        waveform = resample(waveform, round(sample_rate * speed), sample_rate).clamp(-1.0, 1.0)
    spoken = waveform
    if config.silence_seconds:
        before, behind = (round(_draw(generator) * config.silence_seconds * sample_rate) for _ in range(2))
        silence = quiet_noise(spoken, before + behind, sample_rate, generator)
        waveform = torch.cat((silence[:before], spoken, silence[before:]))
    if config.reverberation_share and _draw(generator) < config.reverberation_share:
        seconds = _draw_between(config.reverberation_seconds, generator)
        direct_db = _draw_between(DIRECT_TO_REVERBERANT_DB, generator)
        waveform = reverberate(waveform, room_response(sample_rate, seconds, direct_db, generator))
    if noise is not None and config.noise_share and _draw(generator) < config.noise_share:
        snr_db = _draw_between(config.noise_snr_db, generator)
        waveform = waveform + noise_at(snr_db, noise(len(waveform), generator), spoken)
    return change_level(waveform, gain_db)


def quiet_noise(waveform: Tensor, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Noise with the level and the spectrum of a recording's quietest moment.

    Digital silence will not do: no microphone delivers it, it is easily told from speech, and standardising features
    over the utterance would take its -100 dB for a part of speech.

    Args:
        waveform: the recording, at least one sample.
        samples: how much noise.
        sample_rate: samples per second.
        generator: where it comes from.

    Returns:
        float32, shape (samples,).
    """
    size = min(max(round(QUIET_SECONDS * sample_rate), 1), len(waveform))
    moments = waveform[: len(waveform) // size * size].view(-1, size)
    quietest = moments[moments.square().sum(dim=1).argmin()]
    # White noise through a filter that is the moment itself has its spectrum. A circular filter does, as noise has
    # neither beginning nor end.
    length = max(samples, size)
    white = torch.randn(length, generator=generator)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(white) * torch.fft.rfft(quietest, length), length)
    return filtered[:samples] / math.sqrt(size)


def noise_at(snr_db: float, noise: Tensor, speech: Tensor) -> Tensor:
    """Noise so loud that the mean power of `speech` is `snr_db` decibels above its own; noise that is silent stays so.

    Args:
        snr_db: signal-to-noise ratio in decibels.
        noise: shape (samples,).
        speech: shape (any,), at least one.
    """
    power = noise.square().mean().clamp_min(1e-30)
    return noise * (speech.square().mean() / power * 10 ** (-snr_db / 10)).sqrt()


def change_level(waveform: Tensor, gain_db: float) -> Tensor:
    """A waveform so many decibels louder or softer, but never beyond [-1, 1]; itself if there is nothing to change."""
    gain = min(10 ** (gain_db / 20), 1 / max(float(waveform.abs().max()), 1e-9))
    return waveform if gain == 1.0 else waveform * gain


def _draw(generator: torch.Generator) -> float:
    """Uniform in 0..1."""
    return float(torch.rand((), generator=generator))


def _draw_between(limits: tuple[float, float], generator: torch.Generator) -> float:
    return limits[0] + (limits[1] - limits[0]) * _draw(generator)

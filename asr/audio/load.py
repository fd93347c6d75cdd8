"""Audio files in, waveforms out: mono, float32, at the rate that was asked for."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asr.audio.files import SLACK_SECONDS, Samples, open_audio
from asr.audio.resample import ratio, reach, resample
from asr.errors import AudioError

LOUDEST = 10.0
"""Full scale is 1. Codecs and mixers overshoot it a little, and that is clipped; 20 dB above it is another unit."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file holds: seconds, samples per second and channel, channels."""

    duration: float
    sample_rate: int
    channels: int


def info(path: Path | str) -> AudioInfo:
    """Duration, rate and channels, from the headers; a file whose headers do not tell its length is decoded.

    Raises:
        AudioError: the file is missing, empty, damaged, truncated (as far as headers show) or not audio.
    """
    with open_audio(Path(path)) as file:
        frames = file.read(0, None).size if file.frames is None else file.frames
        return AudioInfo(frames / file.sample_rate, file.sample_rate, file.channels)


def load(path: Path | str, sample_rate: int, offset: float = 0.0, duration: float | None = None) -> Tensor:
    """Read a recording, or a stretch of it, as the mean of its channels; nothing else of the file is kept or decoded.

    A stretch equals the same stretch of the whole recording: the resampler is given the samples around it too.
    Values beyond full scale are clipped to [-1, 1], as a player would.

    Args:
        path: any file that libsndfile or FFmpeg reads, whatever its name.
        sample_rate: samples per second of the result; the file's own rate is read from the file.
        offset: seconds from the start of the recording.
        duration: seconds; None is to the end.

    Returns:
        float32 in [-1, 1], shape (samples,); with a duration, samples = round(duration * sample_rate), or up to 0.05 s
        fewer where the file ends (manifests round their durations).

    Raises:
        AudioError: the file is missing, empty, damaged, truncated, not audio, or has NaN or infinite samples, or
            `offset` and `duration` are impossible or past its end.
    """
    path = Path(path)
    if not 0 <= offset < math.inf:
        raise AudioError(f"{path}: offset {offset:g} s is impossible; give seconds from the start, 0 or more")
    if duration is not None and not 0 < duration < math.inf:
        raise AudioError(f"{path}: duration {duration:g} s is impossible; give more than 0 seconds, or none for all")
    first = round(offset * sample_rate)
    count = None if duration is None else round(duration * sample_rate)
    if count == 0:
        raise AudioError(f"{path}: duration {duration:g} s is less than a sample at {sample_rate} Hz; give more")
    with open_audio(path) as file:
        up, down = ratio(file.sample_rate, sample_rate)
        around = reach(file.sample_rate, sample_rate)
        # Read whole periods of the ratio, so that the resampler's phase is that of the whole recording.
        begin = max(first // up - around, 0)
        end = None if count is None else -(-(first + count) // up) + around
        samples = file.read(begin * down, None if end is None else end * down)
        _check(path, samples)
        waveform = resample(torch.from_numpy(samples), file.sample_rate, sample_rate)[first - begin * up :]
        waveform = waveform[:count].clamp_(-1.0, 1.0)
        if not len(waveform) or (count is not None and len(waveform) < count - SLACK_SECONDS * sample_rate):
            raise _past_the_end(path, offset, duration, (file.frames or 0) / file.sample_rate)
    return waveform


def _check(path: Path, samples: Samples) -> None:
    peak = float(abs(samples).max(initial=0.0))
    if not math.isfinite(peak):
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again, as 16-bit wav or flac")
    if peak > LOUDEST:
        raise AudioError(f"{path}: samples reach {peak:g} where full scale is 1; divide them by their full scale")


def _past_the_end(path: Path, offset: float, duration: float | None, seconds: float) -> AudioError:
    if not seconds:
        return AudioError(f"{path}: a header without samples; record it again, or leave it out")
    wanted = f"offset {offset:g} s" if duration is None else f"offset {offset:g} s + duration {duration:g} s"
    return AudioError(f"{path}: {wanted} is past the end, it lasts {seconds:.3f} s; correct the offset or duration")

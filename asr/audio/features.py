"""Log-mel spectrograms: what the model sees of a waveform."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from asr.audio.equalization import window_samples
from asr.config import FeatureConfig
from asr.errors import ConfigError

# Rounding to 16 bits leaves about 4e-10 in a mel bin: a sample's rounding error has variance 2**-30 / 12, a 25 ms
# Hann window at 16 kHz gathers 150 of them, and a mel filter weighs its bins to a sum of 1 / 31.25 Hz. The floor lies
# just below, so it hides digital silence and nothing else.
MIN_POWER = 1e-10
MIN_DEVIATION = 0.1
"""Bins that vary less than this (0.4 dB) hold no speech, e.g. silence; they are not blown up to unit variance."""


class LogMel(nn.Module):
    """Waveforms to normalised log-mel spectrograms, on the waveforms' device, in float32 even under autocast.

    Frame t is the Hann-windowed power spectrum around sample t * hop_samples (zeros beyond both ends), weighted by
    Slaney's mel filters, as a natural logarithm. An utterance's features depend on its own samples only, never on the
    batch it is in.

    `torch.stft` takes 15 ms for 16 x 5 s on one core; framing and `torch.fft.rfft` takes 1.3 times that, a product
    with a matrix of sines and cosines 1.8 times (the three are equally accurate).

    Args:
        config: sample rate, bins, window, hop, frequency range, normalisation.

    Raises:
        ConfigError: window or hop is no whole number of samples, or a mel filter falls between two FFT frequencies.
    """

    window: Tensor
    filters: Tensor
    mean: Tensor
    std: Tensor
    typical_voice: Tensor
    """With equalisation, what voices are like: `asr.audio.equalization.typical_spectrum`. Equalisation comes before."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.normalization = config.normalization
        self.hop_samples = _whole_samples(config, "hop_seconds")
        self.window_samples = _whole_samples(config, "window_seconds")
        self.fft_length = 2 ** math.ceil(math.log2(self.window_samples))
        self.register_buffer("window", torch.hann_window(self.window_samples), persistent=False)
        high_hz = config.high_hz or config.sample_rate / 2
        filters = mel_filters(config.sample_rate, self.fft_length, config.bins, config.low_hz, high_hz)
        if not bool(filters.any(dim=0).all()):
            raise ConfigError(
                f"features: bins = {config.bins} is too many for window_seconds = {config.window_seconds:g}: a mel "
                "filter lies between two frequencies; use fewer bins or a longer window"
            )
        self.register_buffer("filters", filters.float(), persistent=False)
        if config.normalization == "global":
            self.register_buffer("mean", torch.zeros(config.bins))
            self.register_buffer("std", torch.ones(config.bins))
        if config.equalization == "speaker":
            self.register_buffer("typical_voice", torch.zeros(window_samples(config.sample_rate) // 2 + 1))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a batch.

        Args:
            waveforms: in [-1, 1], shape (batch, samples); what lies beyond a length is ignored.
            lengths: samples of each waveform, shape (batch,).

        Returns:
            Features, float32, shape (batch, 1 + samples // hop_samples, bins), exactly 0 beyond each length; and their
            lengths in frames, shape (batch,).
        """
        frame_lengths = self.frame_lengths(lengths)
        with torch.autocast(waveforms.device.type, enabled=False):
            features = self._log_mel(waveforms, lengths)
            beyond = _beyond(frame_lengths, features.shape[1]).unsqueeze(2)
            if self.normalization == "utterance":
                features = _standardise(features, beyond, frame_lengths)
            elif self.normalization == "global":
                features = (features - self.mean) / self.std
            return features.masked_fill(beyond, 0.0), frame_lengths

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in samples to lengths in frames, any shape."""
        return 1 + lengths // self.hop_samples

    @torch.no_grad()
    def fit_normalization(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set mean and standard deviation of every bin to those of all frames of `batches`, for "global" only.

        Args:
            batches: (waveforms, lengths) as for `forward`; summed in float64.

        Raises:
            ConfigError: the normalisation is not "global", or there is no batch.
        """
        if self.normalization != "global":
            raise ConfigError(f'features: normalization is "{self.normalization}"; only "global" is fitted')
        frames = 0
        total, squares = torch.zeros(2, len(self.mean), dtype=torch.float64)
        for waveforms, lengths in batches:
            features = self._log_mel(waveforms, lengths)
            beyond = _beyond(self.frame_lengths(lengths), features.shape[1])
            valid = features[~beyond].cpu().double()
            frames += len(valid)
            total += valid.sum(dim=0)
            squares += valid.square().sum(dim=0)
        if not frames:
            raise ConfigError('features: no audio to fit normalization = "global" on; check data.train')
        mean = total / frames
        self.mean.copy_(mean)
        self.std.copy_((squares / frames - mean.square()).clamp_min(MIN_DEVIATION**2).sqrt())

    def _log_mel(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Natural log of mel power, shape (batch, frames, bins)."""
        waveforms = waveforms.float().masked_fill(_beyond(lengths, waveforms.shape[1]), 0.0)
        spectrum = torch.stft(
            waveforms,
            self.fft_length,
            self.hop_samples,
            self.window_samples,
            self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return (power.transpose(1, 2) @ self.filters).clamp_min(MIN_POWER).log()


def mel_filters(sample_rate: int, fft_length: int, bins: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangular filters, evenly spaced on Slaney's mel scale and of equal area (Slaney 1998, Auditory Toolbox).

    The scale is linear below 1 kHz, where a mel is 200/3 Hz, and logarithmic above, where 27 mels make a factor of 6.4.
    In float64, because in float32 (torchaudio's melscale_fbanks) the features are off by up to 1.3e-4; so by 6e-6.

    Returns:
        float64, shape (fft_length // 2 + 1, bins); the power at a frequency times its row goes to the bins.
    """
    frequencies = torch.linspace(0, sample_rate / 2, fft_length // 2 + 1, dtype=torch.float64)
    edges = mel_edges(bins, low_hz, high_hz)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    return torch.minimum(rising, falling).clamp_min(0) * 2 / (high - low)


def mel_edges(bins: int, low_hz: float, high_hz: float) -> Tensor:
    """Where the filters begin, culminate and end: edge k + 1 is the centre of bin k.

    Returns:
        float64, in Hz, shape (bins + 2,).
    """
    mels = torch.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), bins + 2, dtype=torch.float64)
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * math.log(6.4) / 27))


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def _standardise(features: Tensor, beyond: Tensor, frame_lengths: Tensor) -> Tensor:
    """Zero mean and unit variance for each bin over the frames that are not `beyond`; shape of `features`."""
    frames = frame_lengths[:, None, None]
    features = features - features.masked_fill(beyond, 0.0).sum(dim=1, keepdim=True) / frames
    variance = features.masked_fill(beyond, 0.0).square().sum(dim=1, keepdim=True) / frames
    return features / variance.clamp_min(MIN_DEVIATION**2).sqrt()


def _beyond(lengths: Tensor, size: int) -> Tensor:
    """True where a position is at or beyond its row's length; shape (batch, size)."""
    return torch.arange(size, device=lengths.device) >= lengths[:, None]


def _whole_samples(config: FeatureConfig, name: str) -> int:
    seconds = float(getattr(config, name))
    samples = round(seconds * config.sample_rate)
    if samples < 1 or abs(seconds * config.sample_rate - samples) > 1e-4:
        raise ConfigError(
            f"features: {name} = {seconds:g} is {seconds * config.sample_rate:g} samples at {config.sample_rate} Hz; "
            f"use a whole number, e.g. {max(samples, 1) / config.sample_rate:.9g}"
        )
    return samples

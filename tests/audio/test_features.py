import librosa
import numpy as np
import pytest
import torch
import torchaudio
from sounds import sweep
from torch import Tensor

from asr.audio import LogMel
from asr.audio.features import MIN_POWER, mel_filters
from asr.config import FeatureConfig
from asr.errors import ConfigError

SETTINGS = [
    FeatureConfig(normalization="none"),
    FeatureConfig(normalization="none", sample_rate=8000, bins=40, low_hz=0.0),
    FeatureConfig(
        normalization="none", sample_rate=22050, bins=64, window_seconds=551 / 22050, hop_seconds=220 / 22050
    ),
    FeatureConfig(normalization="none", sample_rate=48000, bins=128, window_seconds=0.032, high_hz=7600.0),
]


def whole(*waveforms: Tensor) -> tuple[Tensor, Tensor]:
    """A batch without padding."""
    return torch.stack(waveforms), torch.tensor([len(waveform) for waveform in waveforms])


def reference_filters(config: FeatureConfig, fft_length: int) -> np.ndarray:
    return librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=fft_length,
        n_mels=config.bins,
        fmin=config.low_hz,
        fmax=config.high_hz or config.sample_rate / 2,
        dtype=np.float64,
    )


@pytest.mark.parametrize("config", SETTINGS)
def test_filters_are_those_of_librosa_and_torchaudio(config: FeatureConfig) -> None:
    fft_length = LogMel(config).fft_length
    high_hz = config.high_hz or config.sample_rate / 2
    filters = mel_filters(config.sample_rate, fft_length, config.bins, config.low_hz, high_hz)
    expected = torch.from_numpy(reference_filters(config, fft_length)).T
    torch.testing.assert_close(filters, expected, rtol=1e-9, atol=1e-12)
    expected = torchaudio.functional.melscale_fbanks(
        fft_length // 2 + 1, config.low_hz, high_hz, config.bins, config.sample_rate, norm="slaney", mel_scale="slaney"
    )
    torch.testing.assert_close(filters.float(), expected, rtol=0, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize("config", SETTINGS)
@pytest.mark.parametrize("seconds", [0.7, 0.01, 0.0123])
def test_values_are_those_of_librosa(config: FeatureConfig, seconds: float) -> None:
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(round(seconds * config.sample_rate), generator=generator)
    features = LogMel(config)
    values, lengths = features(*whole(waveform))
    spectrum = (
        librosa.stft(
            waveform.double().numpy(),
            n_fft=features.fft_length,
            hop_length=features.hop_samples,
            win_length=features.window_samples,
            center=True,
            pad_mode="constant",
        )
        if len(waveform) >= features.fft_length
        else padded_stft(waveform, features)
    )
    power = reference_filters(config, features.fft_length) @ np.abs(spectrum) ** 2
    expected = torch.from_numpy(np.log(np.maximum(power, MIN_POWER))).T.float()
    assert lengths.tolist() == [len(expected)] == [1 + len(waveform) // features.hop_samples]
    torch.testing.assert_close(values[0], expected, rtol=0, atol=1e-4)


def padded_stft(waveform: Tensor, features: LogMel) -> np.ndarray:
    """librosa warns of waveforms shorter than a window; pad by hand."""
    padded = np.pad(waveform.double().numpy(), features.fft_length // 2)
    return librosa.stft(
        padded,
        n_fft=features.fft_length,
        hop_length=features.hop_samples,
        win_length=features.window_samples,
        center=False,
    )


@pytest.mark.parametrize("normalization", ["utterance", "global", "none"])
def test_alone_as_in_any_batch(normalization: str) -> None:
    features = LogMel(FeatureConfig(normalization=normalization))
    waveforms = [sweep(seconds, 16000, seed) for seed, seconds in enumerate((0.5, 2.0, 1.2345, 0.004))]
    if normalization == "global":
        features.fit_normalization([whole(waveforms[1])])
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    batch = torch.full((4, int(lengths.max()) + 77), float("nan"))  # what lies in the padding must not matter
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    values, frames = features(batch, lengths)
    assert torch.equal(frames, features.frame_lengths(lengths))
    for row, length, waveform in zip(values, frames, waveforms, strict=True):
        alone, _ = features(*whole(waveform))
        torch.testing.assert_close(row[:length], alone[0], rtol=0, atol=2e-5)
        assert torch.equal(row[length:], torch.zeros_like(row[length:]))


def test_utterance_has_zero_mean_and_unit_variance() -> None:
    values, _ = LogMel(FeatureConfig())(*whole(sweep(2.0, 16000)))
    torch.testing.assert_close(values[0].mean(dim=0), torch.zeros(80), rtol=0, atol=1e-5)
    torch.testing.assert_close(values[0].std(dim=0, correction=0), torch.ones(80), rtol=1e-4, atol=0)


@pytest.mark.parametrize("waveform", [torch.zeros(8000), torch.zeros(1), torch.zeros(0), torch.full((8000,), 1e-7)])
def test_silence_is_zero(waveform: Tensor) -> None:
    values, _ = LogMel(FeatureConfig())(*whole(waveform))
    torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=1e-4)


def test_level_does_not_matter() -> None:
    features, waveform = LogMel(FeatureConfig()), sweep(1.0, 16000)
    torch.testing.assert_close(features(*whole(waveform * 0.1))[0], features(*whole(waveform))[0], rtol=0, atol=1e-3)


def test_later_by_whole_hops_is_later_by_frames() -> None:
    features = LogMel(FeatureConfig(normalization="none"))
    waveform = sweep(1.0, 16000)
    later = torch.cat([torch.zeros(7 * features.hop_samples), waveform])
    expected = features(*whole(waveform))[0]
    torch.testing.assert_close(features(*whole(later))[0][:, 7:], expected, rtol=0, atol=2e-5)


def test_impulse_is_in_the_frames_around_it() -> None:
    waveform = torch.zeros(16000)
    waveform[50 * 160] = 1.0
    values, _ = LogMel(FeatureConfig(normalization="none"))(*whole(waveform))
    energy = values[0].mean(dim=1)
    assert energy.argmax() == 50
    assert (energy > energy.min()).nonzero().flatten().tolist() == [49, 50, 51]


def test_autocast_changes_nothing() -> None:
    features, batch = LogMel(FeatureConfig()), whole(sweep(0.5, 16000))
    expected, _ = features(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        values, _ = features(*batch)
    assert values.dtype == torch.float32
    assert torch.equal(values, expected)


def test_global_normalisation_is_that_of_all_frames() -> None:
    waveforms = [sweep(seconds, 16000, seed) for seed, seconds in enumerate((0.5, 0.3, 0.8))]
    raw = LogMel(FeatureConfig(normalization="none"))
    frames = torch.cat([raw(*whole(waveform))[0][0] for waveform in waveforms]).double()
    features = LogMel(FeatureConfig(normalization="global"))
    padded = torch.nn.utils.rnn.pad_sequence(waveforms[:2], batch_first=True, padding_value=0.5)
    features.fit_normalization([(padded, torch.tensor([8000, 4800])), whole(waveforms[2])])
    torch.testing.assert_close(features.mean.double(), frames.mean(dim=0), rtol=1e-5, atol=0)
    torch.testing.assert_close(features.std.double(), frames.std(dim=0, correction=0), rtol=1e-4, atol=0)
    assert set(features.state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sample_rate": 22050}, "220.5 samples"),
        ({"hop_seconds": 0.01001}, "160.16 samples"),
        ({"bins": 400}, "use fewer bins"),
    ],
)
def test_impossible_settings(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        LogMel(FeatureConfig(**settings))
    assert "; use " in str(caught.value)


def test_remedy_for_a_broken_sample_works() -> None:
    with pytest.raises(ConfigError) as caught:
        LogMel(FeatureConfig(sample_rate=22050, hop_seconds=0.01, window_seconds=0.02))
    hop_seconds = float(str(caught.value).rpartition(" ")[2])
    assert LogMel(FeatureConfig(sample_rate=22050, hop_seconds=hop_seconds, window_seconds=0.02)).hop_samples == 220


def test_only_global_is_fitted() -> None:
    with pytest.raises(ConfigError, match="global"):
        LogMel(FeatureConfig()).fit_normalization([])
    with pytest.raises(ConfigError, match="no audio"):
        LogMel(FeatureConfig(normalization="global")).fit_normalization([])

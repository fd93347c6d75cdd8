"""Equalised voices against a spectrum measured by SciPy, and what must not matter for them."""

import numpy as np
import pytest
import scipy.signal
import torch

from asr.audio.equalization import (
    HOP_SECONDS,
    LOUD_DB,
    PRIOR_FRAMES,
    WINDOW_SECONDS,
    Voice,
    equalize,
    hear,
    long_term_spectrum,
    typical_spectrum,
)

RATE = 8000
SECONDS = 20
LOUDNESS = torch.tensor([1.0, 0.3, 0.05, 0.6])
"""From tenth to tenth of a second, over and over."""


def voice(numerator, denominator=(1.0,), seed=0, seconds=SECONDS):
    """Noise of changing loudness through a filter."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SECONDS * RATE, generator=generator)
    loudness = LOUDNESS.repeat_interleave(RATE // 10).repeat(SECONDS * RATE)[: len(noise)]
    filtered = scipy.signal.lfilter(numerator, denominator, (noise * loudness).numpy())
    return torch.from_numpy(0.05 * filtered).float()[: round(seconds * RATE)]


def own(waveform):
    return equalize(waveform, hear([waveform], RATE).spectrum)


def slope(waveform):
    """Power at each frequency, in decibels, by Welch's method."""
    _, power = scipy.signal.welch(waveform.numpy(), RATE, nperseg=256)
    return 10 * np.log10(power[4:-4])


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def test_the_spectrum_is_the_mean_logarithm_over_loud_frames():
    torch.manual_seed(0)
    waveforms = [0.1 * torch.randn(500), torch.cat((torch.randn(700), 1e-3 * torch.randn(900)))]
    size, hop = round(WINDOW_SECONDS * RATE), round(HOP_SECONDS * RATE)
    window = torch.hann_window(size).numpy()
    logarithms = []
    for waveform in waveforms:
        padded = np.concatenate((waveform.numpy(), np.zeros(size)))
        powers = [
            np.abs(np.fft.rfft(padded[begin : begin + size] * window)) ** 2
            for begin in range(0, len(waveform) + 1, hop)
        ]
        loudest = max(power.sum() for power in powers)
        logarithms += [np.log(power) for power in powers if power.sum() >= loudest / 10 ** (LOUD_DB / 10)]
    assert len(logarithms) < sum(1 + len(waveform) // hop for waveform in waveforms)
    np.testing.assert_allclose(hear(waveforms, RATE).spectrum, np.mean(logarithms, axis=0), rtol=1e-3, atol=1e-3)


def test_makes_the_spectrum_flat():
    coloured = voice([1.0, 0.8])  # falls by 19 dB
    assert np.ptp(slope(coloured)) > 15
    assert np.ptp(slope(own(coloured))) < 3


def test_microphones_and_levels_do_not_matter():
    spoken = voice([1.0])
    heard = 0.02 * torch.from_numpy(scipy.signal.lfilter([1.0, -0.6], [1.0], spoken.numpy())).float()
    other = own(heard)
    # the microphone shifts phases too, so spectra are compared
    assert np.abs(slope(other) - slope(own(spoken))).max() < 1.5
    assert np.abs(slope(heard) - slope(spoken)).max() > 15
    assert distance(own(0.02 * spoken), own(spoken)) < 1e-4


def test_pauses_do_not_matter():
    spoken = voice([1.0, 0.8])
    pause = 1e-5 * torch.randn(3 * RATE, generator=torch.Generator().manual_seed(1))
    assert distance(own(torch.cat((pause, spoken, pause)))[3 * RATE : -3 * RATE], own(spoken)) < 0.02


def test_nothing_is_delayed():
    click = torch.zeros(RATE)
    click[3000] = 0.1
    assert equalize(click, hear([voice([1.0, 0.8])], RATE).spectrum).abs().argmax() == 3000


def test_two_utterances_of_a_voice_keep_what_is_different():
    low, high = voice([1.0, 0.8], seed=1, seconds=2), voice([1.0, -0.8], seed=2, seconds=2)
    together = hear([low, high], RATE).spectrum
    apart = slope(equalize(low, together)) - slope(equalize(high, together))
    np.testing.assert_allclose(apart, slope(low) - slope(high), atol=0.5)
    assert np.abs(slope(own(low)) - slope(own(high))).max() < 4 < np.abs(apart).max()


def test_soft_frequencies_are_not_raised_without_end():
    narrow = torch.from_numpy(scipy.signal.lfilter(*scipy.signal.butter(8, 0.25), voice([1.0]).numpy())).float()
    raised = slope(own(narrow)) - slope(narrow)
    assert np.ptp(raised) == pytest.approx(35, abs=2)


@pytest.mark.parametrize("waveform", [torch.zeros(0), torch.zeros(1), torch.zeros(RATE), torch.ones(1)])
def test_next_to_nothing_stays_finite(waveform):
    found = own(waveform)
    assert found.shape == waveform.shape
    assert found.isfinite().all()
    assert (found.abs() <= 1).all()


def test_without_samples_nothing_is_known_and_nothing_changed():
    waveform = voice([1.0])
    assert torch.equal(equalize(waveform, hear([], RATE).spectrum), waveform)


def test_long_recordings_are_heard_in_part(monkeypatch):
    waveform = voice([1.0, 0.8])
    whole = hear([waveform], RATE).spectrum
    monkeypatch.setattr("asr.audio.equalization.MOST_FRAMES", 500)
    assert (hear([waveform], RATE).spectrum - whole).abs().max() < 0.5
    assert not torch.equal(hear([waveform], RATE).spectrum, whole)


@pytest.mark.parametrize("rate", [8000, 11025, 16000])  # 32 ms of the second are 353 samples
def test_the_last_frequency_is_half_the_sample_rate(rate):
    highest = torch.tensor([1.0, -1.0]).repeat(rate)
    spectrum = hear([highest], rate).spectrum
    size = 2 * (len(spectrum) - 1)
    whole = len(highest) // round(HOP_SECONDS * rate)  # frames; the last few are cut
    assert spectrum[-1].item() == pytest.approx(2 * np.log(size / 2), abs=20 / whole)


def test_of_a_voice_heard_briefly_what_voices_are_like_is_expected():
    typical = torch.tensor([2.0, 0.0, -2.0])
    heard = torch.tensor([-1.0, -3.0, -2.0])
    for frames, share in ((PRIOR_FRAMES, 0.5), (3 * PRIOR_FRAMES, 0.25)):
        found = long_term_spectrum(Voice(heard, frames), typical)
        torch.testing.assert_close(found, (1 - share) * heard + share * (typical - 2.0))  # as loud as was heard
    assert torch.equal(long_term_spectrum(Voice(torch.zeros(3), 0), typical), torch.zeros(3))


def test_typical_is_the_mean_of_voices_whatever_their_loudness():
    voices = [Voice(torch.tensor([1.0, 3.0]), 7), Voice(torch.tensor([15.0, 11.0]), 900), Voice(torch.zeros(2), 0)]
    assert typical_spectrum(voices).tolist() == [0.5, -0.5]
    assert typical_spectrum(voices[2:]).tolist() == [0.0, 0.0]

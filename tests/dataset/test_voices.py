"""Speakers of small made manifests, each heard through a microphone of their own."""

import pytest
import soundfile
import torch

from asr.audio import load
from asr.audio.equalization import equalize, hear, long_term_spectrum, typical_spectrum
from asr.dataset import Manifest, Utterance, voices, write_manifest
from asr.dataset.voices import Voices

RATE = 8000


@pytest.fixture
def manifest(tmp_path):
    """Anna says two things and Bert one; who says the last one is not known."""
    torch.manual_seed(0)
    utterances = []
    for number, (speaker, level) in enumerate([("anna", 0.1), ("bert", 0.01), ("anna", 0.3), (None, 0.05)]):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, (level * torch.randn(RATE // 2)).clamp(-1, 1).numpy(), RATE, subtype="FLOAT")
        utterances.append(Utterance(path, 0.5, "a", speaker=speaker, id=str(number)))
    write_manifest(tmp_path / "train.jsonl", utterances)
    return Manifest(tmp_path / "train.jsonl")


def waveform(manifest, index):
    return load(manifest[index].audio_filepath, RATE)


def spectrum(waveforms, typical):
    return long_term_spectrum(hear(waveforms, RATE), typical)


def test_a_speaker_is_known_by_all_they_say(manifest):
    voices = Voices(manifest, RATE)
    expected = spectrum([waveform(manifest, 0), waveform(manifest, 2)], voices.typical)
    for index in (0, 2):
        spoken = waveform(manifest, index)
        assert torch.equal(voices.equalized(spoken, "anna"), equalize(spoken, expected))


@pytest.mark.parametrize("speaker", [None, "carla"])
def test_others_are_known_by_what_is_heard(manifest, speaker):
    spoken, voices = waveform(manifest, 3), Voices(manifest, RATE)
    expected = equalize(spoken, spectrum([spoken], voices.typical))
    assert torch.equal(voices.equalized(spoken, speaker), expected)


def test_typical_are_the_speakers_each_once_unless_told(manifest):
    said = [[0, 2], [1], [3]]
    heard = [hear([waveform(manifest, index) for index in each], RATE) for each in said]
    assert torch.equal(Voices(manifest, RATE).typical, typical_spectrum(heard))
    told = torch.linspace(-1.0, 1.0, len(heard[0].spectrum))
    spoken = waveform(manifest, 1)
    assert torch.equal(Voices(manifest, RATE, told).typical, told)
    assert torch.equal(
        Voices(manifest, RATE, told).equalized(spoken, "bert"), equalize(spoken, spectrum([spoken], told))
    )


def test_recordings_that_cannot_be_read_are_passed_over(manifest):
    manifest[0].audio_filepath.unlink()
    spoken, voices = waveform(manifest, 2), Voices(manifest, RATE)
    assert torch.equal(voices.equalized(spoken, "anna"), equalize(spoken, spectrum([spoken], voices.typical)))


def test_where_none_can_be_read_nothing_is_known(manifest):
    spoken = waveform(manifest, 0)
    for utterance in manifest:
        utterance.audio_filepath.unlink()
    assert not Voices(manifest, RATE).typical.any()
    assert torch.equal(Voices(manifest, RATE).equalized(spoken, "anna"), spoken)


def test_of_those_who_say_much_a_part_is_heard(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, torch.randn(10 * RATE).clamp(-1, 1).numpy(), RATE)
    write_manifest(
        tmp_path / "train.jsonl",
        [Utterance(path, 0.5, "a", offset=number / 2, speaker="anna", id=str(number)) for number in range(20)],
    )
    read = []

    def loaded(path, rate, offset, duration):
        read.append(offset)
        return load(path, rate, offset, duration)

    monkeypatch.setattr(voices, "load", loaded)
    monkeypatch.setattr(voices, "MOST_SECONDS", 1.5)
    Voices(Manifest(tmp_path / "train.jsonl"), RATE)
    assert read == [0.0, 5.0, 9.5]

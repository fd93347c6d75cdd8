"""Speakers of small made manifests, each heard through a microphone of their own."""

import pytest
import soundfile
import torch

from asr.audio import load
from asr.audio.equalization import equalize, long_term_spectrum
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


def test_a_speaker_is_known_by_all_they_say(manifest):
    heard = Voices(manifest, RATE)
    spectrum = long_term_spectrum([waveform(manifest, 0), waveform(manifest, 2)], RATE)
    for index in (0, 2):
        spoken = waveform(manifest, index)
        assert torch.equal(heard.equalized(spoken, "anna"), equalize(spoken, spectrum))


@pytest.mark.parametrize("speaker", [None, "carla"])
def test_others_are_known_by_what_is_heard(manifest, speaker):
    spoken = waveform(manifest, 3)
    expected = equalize(spoken, long_term_spectrum([spoken], RATE))
    assert torch.equal(Voices(manifest, RATE).equalized(spoken, speaker), expected)


def test_recordings_that_cannot_be_read_are_passed_over(manifest):
    manifest[0].audio_filepath.unlink()
    spoken = waveform(manifest, 2)
    expected = equalize(spoken, long_term_spectrum([spoken], RATE))
    assert torch.equal(Voices(manifest, RATE).equalized(spoken, "anna"), expected)


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

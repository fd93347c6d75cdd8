"""A toy recogniser, which hears levels as letters, and recordings for it."""

import soundfile
import torch

from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.dataset import Manifest, Utterance, write_manifest
from asr.model import Bundle
from asr.model.bundle import UNCALIBRATED
from asr.text import CharTokenizer
from asr.transcription import Recognizer

RATE = 8000


class LevelModel(torch.nn.Module):
    """Level 0.1 is "a", 0.2 is "b", 0.3 is " ", silence is the blank; a frame is 10 ms."""

    frame_seconds = 0.01
    sharpness = 20.0

    def log_probs(self, waveforms, lengths):
        frames = torch.nn.functional.pad(waveforms, (0, 80)).unfold(1, 80, 80)
        token = (10 * frames.median(dim=-1).values).round().long()
        return torch.nn.functional.one_hot(token, 4).mul(self.sharpness).log_softmax(-1), 1 + lengths // 80


def recognizer(tokens="ab ", calibration=UNCALIBRATED, decoding=None, **text):
    features, words = FeatureConfig(sample_rate=RATE, bins=16), TextConfig(**text)
    bundle = Bundle(LevelModel(), CharTokenizer(tokens), words, features, ModelConfig(), calibration=calibration)
    return Recognizer(bundle, device="cpu", decoding=decoding)


def manifest(folder, pairs):
    """`pairs` of what is heard and what the transcript says; each letter lasts 50 ms after 50 ms of silence."""
    utterances = []
    for number, (heard, text) in enumerate(pairs):
        levels = [level for letter in heard for level in (0.0, ("ab ".index(letter) + 1) / 10)] or [0.0]
        waveform = torch.tensor(levels).repeat_interleave(RATE // 20)
        path = folder / f"{number}.wav"
        soundfile.write(path, waveform.numpy(), RATE)
        utterances.append(
            Utterance(audio_filepath=path, duration=len(waveform) / RATE, text=text, id=f"u{number}", line=number + 1)
        )
    write_manifest(folder / "test.jsonl", utterances)
    return Manifest(folder / "test.jsonl")

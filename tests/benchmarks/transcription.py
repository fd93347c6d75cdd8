"""Transcription of AN4's test set, from files to text, greedily, on one core and on two.

The peer is the same done plainly: soundfile, torchaudio's log-mel features, a packed bidirectional LSTM of the same
size, the best token of every frame; it gives no times and no confidences. Against `real-time` a ratio is the seconds of
audio transcribed in a second.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import an4
import soundfile
import torch
from harness import Report, Run
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from training import VOCABULARY, Packed, Peer, Shape

from asr.config import FeatureConfig, TextConfig
from asr.dataset import Manifest
from asr.model import Bundle, Model
from asr.text import CharTokenizer
from asr.transcription import Recognizer
from asr.transcription.recognizer import batches_by_length

SHAPE = Shape("lstm", 3, 256)
TRAINED = Path(__file__).resolve().parents[2] / "runs/an4/model"
BATCH_SECONDS = 60.0
PRECISIONS = "fp32", "bf16"


def recognizer(shape: Shape, precision: str) -> Recognizer:
    """The model that `make train RECIPE=an4` leaves, or an untrained one of the shape."""
    if shape == SHAPE and TRAINED.exists():
        return Recognizer.load(TRAINED, "cpu", precision=precision)
    model = Model(FeatureConfig(), shape.config(), VOCABULARY)
    bundle = Bundle(model, CharTokenizer(an4.LETTERS), TextConfig(), FeatureConfig(), shape.config())
    return Recognizer(bundle, "cpu", precision=precision)


def ours(paths: Sequence[Path], shape: Shape, precision: str) -> Run:
    """Ours; an error in any file ends the benchmark."""
    chosen = recognizer(shape, precision)

    def run() -> list[str]:
        texts = []
        for _, transcript in chosen.transcribe_files(paths, BATCH_SECONDS):
            if isinstance(transcript, Exception):
                raise transcript
            texts.append(transcript.text)
        return texts

    return run


class TorchaudioFeatures(nn.Module):
    """torchaudio's log-mel features, normalised by utterance."""

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.spectrogram = MelSpectrogram(an4.SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=80)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.spectrogram(waveforms).transpose(1, 2).clamp_min(1e-10).log()
        lengths = 1 + lengths // 160
        valid = (torch.arange(features.shape[1]) < lengths[:, None])[:, :, None]
        features = (features - (features * valid).sum(1, keepdim=True) / lengths[:, None, None]) * valid
        deviation = (features.square().sum(1, keepdim=True) / lengths[:, None, None]).sqrt()
        return features / deviation.clamp_min(0.1), lengths


def packed(paths: Sequence[Path], durations: Sequence[float], shape: Shape, precision: str) -> Run:
    """The peer; recordings are sorted by length, as ours are."""
    model = Peer(shape, Packed(shape), TorchaudioFeatures()).eval()

    @torch.inference_mode()
    @torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    def run() -> list[str]:
        texts = [""] * len(paths)
        for batch in batches_by_length(durations, BATCH_SECONDS):
            audio = [torch.from_numpy(soundfile.read(paths[index], dtype="float32")[0]) for index in batch]
            lengths = torch.tensor([len(waveform) for waveform in audio])
            log_probs, frames = model(pad_sequence(audio, batch_first=True), lengths)
            best = log_probs.argmax(-1).tolist()
            for index, tokens, length in zip(batch, best, frames.tolist(), strict=True):
                texts[index] = "".join(an4.LETTERS[token - 1] for token, _ in groupby(tokens[:length]) if token)
        return texts

    return run


def compare(report: Report, manifest: Path, shape: Shape, threads: int, seconds: float) -> None:
    """Time the transcription of a manifest's recordings."""
    utterances = Manifest(manifest)
    paths = [utterance.audio_filepath for utterance in utterances]
    audio_seconds = an4.seconds_of(manifest)

    def own(precision: str) -> Callable[[], Run]:
        return lambda: ours(paths, shape, precision)

    def peer(precision: str) -> Callable[[], Run]:
        return lambda: packed(paths, utterances.durations.tolist(), shape, precision)

    found = report.compare(
        "transcribe-an4",
        {precision: own(precision) for precision in PRECISIONS},
        {f"torch-packed-{precision}": peer(precision) for precision in PRECISIONS},
        threads=threads,
        seconds=seconds,
    )
    report.say("")
    for precision in PRECISIONS:
        report.add(f"transcribe-an4-{precision}", "real-time", threads, found[f"ours {precision}"], [audio_seconds])
        report.say(f"Ours {precision}: {report.comparisons[-1].ratio:.0f} seconds of audio a second.")


def run(report: Report) -> None:
    """With one thread and with two."""
    model = "the model of `make train RECIPE=an4`" if TRAINED.exists() else "an untrained model of the recipe's size"
    parameters = sum(parameter.numel() for parameter in recognizer(SHAPE, "fp32").model.parameters())
    report.say("\n## Transcription of AN4's test set\n")
    report.say(
        f"From files to text, greedily, {model}: {parameters / 1e6:.1f} M parameters; batches of {BATCH_SECONDS:.0f} s."
    )
    with an4.work_folder() as name:
        for threads in (1, 2):
            compare(report, an4.manifest("test", Path(name)), SHAPE, threads, seconds=10.0)

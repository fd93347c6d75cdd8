"""A whole epoch of AN4, from files on disk to the last optimizer step, augmentation included.

Ours is `asr.training.train` with the recipe `an4/plain`, stopped after an epoch, with what belongs to it: averaging the
weights, a checkpoint, the model written. The peer is the loop that a careful user of PyTorch and SpeechBrain writes for
the same model: SpeechBrain's features, normalisation, augmentation and recurrent modules, the same batches by length, a
`DataLoader` in this process (on two cores a process that reads ahead competes with the training), fused AdamW. It has
neither dropout nor averaged weights, and writes nothing.
"""

import random
import shutil
from io import StringIO
from pathlib import Path

import an4
import soundfile
import torch
from harness import Report, Run
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from training import Peer, Shape, SpeechBrain

from asr.config import DataConfig, Recipe, load_recipe
from asr.dataset import BatchSampler, Manifest, write_manifest
from asr.training import train

RECIPE = Path(__file__).resolve().parents[2] / "recipes/an4/plain.toml"
WARM_UP = 32
TOKENS = {letter: number for number, letter in enumerate(an4.LETTERS, start=1)}


def recipe(manifest: Path) -> Recipe:
    """One epoch of the recipe on a manifest, without dev set."""
    found = load_recipe(RECIPE)
    training = found.training.model_copy(update={"epochs": 1})
    return found.model_copy(update={"data": DataConfig(train=(str(manifest),)), "training": training})


def ours(chosen: Recipe, folder: Path) -> Run:
    """An epoch of ours."""

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        train(chosen, folder, console=Console(file=StringIO()))

    return run


class Features(nn.Module):
    """SpeechBrain's log-mel features of 80 bins, normalised by utterance."""

    def __init__(self) -> None:
        super().__init__()
        from speechbrain.lobes.features import Fbank
        from speechbrain.processing.features import InputNormalization

        self.spectrogram = Fbank(n_mels=80)
        self.normalize = InputNormalization(norm_type="sentence")

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.spectrogram(waveforms)
        relative = lengths / waveforms.shape[1]
        return self.normalize(features, relative), (relative * features.shape[1]).round().long()


class Masks(nn.Module):
    """SpeechBrain's SpecAugment, with the recipe's numbers."""

    def __init__(self, chosen: Recipe) -> None:
        super().__init__()
        from speechbrain.augment.freq_domain import SpectrogramDrop

        augment = chosen.augment
        self.bins = _drop(SpectrogramDrop, augment.frequency_masks, augment.frequency_mask_bins, 2)
        self.frames = _drop(SpectrogramDrop, augment.time_masks, 15, 1)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.frames(self.bins(features))


def _drop(kind: type[nn.Module], count: int, widest: int, dim: int) -> nn.Module:
    return kind(drop_length_low=0, drop_length_high=widest, drop_count_low=count, drop_count_high=count + 1, dim=dim)


class Recordings(torch.utils.data.Dataset[tuple[list[Tensor], list[list[int]]]]):
    """Batches of recordings and their tokens, by the indices of a plan."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def __getitem__(self, indices: list[int]) -> tuple[list[Tensor], list[list[int]]]:
        chosen = [self.manifest[index] for index in indices]
        audio = [torch.from_numpy(soundfile.read(each.audio_filepath, dtype="float32")[0]) for each in chosen]
        return audio, [[TOKENS[letter] for letter in each.text.lower() if letter in TOKENS] for each in chosen]


def speechbrain(chosen: Recipe) -> Run:
    """An epoch of the peer's loop."""
    from speechbrain.augment.time_domain import SpeedPerturb
    from speechbrain.nnet.losses import ctc_loss

    manifest, config = Manifest(*chosen.data.train), chosen.training
    shape = Shape(chosen.model.cell, chosen.model.layers, chosen.model.units)

    def run() -> None:
        model = Peer(shape, SpeechBrain(shape), Features()).train()
        faster, masks = SpeedPerturb(an4.SAMPLE_RATE), Masks(chosen)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        plan = BatchSampler(manifest.durations, config.batch_seconds, random.randrange(1 << 30)).batches(0)
        for audio, tokens in DataLoader(Recordings(manifest), batch_size=None, sampler=plan):
            lengths = torch.tensor([len(each) for each in audio])
            waveforms = pad_sequence(audio, batch_first=True)
            relative = lengths / waveforms.shape[1]
            waveforms = faster(waveforms)
            log_probs, frames = model(waveforms, (relative * waveforms.shape[1]).round().long(), masks)
            targets = pad_sequence([torch.tensor(each) for each in tokens], batch_first=True)
            target_lengths = torch.tensor([len(each) for each in tokens]) / targets.shape[1]
            loss = ctc_loss(log_probs, targets, frames / log_probs.shape[1], target_lengths, blank_index=0)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def compare(report: Report, manifest: Path, folder: Path, threads: int, rounds: int) -> None:
    """Time epochs over a manifest; compilers and caches are warmed up by some of its utterances only."""
    write_manifest(folder / "some.jsonl", list(Manifest(manifest)[:WARM_UP]))
    for few in (True, False):
        chosen = recipe(folder / "some.jsonl" if few else manifest)
        (Report(quiet=True) if few else report).compare(
            "train-epoch-an4",
            {"": lambda chosen=chosen: ours(chosen, folder / "run")},
            {"speechbrain-loop": lambda chosen=chosen: speechbrain(chosen)},
            threads=threads,
            seconds=0.0,
            rounds=1 if few else rounds,
            warm_up=False,
        )


def run(report: Report) -> None:
    """Epochs with one thread and with two."""
    report.say("\n## Epoch of AN4\n\nFrom files on disk, augmentation included; the recipe `an4/plain`, one epoch.")
    with an4.work_folder() as name:
        for threads in (1, 2):
            compare(report, an4.manifest("train", Path(name)), Path(name), threads, rounds=2)

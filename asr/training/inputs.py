"""From a recipe to what the training loop reads: vocabulary, datasets and batches, checked before time is spent."""

import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asr.config import Recipe
from asr.dataset import Batch, BatchSampler, Manifest, SpeechDataset, loader
from asr.dataset.voices import Voices
from asr.errors import ManifestError, TextError, TrainingError
from asr.model import Bundle
from asr.text import Normalizer, Tokenizer, build_tokenizer, check_coverage
from asr.text.tokenizer import required_frames
from asr.training.initial import extend_tokenizer, load_initial
from asr.training.task import Reading

PAD_SECONDS = 0.25
"""Batches are padded to a multiple of this: each new shape costs the CPU's kernels a preparation."""


@dataclass(frozen=True)
class Inputs:
    """What a training reads."""

    recipe: Recipe
    initial: Bundle | None
    """The model to begin with, if not with a new one."""
    tokenizer: Tokenizer
    train: SpeechDataset
    dev: SpeechDataset | None
    left_out: int
    """Training utterances outside data.min_seconds..max_seconds."""
    reading: Reading
    """The vocabulary, and a digest of which utterances of train there are, how long they are and what they say."""

    def plan(self, epoch: int, process: int = 0, processes: int = 1) -> list[list[int]]:
        """The batches of an epoch, as indices of utterances; of several processes, each gets as many as the others.

        Raises:
            TrainingError: there are fewer batches than processes.
        """
        sampler = BatchSampler(
            self.train.followers.durations(epoch), self.recipe.training.batch_seconds, self.recipe.seed
        )
        batches = sampler.batches(epoch)
        if len(batches) < processes:
            raise TrainingError(
                f"{self.train.manifest.path}: an epoch has {len(batches)} batches, too few for {processes} processes; "
                "lower training.batch_seconds, or use fewer processes"
            )
        return batches[process : len(batches) // processes * processes : processes]

    def load(self, plan: Sequence[list[int]], epoch: int) -> Generator[Batch, None, None]:
        """Read the batches of a plan, with this epoch's perturbations."""
        return self._read(self.train, plan, epoch)

    def load_plain(self) -> Generator[Batch, None, None]:
        """The training set once, not perturbed."""
        return self._read_in_order(self._without_augmentation())

    def load_dev(self) -> Generator[Batch, None, None]:
        """The dev set once; there must be one."""
        assert self.dev is not None
        return self._read_in_order(self.dev)

    def describe(self) -> dict[str, Any]:
        """Numbers for the provenance; JSON values only."""
        return {
            "train": list(self.recipe.data.train),
            "train_utterances": len(self.train),
            "train_hours": round(_hours(self.train.manifest), 4),
            "dev": self.recipe.data.dev,
            "dev_utterances": len(self.dev) if self.dev else 0,
            "left_out": self.left_out,
        }

    def notes(self) -> list[str]:
        """What a person wants to know of the data before the training begins."""
        dev = f"; dev {len(self.dev)} utterances, {_hours(self.dev.manifest):.2f} h" if self.dev else "; no dev set"
        data = self.recipe.data
        train = f"train {len(self.train)} utterances, {_hours(self.train.manifest):.2f} h"
        lines = [f"{train}{dev}; {self.tokenizer.size} tokens"]
        if self.initial is not None:
            new = sorted(set(self.tokenizer.tokens).difference(self.initial.tokenizer.tokens))
            named = f"{', '.join(map(repr, new[:10]))}{' ...' if len(new) > 10 else ''}"
            which = f", which has yet to learn {len(new)} tokens: {named}" if new else ""
            lines.append(f"begins with {self.recipe.training.initial_model}{which}")
        if self.left_out:
            limits = f"{data.min_seconds:g}..{data.max_seconds:g} s"
            lines.append(
                f"{self.left_out} training utterances left out: not within data.min_seconds..max_seconds, {limits}"
            )
        return lines

    def _without_augmentation(self) -> SpeechDataset:
        train = self.train
        return SpeechDataset(train.manifest, train.tokenizer, train.normalizer, train.sample_rate, voices=train.voices)

    def _read_in_order(self, dataset: SpeechDataset) -> Generator[Batch, None, None]:
        sampler = BatchSampler(dataset.manifest.durations, self.recipe.training.batch_seconds, seed=0)
        return self._read(dataset, sampler.batches(0), 0)

    def _read(self, dataset: SpeechDataset, plan: Sequence[list[int]], epoch: int) -> Generator[Batch, None, None]:
        pad_samples = round(PAD_SECONDS * dataset.sample_rate)
        workers = self.recipe.training.workers
        if workers is None:
            workers = max(0, (os.cpu_count() or 1) - 2) // 4
        return loader(dataset, plan, epoch, workers=workers, pad_samples=pad_samples)


def prepare_inputs(recipe: Recipe) -> Inputs:
    """Open the manifests, build the vocabulary, and check every transcript against it.

    Raises:
        BundleError: the model to begin with cannot be read.
        ConfigError: it hears otherwise, or is another network than the recipe says.
        ManifestError: a manifest is missing or wrong, or nothing is left of it.
        TextError: transcripts hold characters outside the vocabulary; all of them are listed. Or they are to be joined
            by a space, and it is outside.
    """
    everything = Manifest(*recipe.data.train)
    durations = everything.durations
    kept = (durations >= recipe.data.min_seconds) & (durations <= recipe.data.max_seconds)
    if not kept.any():
        raise ManifestError(
            f"{everything.path}: no utterance within data.min_seconds..max_seconds, {recipe.data.min_seconds:g}.."
            f"{recipe.data.max_seconds:g} s; widen them"
        )
    manifest = everything.select(kept)
    normalizer = Normalizer(recipe.text)
    ids, texts = zip(*((utterance.id, normalizer(utterance.text)) for utterance in manifest), strict=True)
    initial = load_initial(recipe)
    if initial is None:
        tokenizer = build_tokenizer(recipe.tokenizer, texts)
    else:
        tokenizer = extend_tokenizer(recipe, initial.tokenizer, texts)
    check_coverage(tokenizer, texts, ids)
    if recipe.augment.concatenation_share and " " not in tokenizer.characters:
        raise TextError(
            "augment.concatenation_share: a space stands between joined transcripts, and the vocabulary has none; "
            "set tokenizer.characters to those of the transcripts and a space, or the share to 0"
        )
    rate = recipe.features.sample_rate
    voices = None
    if recipe.features.equalization == "speaker":
        voices = Voices(manifest, rate, None if initial is None else initial.model.features.typical_voice)
    cache_bytes = int(recipe.training.cache_gigabytes * 1e9)
    train = SpeechDataset(
        manifest,
        tokenizer,
        normalizer,
        rate,
        recipe.augment,
        recipe.seed,
        cache_bytes,
        token_dropout=recipe.tokenizer.dropout,
        longest_seconds=recipe.data.max_seconds,
        voices=voices,
        joinable=_joinable(recipe, durations[kept], texts, tokenizer),
    )
    typical = None if voices is None else voices.typical
    dev = None if recipe.data.dev is None else _prepare_dev(recipe, recipe.data.dev, tokenizer, typical)
    reading = Reading(tuple(tokenizer.tokens), _digest(durations[kept], ids, texts))
    return Inputs(recipe, initial, tokenizer, train, dev, left_out=int((~kept).sum()), reading=reading)


def _digest(durations: NDArray[np.floating], ids: Sequence[str], texts: Sequence[str]) -> str:
    digest = hashlib.sha256(durations.tobytes())
    for name, text in zip(ids, texts, strict=True):
        digest.update(f"{name}\n{text}\n".encode())
    return digest.hexdigest()


def _joinable(
    recipe: Recipe, durations: NDArray[np.floating], texts: Sequence[str], tokenizer: Tokenizer
) -> NDArray[np.bool_] | None:
    """Which utterances CTC can align by themselves, even played at the highest speed; None where none are joined.

    Another's frames would only hide that the text of one is too long for its recording, and would be blamed for it.
    """
    if not recipe.augment.concatenation_share:
        return None
    speed = max(recipe.augment.speeds, default=1.0)
    frames = durations / (speed * recipe.features.hop_seconds * recipe.model.subsampling)
    return frames >= np.array([required_frames(tokenizer.encode(text)) for text in texts])


def _prepare_dev(recipe: Recipe, path: str, tokenizer: Tokenizer, typical: Tensor | None) -> SpeechDataset:
    """The dev set; its speakers are told beside the `typical` voice of the training set, if voices are equalised."""
    manifest, normalizer = Manifest(path), Normalizer(recipe.text)
    texts = [normalizer(utterance.text) for utterance in manifest]
    if not any(texts):
        raise ManifestError(f"{manifest.path}: no words to score in any transcript; name another data.dev, or none")
    check_coverage(tokenizer, texts, (utterance.id for utterance in manifest))
    rate = recipe.features.sample_rate
    return SpeechDataset(
        manifest,
        tokenizer,
        normalizer,
        rate,
        cache_bytes=int(recipe.training.cache_gigabytes * 1e9),
        voices=None if typical is None else Voices(manifest, rate, typical),
    )


def _hours(manifest: Manifest) -> float:
    return float(manifest.durations.sum(dtype=np.float64)) / 3600

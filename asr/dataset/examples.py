"""Examples: utterances of a manifest, read, joined, perturbed and written in tokens, as training wants them.

What comes out depends on the seed, the epoch and the utterance's index alone.
"""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from asr.audio import load, perturb
from asr.config import AugmentConfig
from asr.dataset.cache import WaveformCache
from asr.dataset.concatenation import Followers
from asr.dataset.manifest import Manifest, Utterance
from asr.dataset.noise import Noises
from asr.dataset.voices import Voices
from asr.errors import AudioError, TextError
from asr.text import Normalizer, Tokenizer
from asr.text.merges import Merges


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance, ready for a model."""

    waveform: Tensor
    """float32, shape (samples,)."""
    tokens: list[int]
    id: str
    text: str
    """Normalised."""


class SpeechDataset(Dataset[Example]):
    """A manifest as examples: `dataset[epoch, index]`.

    Args:
        manifest: the utterances.
        tokenizer: writes the normalised transcripts.
        normalizer: normalises them.
        sample_rate: samples per second of the waveforms.
        augment: how waveforms are perturbed, drawn from (seed, epoch, index); None leaves the audio as it is.
        seed: as for `BatchSampler`.
        cache_bytes: most memory for decoded audio. Only a process that lasts remembers, so this helps where the
            loader has no workers.
        token_dropout: how often a merge is left out of a transcript, drawn from (seed, epoch, index) too; the tokenizer
            is one of subwords then.
        longest_seconds: how long an utterance may be with the one that `augment` lets follow it.
        voices: makes the manifest's speakers sound alike; None leaves them as they are.
        joinable: which utterances `augment` may join, shape (utterances,); None is all.

    Raises:
        ManifestError: a manifest of noises is missing or wrong.
    """

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Tokenizer,
        normalizer: Normalizer,
        sample_rate: int,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache_bytes: int = 0,
        token_dropout: float = 0.0,
        longest_seconds: float = math.inf,
        voices: Voices | None = None,
        joinable: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.normalizer = normalizer
        self.sample_rate = sample_rate
        self.augment = augment
        self.seed = seed
        self.token_dropout = token_dropout
        self.merges = Merges(tokenizer.tokens)
        share = augment.concatenation_share if augment is not None else 0.0
        self.followers = Followers(manifest.durations, share, longest_seconds, seed, joinable)
        self.cache = WaveformCache(cache_bytes)
        self.voices = voices
        self.noises = Noises(augment.noise, sample_rate, self.cache) if augment is not None and augment.noise else None

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """Read, join, perturb and tokenise one utterance.

        Raises:
            AudioError: its audio, or a noise, cannot be read; names the manifest's line too.
            TextError: its transcript cannot be written in tokens; names the line.
        """
        epoch, index = key
        spoken = [self._read(index)]
        if (follower := int(self.followers.indices(epoch)[index])) >= 0:
            spoken.append(self._read(follower))
        waveform = torch.cat([part.waveform for part in spoken])
        text = " ".join(part.text for part in spoken if part.text)
        try:
            tokens = self.tokenizer.encode(text)
        except TextError as error:
            raise TextError(f"{self.manifest.where(index)}: {error}") from None
        audio_seed, text_seed = np.random.SeedSequence((self.seed, epoch, index)).generate_state(2, np.uint64)
        if self.token_dropout:
            tokens = self.merges.encode(text, self.token_dropout, Random(int(text_seed)))
        if self.augment is not None:
            generator = torch.Generator().manual_seed(int(audio_seed))
            waveform = perturb(waveform, self.sample_rate, self.augment, generator, self.noises)
        return Example(waveform, tokens, "+".join(part.id for part in spoken), text)

    def _read(self, index: int) -> Example:
        """An utterance as it is, without tokens."""
        utterance = self.manifest[index]
        try:
            waveform = self.cache.get(index, lambda: self._load(utterance))
        except AudioError as error:
            raise AudioError(f"{self.manifest.where(index)}: {error}") from None
        if self.voices is not None:
            waveform = self.voices.equalized(waveform, utterance.speaker)
        return Example(waveform, [], utterance.id, self.normalizer(utterance.text))

    def _load(self, utterance: Utterance) -> Tensor:
        return load(utterance.audio_filepath, self.sample_rate, utterance.offset, utterance.duration)

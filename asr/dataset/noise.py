"""Noises: recordings of which random stretches are added to training audio."""

from collections.abc import Sequence

import torch
from torch import Tensor

from asr.audio import load
from asr.dataset.cache import WaveformCache
from asr.dataset.manifest import Manifest
from asr.errors import AudioError

LONGEST_KEPT_SECONDS = 60.0
"""Shorter recordings are decoded whole and kept; of a longer one only the stretch is decoded, each time."""


class Noises:
    """Random stretches of random recordings.

    Args:
        paths: manifests, at least one; their texts do not matter.
        sample_rate: samples per second of the stretches.
        cache: where decoded recordings are kept.

    Raises:
        ManifestError: a manifest is missing, empty or wrong.
    """

    def __init__(self, paths: Sequence[str], sample_rate: int, cache: WaveformCache) -> None:
        self.manifest = Manifest(*paths)
        self.sample_rate = sample_rate
        self.cache = cache

    def __call__(self, samples: int, generator: torch.Generator) -> Tensor:
        """A stretch of one recording, each recording and each place being equally likely; a short one is repeated.

        Args:
            samples: how long.
            generator: where both draws come from.

        Returns:
            float32, shape (samples,).

        Raises:
            AudioError: the recording cannot be read; names the manifest's line too.
        """
        index = int(torch.randint(len(self.manifest), (), generator=generator))
        place = float(torch.rand((), dtype=torch.float64, generator=generator))
        try:
            return self._stretch(index, place, samples)
        except AudioError as error:
            raise AudioError(f"{self.manifest.where(index)}: {error}") from None

    def _stretch(self, index: int, place: float, samples: int) -> Tensor:
        noise = self.manifest[index]
        path, rate = noise.audio_filepath, self.sample_rate
        room = noise.duration - samples / rate
        if room > 0 and noise.duration > LONGEST_KEPT_SECONDS:
            waveform = load(path, rate, noise.offset + place * room, samples / rate)
            first = 0
        else:
            key = ("noise", index)
            waveform = self.cache.get(key, lambda: load(path, rate, noise.offset, noise.duration))
            places = len(waveform) - samples + 1
            first = int(place * (places if places > 0 else len(waveform)))
        # a file that ends a moment before its manifest says is repeated too
        return waveform.repeat(-(-(first + samples) // len(waveform)))[first : first + samples]

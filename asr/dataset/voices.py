"""Voices: what speakers sound like, and how they are made to sound alike."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from asr.audio import load
from asr.audio.equalization import Voice, equalize_by, hear, long_term_spectrum, typical_spectrum
from asr.dataset.manifest import Utterance
from asr.errors import AudioError

MOST_SECONDS = 120.0
"""So much of each speaker is listened to, in utterances from the beginning to the end of what they said."""


class Voices:
    """The speakers of utterances, equalised; see `asr.audio.equalization`.

    Each one is listened to at once, in a second or so for ten minutes of speech.

    Args:
        utterances: with their speakers, such as a manifest.
        sample_rate: samples per second of all waveforms.
        typical: the spectrum of voices in general (`typical_spectrum`); None is that of the speakers at hand, those
            unknown taken for one.
    """

    def __init__(self, utterances: Sequence[Utterance], sample_rate: int, typical: Tensor | None = None) -> None:
        self.sample_rate = sample_rate
        spoken: dict[str | None, list[int]] = defaultdict(list)
        lengths = array("f")
        for index, utterance in enumerate(utterances):
            lengths.append(utterance.duration)
            if typical is None or utterance.speaker is not None:
                spoken[utterance.speaker].append(index)
        durations = np.array(lengths)
        parts = {speaker: _spread(indices, durations[indices]) for speaker, indices in spoken.items()}
        voices = {speaker: _hear([utterances[index] for index in part], sample_rate) for speaker, part in parts.items()}
        self.typical = typical_spectrum(voices.values()) if typical is None else typical
        self._spectra = {
            speaker: long_term_spectrum(voice, self.typical) for speaker, voice in voices.items() if speaker is not None
        }

    def equalized(self, waveform: Tensor, speaker: str | None) -> Tensor:
        """A waveform (samples,) as if its speaker were any; of an unknown one, by what is heard in it."""
        spectrum = self._spectra.get(speaker) if speaker is not None else None
        return equalize_by(spectrum, waveform, self.sample_rate, self.typical)


def _hear(utterances: Iterable[Utterance], sample_rate: int) -> Voice:
    """The voice in some utterances."""
    waveforms = []
    for utterance in utterances:
        try:
            waveforms.append(load(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration))
        except AudioError:
            continue  # whoever needs the utterance itself will say so
    return hear(waveforms, sample_rate)


def _spread(indices: list[int], durations: np.ndarray) -> list[int]:
    """Some of the utterances, evenly among all, that last `MOST_SECONDS` together; all if they do not."""
    count = max(1, int(len(indices) * min(1.0, MOST_SECONDS / max(float(durations.sum()), 1e-9))))
    return [indices[place] for place in np.linspace(0, len(indices) - 1, count).round().astype(int)]

"""The waveforms of utterances as a recogniser wants them: in batches of similar length, voices made to sound alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from asr.audio.load import load
from asr.dataset.manifest import Utterance
from asr.dataset.voices import Voices
from asr.errors import AsrError
from asr.transcription.recognizer import Recognizer, batches_by_length


@dataclass(frozen=True, slots=True, eq=False)
class WaveformBatch:
    """Places of utterances, their waveforms, each of shape (samples,), and what is wrong with those not to be read."""

    indices: list[int]
    waveforms: list[Tensor]
    errors: dict[int, AsrError]


def waveform_batches(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float
) -> Iterator[WaveformBatch]:
    """Read utterances for `Recognizer.log_probs`, short ones first.

    If it equalises voices, everything that a speaker says in the utterances tells what they sound like.

    Args:
        recognizer: what is to hear them.
        utterances: such as a manifest.
        batch_seconds: most audio in a batch, padding included.
    """
    rate, typical = recognizer.sample_rate, recognizer.typical_voice
    voices = Voices(utterances, rate, typical) if typical is not None else None
    for places in batches_by_length([utterance.duration for utterance in utterances], batch_seconds):
        batch = WaveformBatch([], [], {})
        for index in places:
            utterance = utterances[index]
            try:
                waveform = load(utterance.audio_filepath, rate, utterance.offset, utterance.duration)
                batch.waveforms.append(voices.equalized(waveform, utterance.speaker) if voices else waveform)
                batch.indices.append(index)
            except AsrError as error:
                batch.errors[index] = error
        yield batch

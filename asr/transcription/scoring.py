"""Scoring a recogniser on a manifest, from audio files to error rates."""

import time
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from asr.audio.load import load
from asr.dataset.manifest import Manifest, Utterance
from asr.decoding.tune import Emissions
from asr.errors import AsrError, ManifestError
from asr.evaluation.rates import score
from asr.evaluation.report import Evaluation
from asr.evaluation.significance import bootstrap_interval
from asr.evaluation.speed import Speed
from asr.transcription.recognizer import Recognizer, batches_by_length

Progress = Callable[[int, int], None]
"""Told how many utterances are done, and of how many."""


def evaluate(
    recognizer: Recognizer, manifest: Manifest, batch_seconds: float = 60.0, progress: Progress | None = None
) -> Evaluation:
    """Transcribe every utterance of a manifest and compare with its text; both are normalised as the model's bundle
    says. The time measured runs from opening the files to having the texts; loading the model is no part of it.

    Args:
        recognizer: what to score.
        manifest: what to score it on.
        batch_seconds: most audio in a batch, padding included.
        progress: called after each batch.

    Raises:
        ManifestError: some recordings cannot be read; all of them are named. An error rate over the others only would
            not be the one asked for.
        AsrError: the manifest holds no reference words.
    """
    utterances = list(manifest)
    started = time.perf_counter()
    hypotheses, audio_seconds = _recognize(recognizer, manifest, utterances, batch_seconds, progress)
    seconds = time.perf_counter() - started
    normalizer = recognizer.normalizer
    rates = score(
        [normalizer(utterance.text) for utterance in utterances],
        [normalizer(hypothesis) for hypothesis in hypotheses],
        [utterance.id for utterance in utterances],
    )
    return Evaluation(
        rates=rates,
        wer_interval=bootstrap_interval(
            [utterance.errors for utterance in rates.utterances],
            [utterance.reference_words for utterance in rates.utterances],
        ),
        speed=Speed(audio_seconds, seconds),
        normalization=normalizer.describe(),
    )


def emissions(
    recognizer: Recognizer, manifest: Manifest, batch_seconds: float = 60.0, progress: Progress | None = None
) -> Emissions:
    """What the model makes of every utterance of a manifest, to be decoded as often as one likes.

    Args:
        recognizer: whose log-probabilities, and whose normalisation of the references.
        manifest: what was said.
        batch_seconds: most audio in a batch, padding included.
        progress: called after each batch.

    Raises:
        ManifestError: some recordings cannot be read; all of them are named.
    """
    batches: list[tuple[Tensor, Tensor]] = []
    references: list[str] = []
    utterances = list(manifest)
    for indices, waveforms in _batches(recognizer, manifest, utterances, batch_seconds, progress):
        log_probs, lengths = recognizer.log_probs(waveforms)
        batches.append((log_probs.cpu(), lengths.cpu()))
        references += [recognizer.normalizer(utterances[index].text) for index in indices]
    return Emissions(tuple(batches), tuple(references))


def _recognize(
    recognizer: Recognizer,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    batch_seconds: float,
    progress: Progress | None,
) -> tuple[list[str], float]:
    """The text of each utterance, and the seconds of audio read."""
    texts: dict[int, str] = {}
    samples = 0
    for indices, waveforms in _batches(recognizer, manifest, utterances, batch_seconds, progress):
        samples += sum(len(waveform) for waveform in waveforms)
        decoded = recognizer.decode(waveforms)
        texts |= {index: hypothesis.text for index, hypothesis in zip(indices, decoded, strict=True)}
    return [texts[index] for index in range(len(utterances))], samples / recognizer.sample_rate


def _batches(
    recognizer: Recognizer,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    batch_seconds: float,
    progress: Progress | None,
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """The waveforms of a manifest, in batches of similar length, with their places in it."""
    problems: list[str] = []
    done = 0
    for batch in batches_by_length([utterance.duration for utterance in utterances], batch_seconds):
        waveforms: list[Tensor] = []
        for index in batch:
            try:
                waveforms.append(_waveform(utterances[index], recognizer.sample_rate))
            except AsrError as error:
                problems.append(f"{manifest.where(index)}: {error}")
        if not problems:  # once one is missing there is nothing to score; go on only to name the others
            yield batch, waveforms
        done += len(batch)
        if progress is not None:
            progress(done, len(utterances))
    if problems:
        raise ManifestError(
            f"{manifest.path}: {len(problems)} of {len(utterances)} recordings cannot be read, so nothing was scored; "
            f"repair or remove these lines: {' | '.join(problems)}"
        )


def _waveform(utterance: Utterance, sample_rate: int) -> Tensor:
    return load(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)

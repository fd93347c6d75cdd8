"""Scoring a recogniser on a manifest, from audio files to error rates."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba.core import event
from torch import Tensor

from asr.dataset.manifest import Manifest, Utterance
from asr.decoding.align import align
from asr.decoding.calibrate import spread
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.tune import Emissions
from asr.decoding.words import words
from asr.errors import ManifestError
from asr.evaluation.calibration import Reliability, judge, reliability
from asr.evaluation.rates import ErrorRates, oracle_wer, score
from asr.evaluation.report import Evaluation
from asr.evaluation.significance import bootstrap_interval
from asr.evaluation.speed import Speed
from asr.text.normalize import Normalizer
from asr.transcript import Word
from asr.transcription.recognizer import Recognizer
from asr.transcription.waveforms import waveform_batches

Progress = Callable[[int, int], None]
"""Told how many utterances are done, and of how many."""


def evaluate(
    recognizer: Recognizer, manifest: Manifest, batch_seconds: float = 60.0, progress: Progress | None = None
) -> Evaluation:
    """Transcribe every utterance of a manifest and compare with its text; both are normalised as the model's bundle
    says. The time measured runs from opening the files to having the texts; loading the model is no part of it, nor is
    what is compiled meanwhile, once and for all.

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
    recognized = _recognize(recognizer, manifest, utterances, batch_seconds, progress)
    seconds = time.perf_counter() - started - recognized.apart_seconds
    normalizer = recognizer.normalizer
    references = [normalizer(utterance.text) for utterance in utterances]
    readings = tuple(tuple(normalizer(each.text) for each in nbest) for nbest in recognized.nbest)
    rates = score(references, [each[0] for each in readings], [utterance.id for utterance in utterances])
    ranked = recognizer.decoding.nbest > 1
    return Evaluation(
        rates=rates,
        wer_interval=bootstrap_interval(
            [utterance.errors for utterance in rates.utterances],
            [utterance.reference_words for utterance in rates.utterances],
        ),
        speed=Speed(recognized.audio_seconds, seconds),
        normalization=normalizer.describe(),
        decoding=recognizer.describe_decoding(),
        calibration=_reliability(rates, [nbest[0].words for nbest in recognized.nbest], normalizer),
        uncalibrated=_reliability(rates, recognized.uncalibrated, normalizer),
        readings=readings if ranked else (),
        oracle_wer=oracle_wer(references, readings) if ranked else None,
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


@dataclass(frozen=True, slots=True)
class _Recognized:
    """What was recognised, in the order of the manifest: the hypotheses of each utterance, best first, and the words of
    the best with the confidences of an uncalibrated model. `apart_seconds` were no part of recognition.
    """

    nbest: list[list[Hypothesis]]
    uncalibrated: list[Sequence[Word]]
    audio_seconds: float
    apart_seconds: float


def _recognize(
    recognizer: Recognizer,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    batch_seconds: float,
    progress: Progress | None,
) -> _Recognized:
    """Find the words of each utterance."""
    found: dict[int, list[Hypothesis]] = {}
    uncalibrated: dict[int, Sequence[Word]] = {}
    samples, apart = 0, 0.0
    compilations: list[float] = []
    for indices, waveforms in _batches(recognizer, manifest, utterances, batch_seconds, progress):
        samples += sum(len(waveform) for waveform in waveforms)
        log_probs, lengths = recognizer.log_probs(waveforms)
        with event.install_timer("numba:compile", compilations.append):
            nbest = recognizer.read(log_probs, lengths)
        found |= zip(indices, nbest, strict=True)
        started = time.perf_counter()
        for index, hypotheses, frames, length in zip(indices, nbest, log_probs, lengths.tolist(), strict=True):
            uncalibrated[index] = _uncalibrated(recognizer, hypotheses[0], frames[:length])
        apart += time.perf_counter() - started
    order = range(len(utterances))
    return _Recognized(
        [found[index] for index in order],
        [uncalibrated[index] for index in order],
        samples / recognizer.sample_rate,
        apart + sum(compilations),
    )


def _uncalibrated(recognizer: Recognizer, hypothesis: Hypothesis, log_probs: Tensor) -> Sequence[Word]:
    """The words of a hypothesis, as sure as the model says it is of them."""
    if recognizer.temperature == 1.0:
        return hypothesis.words
    seconds = recognizer.frame_seconds
    return words(align(log_probs, hypothesis.tokens), recognizer.tokenizer, seconds, len(log_probs) * seconds)


def _reliability(rates: ErrorRates, found: Sequence[Sequence[Word]], normalizer: Normalizer) -> Reliability:
    confidences = [spread([(word.text, word.confidence) for word in each], normalizer) for each in found]
    judged = list(judge(rates.utterances, confidences))
    return reliability(
        np.array([confidence for confidence, _ in judged], dtype=np.float64),
        np.array([right for _, right in judged], dtype=bool),
    )


def _batches(
    recognizer: Recognizer,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    batch_seconds: float,
    progress: Progress | None,
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """The waveforms of a manifest and their places in it, in batches of similar length, for the recogniser."""
    problems: list[str] = []
    done = 0
    for batch in waveform_batches(recognizer, utterances, batch_seconds):
        problems += [f"{manifest.where(index)}: {error}" for index, error in batch.errors.items()]
        if not problems:  # once one is missing there is nothing to score; go on only to name the others
            yield batch.indices, batch.waveforms
        done += len(batch.indices) + len(batch.errors)
        if progress is not None:
            progress(done, len(utterances))
    if problems:
        raise ManifestError(
            f"{manifest.path}: {len(problems)} of {len(utterances)} recordings cannot be read, so nothing was scored; "
            f"repair or remove these lines: {' | '.join(problems)}"
        )

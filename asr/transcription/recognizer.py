"""A recogniser: a model bundle that reads recordings and writes transcripts."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.audio.equalization import equalize_by, hear, long_term_spectrum
from asr.audio.load import info, load
from asr.config import Precision
from asr.decoding.decoder import LM_FOLDER, DecodingOptions, build_decoder, describe
from asr.decoding.hypothesis import Hypothesis
from asr.errors import AsrError, AudioError, ConfigError
from asr.model.bundle import Bundle, load_bundle
from asr.model.precision import choose_precision
from asr.text.normalize import Normalizer
from asr.transcript import Segment, Transcript, Word
from asr.transcription.alternatives import RankedTranscript

PAUSE_SECONDS = 0.8
"""A longer silence between two words opens a new segment."""
SEGMENT_SECONDS, SEGMENT_LETTERS = 7.0, 84
"""What lasts longer, or is longer, than a subtitle may is parted into several segments. These are the limits of
Netflix's Timed Text Style Guides: 7 s, and two lines of 42 characters."""
POOL_BATCHES = 8
"""Batches' worth of audio that `transcribe_files` sorts by length at a time; more pads less, but answers later."""


class Recognizer:
    """Transcribes waveforms and files, alone or in batches, with the same result.

    Args:
        bundle: model, tokenizer and settings; the model is moved to `device` and put in eval mode.
        device: where the model runs; None is the GPU if there is one, else the CPU.
        decoding: how its log-probabilities are read; None is greedily.
        bundled_lm: the folder of the bundle's own language model, for beam search; it need not exist.
        precision: of the model's products. `bf16` is two to three times as fast on processors that multiply it in
            hardware, and may change a character where the model is in doubt; `auto` is that where it is so.

    Raises:
        ConfigError: there is no such device.
        AsrError: what the decoding asks for cannot be had; see `asr.decoding.build_decoder`.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device | str | None = None,
        decoding: DecodingOptions | None = None,
        bundled_lm: Path | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.device = _find(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = choose_precision(precision, self.device)
        self.model = bundle.model.to(self.device).eval()
        self.tokenizer = bundle.tokenizer
        self.normalizer = Normalizer(bundle.text)
        self.sample_rate = bundle.features.sample_rate
        equalizes = bundle.features.equalization == "speaker"
        self.typical_voice = bundle.model.features.typical_voice.cpu() if equalizes else None
        """The spectrum of voices in general, for a model that wants them equalised."""
        self.frame_seconds = bundle.model.frame_seconds
        self.decoding = decoding or DecodingOptions()
        self.temperature = bundle.calibration.beam if self.decoding.beam_size else bundle.calibration.greedy
        self._decode = build_decoder(self.decoding, bundle, bundled_lm)
        self._bundled_lm = bundled_lm

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: torch.device | str | None = None,
        decoding: DecodingOptions | None = None,
        precision: Precision = "fp32",
    ) -> "Recognizer":
        """Read a model bundle; a language model inside serves beam search if `decoding` names no other.

        Raises:
            BundleError: the bundle is missing, incomplete, or made by a newer version.
            AsrError: the device, or what the decoding asks for, cannot be had.
        """
        return cls(load_bundle(folder), device, decoding, Path(folder) / LM_FOLDER, precision)

    def log_probs(self, waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the tokens of some waveforms, at least one.

        Args:
            waveforms: float32 in [-1, 1] at `sample_rate`, each of shape (samples,); equalised, if the recogniser has a
                `typical_voice`.

        Returns:
            log_probs (batch, frames, tokens), natural logs, and their lengths (batch,), on the recogniser's device.
        """
        lengths = torch.tensor([len(waveform) for waveform in waveforms], device=self.device)
        bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), bf16:
            return self.model.log_probs(pad_sequence(list(waveforms), batch_first=True).to(self.device), lengths)

    def decode(self, waveforms: Sequence[Tensor], voice: Tensor | None = None) -> list[Hypothesis]:
        """The best hypothesis of each waveform, of shape (samples,) at `sample_rate`; `voice` as for `nbest`."""
        return [hypotheses[0] for hypotheses in self.nbest(waveforms, voice)]

    def nbest(self, waveforms: Sequence[Tensor], voice: Tensor | None = None) -> list[list[Hypothesis]]:
        """The hypotheses of each waveform, at least one and at most `decoding.nbest`, best first.

        Args:
            waveforms: each of shape (samples,) at `sample_rate`.
            voice: the long-term spectrum of whoever speaks in all of them, which a recogniser that equalises voices
                wants to know; None is that each is by somebody else, who is known by it alone.
        """
        if (typical := self.typical_voice) is not None:
            waveforms = [equalize_by(voice, waveform, self.sample_rate, typical) for waveform in waveforms]
        return self.read(*self.log_probs(waveforms)) if waveforms else []

    def voice(self, paths: Iterable[Path | str]) -> Tensor:
        """The long-term spectrum of whoever speaks in all these files; those that cannot be read are passed over.

        Raises:
            ConfigError: the recogniser has no use for it.
        """
        if self.typical_voice is None:
            raise ConfigError(
                "one speaker: this model was not trained to be told of voices; transcribe without --one-speaker, or "
                'train one with features.equalization = "speaker"'
            )

        def waveforms() -> Iterator[Tensor]:
            for path in paths:
                with contextlib.suppress(AudioError):
                    yield load(path, self.sample_rate)

        return long_term_spectrum(hear(waveforms(), self.sample_rate), self.typical_voice)

    def read(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """As `nbest`, from log-probabilities (batch, frames, tokens) and lengths (batch,)."""
        return self._decode(log_probs, lengths)

    def describe_decoding(self) -> dict[str, Any]:
        """How text is found, as plain values: `asr.decoding.decoder.describe`, and the precision if it is not fp32."""
        rounded = {} if self.precision == "fp32" else {"precision": self.precision}
        return describe(self.decoding, self._bundled_lm) | rounded

    def transcribe(self, audio: Path | str | Tensor) -> Transcript:
        """Transcribe a file, or a waveform of shape (samples,) at `sample_rate`.

        Raises:
            AudioError: the file cannot be read.
        """
        waveform = audio if isinstance(audio, Tensor) else load(audio, self.sample_rate)
        return self.transcribe_batch([waveform])[0]

    def transcribe_batch(self, waveforms: Sequence[Tensor], voice: Tensor | None = None) -> list[Transcript]:
        """Transcribe waveforms, each of shape (samples,) at `sample_rate`, in one batch; `voice` as for `nbest`.

        Returns:
            Transcripts; if more than the best hypothesis is asked for, each is a `RankedTranscript`.
        """
        return [
            self._transcript(hypotheses, len(waveform) / self.sample_rate)
            for hypotheses, waveform in zip(self.nbest(waveforms, voice), waveforms, strict=True)
        ]

    def _transcript(self, hypotheses: Sequence[Hypothesis], duration: float) -> Transcript:
        best = transcript(hypotheses[0].words, duration)
        if self.decoding.nbest == 1:
            return best
        return RankedTranscript(best.text, best.segments, best.duration, tuple(hypotheses))

    def transcribe_files(
        self, paths: Iterable[Path | str], batch_seconds: float = 60.0, voice: Tensor | None = None
    ) -> Iterator[tuple[Path, Transcript | AsrError]]:
        """Transcribe files, several of similar length at a time; one that cannot be read does not stop the others.

        Args:
            paths: read lazily, some eight batches at a time.
            batch_seconds: most audio in a batch, padding included; a longer file is a batch of its own.
            voice: as for `nbest`, of all the files.

        Yields:
            Each path with its transcript, or with the error that names it, in the given order.
        """
        pool: list[tuple[Path, float | AsrError]] = []
        seconds = 0.0
        for path in map(Path, paths):
            pool.append((path, duration := _duration(path)))
            seconds += 0.0 if isinstance(duration, AsrError) else duration
            if seconds >= POOL_BATCHES * batch_seconds:
                yield from self._transcribe_pool(pool, batch_seconds, voice)
                pool, seconds = [], 0.0
        yield from self._transcribe_pool(pool, batch_seconds, voice)

    def _transcribe_pool(
        self, pool: Sequence[tuple[Path, float | AsrError]], batch_seconds: float, voice: Tensor | None
    ) -> Iterator[tuple[Path, Transcript | AsrError]]:
        """Transcribe files whose durations are known, in batches of similar length; yields them in the given order."""
        durations = {index: each for index, (_, each) in enumerate(pool) if not isinstance(each, AsrError)}
        results: dict[int, Transcript | AsrError] = {
            index: each for index, (_, each) in enumerate(pool) if isinstance(each, AsrError)
        }
        indices = list(durations)
        for batch in batches_by_length(list(durations.values()), batch_seconds):
            waveforms: dict[int, Tensor] = {}
            for index in (indices[position] for position in batch):
                try:
                    waveforms[index] = load(pool[index][0], self.sample_rate)
                except AsrError as error:
                    results[index] = error
            results |= zip(waveforms, self.transcribe_batch(list(waveforms.values()), voice), strict=True)
        for index, (path, _) in enumerate(pool):
            yield path, results[index]


def batches_by_length(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Put items of similar duration together, so that little of a batch is padding; shortest first.

    Args:
        durations: seconds of each item.
        batch_seconds: most seconds in a batch, padding included; a longer item is a batch of its own.

    Returns:
        Positions in `durations`, each in exactly one batch.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(durations)), key=durations.__getitem__):
        if batches and durations[index] * (len(batches[-1]) + 1) <= batch_seconds:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _find(name: torch.device | str) -> torch.device:
    """The device of this name, where there is one."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # PyTorch knows names of devices that it cannot compute on
    except (RuntimeError, AssertionError, ImportError):
        raise ConfigError(f"--device {name}: there is none here; leave out --device, or name another") from None
    return device


def _duration(path: Path) -> float | AsrError:
    try:
        return info(path).duration
    except AsrError as error:
        return error


def transcript(words: Sequence[Word], duration: float) -> Transcript:
    """Make segments of words as `stretches` does, none beyond `SEGMENT_SECONDS` or `SEGMENT_LETTERS`."""
    segments = tuple(
        Segment(
            start=group[0].start,
            end=group[-1].end,
            text=" ".join(word.text for word in group),
            confidence=sum(word.confidence for word in group) / len(group),
            words=tuple(group),
        )
        for group in stretches(words, duration, SEGMENT_SECONDS, SEGMENT_LETTERS)
    )
    return Transcript(" ".join(segment.text for segment in segments), segments, duration)


def stretches(
    words: Sequence[Word], duration: float, longest_seconds: float, most_letters: float = math.inf
) -> list[list[Word]]:
    """Part words at every pause longer than `PAUSE_SECONDS`, and what is still too long at its longest pause.

    Args:
        words: in order of time; one that ends after the audio is cut there.
        duration: seconds of audio.
        longest_seconds: from the first word's start to the last one's end; a single word may be longer.
        most_letters: in the words and the spaces between them; a single word may be longer.
    """
    inside = [replace(word, start=min(word.start, duration), end=min(word.end, duration)) for word in words]
    found, todo = [], [inside] if inside else []
    while todo:
        group = todo.pop()
        pauses = [round(after.start - before.end, 3) for before, after in pairwise(group)]
        longest = max(pauses, default=0.0)
        lasts, letters = group[-1].end - group[0].start, sum(len(word.text) + 1 for word in group) - 1
        if pauses and (longest > PAUSE_SECONDS or lasts > longest_seconds or letters > most_letters):
            middle = group[0].start + lasts / 2  # where pauses are equal, stretches shall be
            places = [place for place, pause in enumerate(pauses, start=1) if pause == longest]
            place = min(places, key=lambda place: abs(group[place].start - middle))
            todo += [group[place:], group[:place]]
        else:
            found.append(group)
    return found

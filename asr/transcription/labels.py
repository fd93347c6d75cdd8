"""Labels: what a recogniser reads in recordings that nobody has transcribed, and how sure it is, to train on.

Self-training, or pseudo-labelling (Kahn et al. 2020, arXiv 1909.09116): a recogniser labels recordings, learns from
transcripts and labels, or another does from the beginning, and may label them anew.

How sure it is of a text of W words is p(text | recording)^(1/W), CTC's sum over all alignments, whatever a language
model thinks of it: the mean probability of a word after those before. Of what is read most surely by this less is wrong
than by confidences of words (measured: recipes/an4/RESULTS.md, "What untranscribed recordings teach").
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.audio.load import info
from asr.dataset.manifest import Manifest, Utterance, is_text, shown
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.phrases import Phrases, balance
from asr.errors import AsrError, AudioError, ConfigError
from asr.model.ctc import ctc_losses
from asr.transcript import Word
from asr.transcription.recognizer import PAUSE_SECONDS, Recognizer, stretches
from asr.transcription.waveforms import waveform_batches

LONGEST_SECONDS = 20.0
"""Longer recordings are cut at their pauses: training on them takes much memory, and its limit is 30 s by default."""

Progress = Callable[[float, float], None]
"""Told how many seconds of audio are done, and of how many."""

T = TypeVar("T")
_Reading = tuple[Hypothesis, float]
"""What is read in an utterance, and how surely."""


@dataclass(frozen=True, slots=True)
class Label:
    """An utterance with the text that was read in it, and how surely, 0..1; that is 0 if there is no word."""

    utterance: Utterance
    sureness: float


def unlabelled(path: Path, speaker: str | None = None) -> Sequence[Utterance]:
    """The utterances of a manifest (named *.jsonl), or a recording as one utterance.

    Args:
        path: the file.
        speaker: who says all of it; None is whom the manifest names, if anyone.

    Raises:
        AsrError: it cannot be read.
    """
    if path.suffix == ".jsonl":
        found: Sequence[Utterance] = Manifest(path)
    else:
        if not is_text(str(path.absolute())):
            raise AudioError(f"{shown(path)}: its name is not Unicode, which no manifest can hold; rename it")
        found = [Utterance(path.absolute(), info(path).duration, text="", id=path.stem)]
    return found if speaker is None else [replace(utterance, speaker=speaker) for utterance in found]


def read_labels(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    batch_seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Label | AsrError]:
    """Read utterances, whatever their texts say; those of more than `LONGEST_SECONDS` are cut at pauses first.

    Args:
        recognizer: what reads them, and how.
        utterances: to be labelled.
        batch_seconds: most audio in a batch, padding included.
        progress: called after each batch.

    Returns:
        Each in turn, the parts of a long one in the order of time; or the error that names it.
    """
    long = [utterance for utterance in utterances if utterance.duration > LONGEST_SECONDS]
    tell = _counter(progress, sum(utterance.duration for utterance in (*utterances, *long)))

    def read_surely(log_probs: Tensor, lengths: Tensor) -> Iterable[_Reading]:
        best = [hypotheses[0] for hypotheses in recognizer.read(log_probs, lengths)]
        return zip(best, surenesses(log_probs, lengths, best), strict=True)

    parts: list[Utterance | AsrError] = []
    whole = iter(_read(recognizer, long, batch_seconds, tell, read_surely))
    for utterance in utterances:
        if utterance.duration <= LONGEST_SECONDS:
            parts.append(utterance)
        else:
            read = next(whole)
            parts += [read] if isinstance(read, AsrError) else cut(utterance, read[0].words)
    readable = [part for part in parts if not isinstance(part, AsrError)]
    labels = iter(_read(recognizer, readable, batch_seconds, tell, read_surely))
    return [part if isinstance(part, AsrError) else _label(part, next(labels)) for part in parts]


def choose_phrases(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    phrases: Sequence[str],
    balanced: bool = False,
    batch_seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Label | AsrError]:
    """Find which of some phrases each utterance says; how sure it is, is the phrase's probability among them.

    One that is too short for all of them says nothing, which is not sure at all.

    Args:
        recognizer: what hears them.
        utterances: to be labelled.
        phrases: as people write them.
        balanced: each is said equally often (`asr.decoding.phrases.balance`).
        batch_seconds: most audio in a batch, padding included.
        progress: called after each batch.

    Raises:
        TextError: a phrase cannot be written in the tokens of the model.
        ConfigError: they cannot be balanced, since there are more phrases than utterances that can say one.
    """
    search = Phrases(recognizer.tokenizer, map(recognizer.normalizer, phrases), recognizer.frame_seconds)
    tell = _counter(progress, sum(utterance.duration for utterance in utterances))
    found = _read(recognizer, utterances, batch_seconds, tell, lambda *heard: iter(search.scores(*heard)))
    possible = [row for row in found if not isinstance(row, AsrError) and _can_say_any(row)]
    if balanced and len(possible) < len(search.texts):
        raise ConfigError(
            f"balanced: {len(possible)} recordings cannot say {len(search.texts)} phrases equally often; give more of "
            "them, long enough for a phrase"
        )
    scores = torch.stack(possible).clamp_min(-1e9) if possible else torch.empty(0, len(search.texts))
    posteriors = iter((scores + balance(scores) if balanced else scores).softmax(dim=1))

    def label(utterance: Utterance, row: Tensor) -> Label:
        if not _can_say_any(row):
            return Label(replace(utterance, text=""), 0.0)
        probability, number = next(posteriors).max(dim=0)
        return Label(replace(utterance, text=search.texts[int(number)]), float(probability))

    return [row if isinstance(row, AsrError) else label(each, row) for each, row in zip(utterances, found, strict=True)]


def _can_say_any(scores: Tensor) -> bool:
    """Whether an utterance is long enough for at least one phrase; scores (phrases,)."""
    return bool((scores > -math.inf).any())


def cut(utterance: Utterance, words: Sequence[Word]) -> list[Utterance]:
    """The stretches of an utterance in which something is said, parted at every pause longer than `PAUSE_SECONDS`.

    What then still lasts longer than `LONGEST_SECONDS` is parted at its longest pauses, however short they are.

    Args:
        utterance: a recording, or a part of one.
        words: what is said in it, timed from its beginning.

    Returns:
        Half of `PAUSE_SECONDS` of silence is left to them at either end, or half of the pause where there is less. If
        nobody is named as their speaker, the recording is: it is one voice, as far as is known.
    """
    speaker = utterance.speaker or str(utterance.audio_filepath)
    margin, parts = PAUSE_SECONDS / 2, []
    groups = stretches(words, utterance.duration, LONGEST_SECONDS - 2 * margin)
    befores = [-math.inf, *(group[-1].end for group in groups)]
    afters = [*(group[0].start for group in groups[1:]), math.inf]
    for before, group, after in zip(befores, groups, afters, strict=False):
        start = max(0.0, group[0].start - min(margin, (group[0].start - before) / 2))
        end = min(utterance.duration, group[-1].end + min(margin, (after - group[-1].end) / 2))
        offset, duration = round(utterance.offset + start, 3), round(end - start, 3)
        name = f"{utterance.id}-{offset:.3f}"
        parts.append(replace(utterance, offset=offset, duration=duration, speaker=speaker, id=name))
    return parts


def surenesses(log_probs: Tensor, lengths: Tensor, hypotheses: Sequence[Hypothesis]) -> list[float]:
    """How sure a model is of hypotheses: the probability of each text to the power 1 / words; 0 where there is none.

    Args:
        log_probs: (batch, frames, tokens) natural logs.
        lengths: (batch,) valid frames.
        hypotheses: one of each utterance.
    """
    tokens = [torch.tensor(hypothesis.tokens, dtype=torch.long) for hypothesis in hypotheses]
    counts = torch.tensor([len(each) for each in tokens])
    losses, alignable = ctc_losses(log_probs.cpu(), lengths.cpu(), pad_sequence(tokens, batch_first=True), counts)
    words = torch.tensor([len(hypothesis.text.split()) for hypothesis in hypotheses])
    said = alignable & (words > 0)
    found: list[float] = torch.where(said, torch.exp(-losses / words.clamp_min(1)), 0.0).tolist()
    return found


def _counter(progress: Progress | None, total: float) -> Callable[[float], None]:
    """Adds up what is done, and tells how much it is."""
    done = 0.0

    def tell(seconds: float) -> None:
        nonlocal done
        done += seconds
        if progress is not None:
            progress(done, total)

    return tell


def _label(utterance: Utterance, read: _Reading | AsrError) -> Label | AsrError:
    return read if isinstance(read, AsrError) else Label(replace(utterance, text=read[0].text), read[1])


def _read(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    batch_seconds: float,
    tell: Callable[[float], None],
    read: Callable[[Tensor, Tensor], Iterable[T]],
) -> list[T | AsrError]:
    """What is made of each utterance from its log-probabilities, or what is wrong with it."""
    found: dict[int, T | AsrError] = {}
    for batch in waveform_batches(recognizer, utterances, batch_seconds):
        found |= batch.errors
        if batch.waveforms:
            found |= zip(batch.indices, read(*recognizer.log_probs(batch.waveforms)), strict=True)
        tell(sum(utterances[index].duration for index in (*batch.indices, *batch.errors)))
    return [found[index] for index in range(len(utterances))]

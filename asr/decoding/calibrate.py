"""Calibration: the softmax temperature at which a decoder's confidences are true, fitted on stored log-probabilities.

It acts on the log-probabilities of the frames in which a word's tokens are said, after the text and its alignment have
been found, so it changes confidences and nothing else: no text, no score, no time. Measured on AN4, fitted on dev
alike: by likelihood and Brier score on test it does better than a power of the words' confidences, and than a
temperature of their logits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from asr.decoding.align import align, temper
from asr.decoding.decoder import Decoder
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.tune import Emissions
from asr.decoding.words import group
from asr.evaluation.calibration import Reliability, fit_temperature, judge, reliability
from asr.evaluation.rates import ErrorRates, score
from asr.text.normalize import Normalizer
from asr.text.tokenizer import Tokenizer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How confidences fare on dev: before, as the model says them, and after, at the temperature fitted there."""

    rates: ErrorRates
    temperature: float
    before: Reliability
    after: Reliability


@dataclass(frozen=True, slots=True, eq=False)
class WordFrames:
    """The frames in which the tokens of words are said, to ask for the words' confidences at any temperature.

    `log_probs` (frames, tokens) and `said` (frames,), the token said there; `spans` (frames,), the number of that
    token among all; `members` (2, pairs), which token belongs to which word.
    """

    log_probs: torch.Tensor
    said: torch.Tensor
    spans: Any
    members: Any

    def confidences(self, temperature: float) -> Any:
        """Of each word, shape (words,): what `asr.decoding.words` computes from tempered log-probabilities."""
        frames = temper(self.log_probs, self.said, temperature).clamp(max=0.0).double().numpy()
        tokens = np.bincount(self.spans, frames) / np.bincount(self.spans)
        parts, words = self.members
        return np.exp(np.bincount(words, tokens[parts]) / np.bincount(words))


def calibrate(emissions: Emissions, decode: Decoder, tokenizer: Tokenizer, normalizer: Normalizer) -> Calibrated:
    """Fit the temperature of a decoder's confidences, so that they foretell best which words are right.

    Args:
        emissions: of the development set; the test set must not be seen here.
        decode: what finds the words.
        tokenizer: the one the log-probabilities belong to.
        normalizer: what hypotheses are normalised with before they are compared.

    Raises:
        AsrError: the references hold no words.
    """
    hypotheses = [found[0] for log_probs, lengths in emissions.batches for found in decode(log_probs, lengths)]
    rates = score(emissions.references, [normalizer(hypothesis.text) for hypothesis in hypotheses])
    frames, texts = _collect(emissions, hypotheses, tokenizer)
    judged = list(judge(rates.utterances, [spread(words, normalizer) for words in texts]))
    kept = np.array([number for number, _ in judged], dtype=np.int64)
    correct = np.array([right for _, right in judged], dtype=bool)

    def confidences(temperature: float) -> Any:
        return frames.confidences(temperature)[kept]

    temperature = fit_temperature(confidences, correct)
    before, after = (reliability(confidences(each), correct) for each in (1.0, temperature))
    return Calibrated(rates, temperature, before, after)


def _collect(
    emissions: Emissions, hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer
) -> tuple[WordFrames, list[list[tuple[str, int]]]]:
    """The frames of all words, and the words of each utterance with their numbers there."""
    log_probs: list[torch.Tensor] = [torch.empty(0, tokenizer.size)]
    said: list[int] = []
    spans: list[int] = []
    members: list[tuple[int, int]] = []
    texts: list[list[tuple[str, int]]] = []
    words = tokens = 0
    for frames, hypothesis in zip(_utterances(emissions), hypotheses, strict=True):
        found = align(frames, hypothesis.tokens)
        numbers = {span: number for number, span in enumerate(found, start=tokens)}
        for span, number in numbers.items():
            log_probs.append(frames[span.start_frame : span.end_frame].float())
            said += [span.token] * (span.end_frame - span.start_frame)
            spans += [number] * (span.end_frame - span.start_frame)
        grouped = group(found, tokenizer.tokens)
        for number, (_, parts) in enumerate(grouped, start=words):
            members += [(numbers[part], number) for part in parts]
        texts.append([(text, number) for number, (text, _) in enumerate(grouped, start=words)])
        tokens, words = tokens + len(found), words + len(grouped)
    pairs = np.array(members, dtype=np.int64).reshape(-1, 2).T
    return WordFrames(
        torch.cat(log_probs), torch.tensor(said, dtype=torch.long), np.array(spans, np.int64), pairs
    ), texts


def _utterances(emissions: Emissions) -> Iterator[torch.Tensor]:
    for log_probs, lengths in emissions.batches:
        yield from (frames[:length] for frames, length in zip(log_probs, lengths.tolist(), strict=True))


def spread(words: Iterable[tuple[str, T]], normalizer: Normalizer) -> list[T]:
    """What is known of words, for the words that normalisation makes of them: none or several of one.

    Args:
        words: the text of each, and what is known of it.
        normalizer: what they are compared with the reference in.
    """
    return [known for text, known in words for _ in normalizer(text).split()]

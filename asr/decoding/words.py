"""Words and their times, from the spans of their tokens.

Output frame t is centred on t * frame_seconds and stands for half a frame to either side. A CTC model says a token in
a narrow spike somewhere inside the sound, so the frames from a word's first to its last token are too short a time.
Each edge of a word therefore moves into the silence or blanks around it: by `REACH_SECONDS` at most, and never beyond
the middle of the gap to the neighbouring word or the ends of the recording. So words never overlap.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from asr.decoding.align import align
from asr.decoding.hypothesis import Hypothesis, TokenSpan
from asr.text.tokenizer import Tokenizer
from asr.transcript import Word

REACH_SECONDS = 0.1


def timed(
    hypothesis: Hypothesis,
    log_probs: torch.Tensor,
    tokenizer: Tokenizer,
    frame_seconds: float,
    temperature: float = 1.0,
) -> Hypothesis:
    """A hypothesis with its words, where the best path that writes its tokens puts them.

    Args:
        hypothesis: its `words` are replaced.
        log_probs: natural logs, shape (frames, tokens), valid frames only.
        tokenizer: its `tokens` are the texts of the token ids.
        frame_seconds: seconds from one frame to the next.
        temperature: of the words' confidences, and of nothing else (`asr.decoding.align.temper`).

    Raises:
        TextError, ValueError: as `align` does.
    """
    spans = align(log_probs, hypothesis.tokens, temperature)
    duration = max(0.0, len(log_probs) - 0.5) * frame_seconds
    return replace(hypothesis, words=words(spans, tokenizer, frame_seconds, duration))


def words(spans: Sequence[TokenSpan], tokenizer: Tokenizer, frame_seconds: float, duration: float) -> tuple[Word, ...]:
    """Join tokens to words, each with start, end and confidence.

    Words are separated by spaces, whether these are tokens (characters) or open a token (BPE).

    Args:
        spans: the tokens of one utterance, in order of time.
        tokenizer: its `tokens` are the texts of the token ids.
        frame_seconds: seconds from one frame to the next.
        duration: seconds of audio; no word ends later.

    Returns:
        Words in order, 0 <= start <= end <= next start, end <= duration. The confidence of a word is the geometric
        mean of its tokens' confidences, spaces apart.
    """
    grouped = group(spans, tokenizer.tokens)
    starts = [(members[0].start_frame - 0.5) * frame_seconds for _, members in grouped]
    ends = [(members[-1].end_frame - 0.5) * frame_seconds for _, members in grouped]
    middles = [(end + start) / 2 for end, start in zip(ends, starts[1:], strict=False)]
    earliest = [0.0, *middles]
    latest = [*middles, duration]
    return tuple(
        Word(
            start=min(max(start - REACH_SECONDS, low, 0.0), duration),
            end=min(max(min(end + REACH_SECONDS, high), 0.0), duration),
            text=text,
            confidence=_geometric_mean([span.confidence for span in members]),
        )
        for (text, members), start, end, low, high in zip(grouped, starts, ends, earliest, latest, strict=False)
    )


def group(spans: Sequence[TokenSpan], tokens: Sequence[str]) -> list[tuple[str, list[TokenSpan]]]:
    """The text of each word with the spans that write it; a span with a space inside writes two.

    Args:
        spans: the tokens of one utterance, in order of time.
        tokens: the texts of the token ids.
    """
    grouped: list[tuple[str, list[TokenSpan]]] = [("", [])]
    for span in spans:
        first, *others = tokens[span.token].split(" ")
        for number, part in enumerate((first, *others)):
            if number:  # a space came before this part
                grouped.append(("", []))
            if part:
                text, members = grouped[-1]
                grouped[-1] = (text + part, [*members, span])
    return [(text, members) for text, members in grouped if text]


def _geometric_mean(values: Sequence[float]) -> float:
    if min(values) <= 0.0:
        return 0.0
    return min(1.0, math.exp(sum(map(math.log, values)) / len(values)))

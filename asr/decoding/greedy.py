"""Greedy decoding: the most likely token of every frame, repeats collapsed, blanks dropped (Graves et al. 2006)."""

import torch

from asr.decoding.align import spans, temper
from asr.decoding.hypothesis import Hypothesis, TokenSpan
from asr.decoding.words import words
from asr.text.tokenizer import Tokenizer


def greedy(
    log_probs: torch.Tensor, lengths: torch.Tensor, tokenizer: Tokenizer, frame_seconds: float, temperature: float = 1.0
) -> list[Hypothesis]:
    """Read the best path of each utterance.

    The best path of all is also the best among those that write its tokens, so it is their forced alignment, and words
    take their times from it (up to the end of the last frame, which may lie half a frame after the end of the audio).

    Args:
        log_probs: natural logs, shape (batch, frames, tokens).
        lengths: valid frames of each utterance, shape (batch,).
        tokenizer: its `tokens` are the texts of the token ids.
        frame_seconds: seconds from one frame to the next.
        temperature: of the confidences, and of nothing else (`asr.decoding.align.temper`).

    Returns:
        One hypothesis an utterance. `score`, and equally `acoustic_score`, is the log-probability of the single best
        path, a lower bound of the text's; `lm_score` is 0.
    """
    best, path = log_probs.detach().max(dim=-1)
    valid = torch.arange(log_probs.shape[1], device=log_probs.device) < lengths.to(log_probs.device)[:, None]
    scores = torch.where(valid, best, 0.0).sum(dim=1, dtype=torch.float64).tolist()
    frames = lengths.tolist()
    sure = best if temperature == 1.0 else temper(log_probs.detach(), path, temperature)
    found = spans(path[valid].cpu().numpy(), sure[valid].float().cpu().numpy(), frames)
    return [
        _hypothesis(members, score, tokenizer, frame_seconds, length)
        for members, score, length in zip(found, scores, frames, strict=True)
    ]


def _hypothesis(
    members: list[TokenSpan], score: float, tokenizer: Tokenizer, frame_seconds: float, frames: int
) -> Hypothesis:
    timed = words(members, tokenizer, frame_seconds, duration=max(0.0, frames - 0.5) * frame_seconds)
    return Hypothesis(
        text=" ".join(word.text for word in timed),
        tokens=tuple(span.token for span in members),
        score=score,
        acoustic_score=score,
        lm_score=0.0,
        words=timed,
    )

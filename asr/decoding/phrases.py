"""Phrases: which one of a list is said, for recordings of one command, digit or name each.

Each phrase is scored whole, by all its alignments; nothing is searched for, and nothing else is ever written.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from asr.decoding.hypothesis import Hypothesis
from asr.decoding.lexicon import writable
from asr.decoding.words import timed
from asr.errors import TextError
from asr.model.ctc import ctc_losses
from asr.text.tokenizer import Tokenizer

MOST_ROUNDS, CLOSE = 1000, 1e-4
"""Balancing ends when each phrase's share is so close to what it should be, relatively, or after so many rounds."""


class Phrases:
    """Reads each utterance as the most probable phrase of a list.

    Args:
        tokenizer: the one the log-probabilities belong to.
        phrases: normalised as the transcripts were; repeated ones count once.
        frame_seconds: seconds from one frame to the next.
        nbest: the most hypotheses to return.
        temperature: of the words' confidences, and of nothing else (`asr.decoding.align.temper`).

    Raises:
        TextError: some cannot be written in the tokens, or there are none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        phrases: Iterable[str],
        frame_seconds: float,
        nbest: int = 1,
        temperature: float = 1.0,
    ) -> None:
        self._spelled = [(each, tuple(tokenizer.encode(each))) for each in writable(phrases, tokenizer, "phrases")]
        if not self._spelled:
            raise TextError("phrases: there are none; name at least one")
        self._tokenizer = tokenizer
        self._frame_seconds = frame_seconds
        self._nbest = nbest
        self._temperature = temperature

    @property
    def texts(self) -> list[str]:
        """The phrases, in the order in which `scores` has them."""
        return [text for text, _ in self._spelled]

    def scores(self, log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The log-probability of each phrase, over all its alignments; -inf where it has too many tokens.

        Args:
            log_probs: natural logs, shape (batch, frames, tokens).
            lengths: valid frames of each utterance, shape (batch,).

        Returns:
            Shape (batch, phrases), on the CPU.
        """
        log_probs, lengths, found = log_probs.detach().cpu(), lengths.cpu(), []
        for _, tokens in self._spelled:
            counts = torch.full_like(lengths, len(tokens))
            losses, alignable = ctc_losses(log_probs, lengths, torch.tensor([tokens]).expand(len(lengths), -1), counts)
            found.append(torch.where(alignable, -losses, -math.inf))
        return torch.stack(found, dim=1)

    def __call__(self, log_probs: torch.Tensor, lengths: torch.Tensor) -> list[list[Hypothesis]]:
        """Read a batch, shapes as in `scores`.

        Returns:
            Of each utterance at least one and at most `nbest` hypotheses, best first. `score`, and equally
            `acoustic_score`, is the phrase's log-probability; `lm_score` is 0. A phrase that the utterance is too short
            for is none of them; where it is too short for all, the one hypothesis has no text, and a score of -inf.
        """
        scores, order = self.scores(log_probs, lengths).sort(dim=1, descending=True, stable=True)
        return [
            [
                self._hypothesis(number, score, frames[:length])
                for number, score in zip(numbers[: self._nbest], ranked, strict=False)
                if score > -math.inf
            ]
            or [Hypothesis("", (), -math.inf, -math.inf, 0.0, ())]
            for numbers, ranked, frames, length in zip(
                order.tolist(), scores.tolist(), log_probs, lengths.tolist(), strict=True
            )
        ]

    def _hypothesis(self, number: int, score: float, log_probs: torch.Tensor) -> Hypothesis:
        text, tokens = self._spelled[number]
        found = Hypothesis(text, tokens, score, score, 0.0, ())
        return timed(found, log_probs, self._tokenizer, self._frame_seconds, self._temperature)


def balance(scores: torch.Tensor) -> torch.Tensor:
    """What to add to the score of each phrase so that, over all utterances, each is said equally often.

    A model that does not know a voice hears one phrase in another, always the same way, and is sure of it. Where it is
    known how often each is said, that tells: the posteriors are adjusted to other priors (Saerens et al. 2002, equation
    4), those with which the mean posterior is even (distribution alignment, Berthelot et al. 2020, arXiv 1911.09785).

    Args:
        scores: log-probabilities, shape (utterances, phrases), at least one of each.

    Returns:
        Natural logs, shape (phrases,); `(scores + balance(scores)).softmax(1).mean(0)` is 1 / phrases for each.
    """
    scores = scores.double()
    weights = scores.new_zeros(scores.shape[1])
    for _ in range(MOST_ROUNDS):
        shares = (scores + weights).softmax(dim=1).mean(dim=0) * len(weights)
        if (shares - 1).abs().max() < CLOSE:
            break
        weights -= shares.clamp_min(1e-30).log()  # Sinkhorn and Knopp 1967: the columns' turn, then the rows'
    return weights


def read_phrases(path: Path | str) -> list[str]:
    """The phrases of a UTF-8 file, one a line; blank lines are skipped.

    Raises:
        TextError: the file cannot be read, or holds none.
    """
    path = Path(path)
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: cannot be read as phrases ({error}); give a text file, one phrase a line") from None
    if not (phrases := [line.strip() for line in lines if line.strip()]):
        raise TextError(f"{path}: holds no phrase; write one a line")
    return phrases

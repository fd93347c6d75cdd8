"""Measurements of an epoch as its steps go by."""

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import TypedDict

import torch
from torch import Tensor


class EpochRecord(TypedDict, total=False):
    """Measurements of one epoch (after a resume within it, of the part since, if that has any step); those on dev where
    it was evaluated.
    """

    epoch: int
    """Epochs done."""
    step: int
    """Optimizer steps done."""
    seconds: float
    """Wall time of the training up to here."""
    loss: float
    """Nats per token on the training set, as it is trained on: augmented, with dropout."""
    gradient_norm: float
    """Median over the steps, before clipping."""
    clipped_share: float
    """Share of steps whose gradient was clipped."""
    waiting_share: float
    """Share of the time in which a step waited for its batch."""
    learning_rate: float
    dev_loss: float
    """Nats per token on dev."""
    dev_wer: float
    dev_perplexity: float
    """Per word, ends of sentences included."""
    silent_share: float
    """Share of dev utterances with words that were decoded as nothing."""
    parts: dict[str, float]
    """What `loss` is the weighted sum of, by the names that `Objective.parts` has; nats per token."""


class StepMeter:
    """Adds up what the steps of an epoch report.

    Args:
        clip_norm: gradients longer than this are clipped.
    """

    def __init__(self, clip_norm: float) -> None:
        self.loss = self.norm = self.rate = 0.0
        """Of the last step."""
        self._clip_norm = clip_norm
        self._nats = 0.0
        self._tokens = 0
        self._part_nats: dict[str, float] = {}
        self._last_parts: dict[str, float] = {}
        self._pending: list[tuple[Mapping[str, Tensor], int]] = []
        self._norms: list[float] = []
        self._waited = 0.0
        self._began = self._lap = time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time within as waiting for a batch."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def lap(self) -> float:
        """Seconds since the last call, or since the beginning."""
        now = time.monotonic()
        seconds, self._lap = now - self._lap, now
        return seconds

    def add_loss(self, loss: float, tokens: int, parts: Mapping[str, Tensor]) -> None:
        """A batch's loss and what it is the weighted sum of, in nats per token. The parts stay on their device."""
        self.loss = loss
        self._nats += loss * tokens
        self._tokens += tokens
        self._pending.append((parts, tokens))

    def parts(self) -> dict[str, float]:
        """Those of the last batch.

        All that were added since the last call are read here, together: each reading makes a GPU's host wait.
        """
        pending, self._pending = self._pending, []
        values = [value for parts, _ in pending for value in parts.values()]
        read = iter(torch.stack(values).tolist() if values else ())
        for parts, tokens in pending:
            self._last_parts = {name: next(read) for name in parts}
            for name, value in self._last_parts.items():
                self._part_nats[name] = self._part_nats.get(name, 0.0) + value * tokens
        return self._last_parts

    def add_step(self, norm: float, rate: float) -> None:
        """A step's gradient norm before clipping, and its learning rate."""
        self.norm, self.rate = norm, rate
        self._norms.append(norm)

    @property
    def waiting_share(self) -> float:
        """Share of the time so far that was spent waiting."""
        return self._waited / max(time.monotonic() - self._began, 1e-9)

    def summary(self) -> EpochRecord:
        """The epoch so far; of one without a token there is little to say."""
        if not self._tokens:
            return {"waiting_share": self.waiting_share}
        clipped = sum(norm > self._clip_norm for norm in self._norms)
        self.parts()
        return {
            "loss": self._nats / self._tokens,
            "gradient_norm": statistics.median(self._norms) if self._norms else 0.0,
            "clipped_share": clipped / max(len(self._norms), 1),
            "waiting_share": self.waiting_share,
            "learning_rate": self.rate,
            "parts": {name: nats / self._tokens for name, nats in self._part_nats.items()},
        }

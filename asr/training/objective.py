"""What a training step minimises."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr.dataset import Batch
from asr.model import ctc_losses
from asr.model.ctc import Augment


@dataclass(frozen=True)
class Objective:
    """The loss of a batch and what must be known about its utterances."""

    loss: Tensor
    """(): nats per token, over the utterances that are neither unalignable nor non-finite."""
    tokens: int
    """Tokens of those utterances."""
    unalignable: tuple[str, ...]
    """Utterances with fewer frames than CTC needs; they move nothing."""
    non_finite: tuple[str, ...]
    """Utterances whose loss is infinite or not a number."""


def objective(model: nn.Module, batch: Batch, augment: Augment | None) -> Objective:
    """CTC loss of a batch.

    It is taken per token rather than per utterance, so a batch weighs the same however it is cut into utterances.

    Args:
        model: a `Model`, perhaps wrapped for mixed precision or many processes.
        batch: waveforms and transcripts, on the model's device.
        augment: changes the features, or None.
    """
    log_probs, lengths = model(batch.waveforms, batch.lengths, augment)
    losses, alignable = ctc_losses(log_probs, lengths, batch.tokens, batch.token_lengths)
    finite = losses.isfinite()
    counted = alignable & finite
    tokens = torch.where(counted, batch.token_lengths, 0).sum()
    loss = torch.where(counted, losses, 0.0).sum() / tokens.clamp(min=1)
    return Objective(loss, int(tokens), _names(batch, ~alignable), _names(batch, ~finite))


def _names(batch: Batch, chosen: Tensor) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(batch.ids, chosen.tolist(), strict=True) if is_chosen)

"""What a training step minimises: CTC, and what regularises it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from asr.audio import SpecAugment
from asr.config import ObjectiveConfig, Recipe
from asr.dataset import Batch
from asr.model import ctc_losses
from asr.model.ctc import Augment, divide_by_prior
from asr.model.subsampling import valid_frames

PRIOR_DECAY = 0.99
"""Of the label prior's running mean, per batch. The paper takes the mean over the epoch before."""


@dataclass(frozen=True)
class Objective:
    """The loss of a batch and what must be known about its utterances."""

    loss: Tensor
    """(): nats per token, over the utterances that are neither unalignable nor non-finite. One without tokens counts as
    if it had one, or a batch of silence would weigh as much as all of its frames."""
    tokens: Tensor
    """(): tokens of those utterances, counted so."""
    ids: tuple[str, ...]
    """The utterances."""
    unalignable: Tensor
    """(batch,): which utterances have fewer frames than CTC needs; they move nothing."""
    non_finite: Tensor
    """(batch,): which utterances have a loss that is infinite or not a number."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """What the loss is the weighted sum of, detached, each (): `ctc`, and of `intermediate`, `consistency` and
    `confidence` those that are on; nats per token."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An `Objective` as numbers and names."""

    loss: float
    tokens: int
    unalignable: tuple[str, ...]
    non_finite: tuple[str, ...]


def read_outcomes(targets: Sequence[Objective], norm: Tensor) -> tuple[list[Outcome], float]:
    """What the batches of a step came to, and the norm of its gradient, ().

    All is read at once: each reading makes the host of a GPU wait for what it has asked for, so a step ends with one.
    """
    tensors = [norm]
    for target in targets:
        tensors += [target.loss.detach(), target.tokens, target.unalignable, target.non_finite]
    # float32, as not every device has more; it holds losses as they are, and counts of tokens below 16 million
    length, *numbers = torch.cat([each.reshape(-1).float() for each in tensors]).tolist()
    outcomes = []
    for target in targets:
        batch = len(target.ids)
        (loss, tokens), flags, numbers = numbers[:2], numbers[2 : 2 + 2 * batch], numbers[2 + 2 * batch :]
        unalignable, non_finite = (
            tuple(itertools.compress(target.ids, chosen)) for chosen in (flags[:batch], flags[batch:])
        )
        outcomes.append(Outcome(loss, int(tokens), unalignable, non_finite))
    return outcomes, length


def spec_augment(recipe: Recipe) -> SpecAugment:
    """The masks of a recipe: with consistency, `consistency_mask_ratio` times as many time masks."""
    ratio = recipe.objective.consistency_mask_ratio if recipe.objective.consistency else 1.0
    time_masks = round(recipe.augment.time_masks * ratio)
    return SpecAugment(recipe.augment.model_copy(update={"time_masks": time_masks}))


def objective(
    model: nn.Module, batch: Batch, augment: Augment | None, config: ObjectiveConfig, warp: Augment | None = None
) -> Objective:
    """CTC loss of a batch, with what `config` adds to it.

    It is taken per token rather than per utterance, so a batch weighs the same however it is cut into utterances. Every
    part is a sum over an utterance's frames or alignments, as in its paper, and divided alike: weights keep the meaning
    they have there. With consistency, whatever is on is the mean of two views, read in one forward pass.

    Args:
        model: a `Model` in training mode, perhaps wrapped for mixed precision or many processes. Its label prior is
            moved towards this batch, if the prior is on; of many processes, the first one's holds.
        batch: waveforms and transcripts; those on the model's device, their lengths perhaps on the CPU.
        augment: changes the features of each view by itself, or None.
        config: which parts, and their weights.
        warp: changes the features of all views alike, before, or None.
    """
    views = 2 if config.consistency else 1
    log_probs, frames, *intermediate = model(batch.waveforms, batch.lengths, augment, views, warp)
    lengths = frames.to(log_probs.device, non_blocking=True)
    tokens, token_lengths = batch.tokens.repeat(views, 1), batch.token_lengths.repeat(views)

    def ctc(log_probs: Tensor) -> tuple[Tensor, Tensor]:
        return ctc_losses(log_probs, frames, tokens, token_lengths)

    if config.label_prior:
        prior = _label_prior(model)
        divided, normalizers = divide_by_prior(log_probs, lengths, prior, config.label_prior)
        losses, alignable = ctc(divided)
        losses = losses - normalizers
    else:
        losses, alignable = ctc(log_probs)
    parts = {"ctc": (1 - config.intermediate_weight, losses)}
    if config.intermediate_weight:
        below = torch.stack([ctc(each)[0] for each in intermediate]).mean(dim=0)
        parts["intermediate"] = (config.intermediate_weight, below)
    if config.consistency:
        parts["consistency"] = (config.consistency, consistency_losses(log_probs, lengths))
    if config.confidence_penalty:
        parts["confidence"] = (config.confidence_penalty, confidence_losses(log_probs, lengths))
    target = _combine(parts, alignable, batch, views)
    if config.label_prior:
        heard = alignable & losses.isfinite()
        _move_prior(prior, log_probs.detach(), torch.where(heard, lengths, 0))
    return target


def consistency_losses(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """How far two views of each utterance are apart (CR-CTC, Yao et al. 2025, arXiv 2410.05101).

    Each view is drawn towards the other, which is taken as given: no gradient flows into a target.

    Args:
        log_probs: (2 * batch, frames, tokens) natural logs, all utterances in one view and then in the other.
        lengths: (2 * batch,) valid frames, the same in both views.

    Returns:
        (2 * batch,): Kullback-Leibler divergence of each view from the other, in nats, summed over frames. The mean of
        both is the paper's loss.
    """
    targets = log_probs.detach().roll(len(log_probs) // 2, dims=0)
    return _sum_frames(targets.exp() * (targets - log_probs), lengths)


def confidence_losses(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Divergence of posteriors from uniform, which is log(tokens) minus their entropy (Pereyra et al. 2017).

    Args:
        log_probs: (batch, frames, tokens) natural logs.
        lengths: (batch,) valid frames.

    Returns:
        (batch,) nats, summed over frames; 0 where all tokens are equally probable.
    """
    uniform = torch.full((), log_probs.shape[-1], dtype=log_probs.dtype, device=log_probs.device).log().neg()
    return _sum_frames(log_probs.exp() * (log_probs - uniform), lengths)


def _sum_frames(per_token: Tensor, lengths: Tensor) -> Tensor:
    per_frame = per_token.sum(dim=-1)
    return (per_frame * valid_frames(lengths, per_frame.shape[1])).sum(dim=1)


def _combine(parts: Mapping[str, tuple[float, Tensor]], alignable: Tensor, batch: Batch, views: int) -> Objective:
    """Weigh parts, each (views * batch,), and average them over views and tokens."""
    per_utterance = {name: losses.view(views, -1).mean(dim=0) for name, (_, losses) in parts.items()}
    alignable = alignable[: len(batch.ids)]
    losses = torch.stack([weight * per_utterance[name] for name, (weight, _) in parts.items()]).sum(dim=0)
    finite = losses.isfinite()
    counted = alignable & finite
    token_lengths = batch.token_lengths.clamp(min=1).to(losses.device, non_blocking=True)
    tokens = torch.where(counted, token_lengths, 0).sum()

    def per_token(losses: Tensor) -> Tensor:
        return torch.where(counted, losses, 0.0).sum() / tokens.clamp(min=1)

    return Objective(
        loss=per_token(losses),
        tokens=tokens,
        ids=batch.ids,
        unalignable=~alignable,
        non_finite=~finite,
        parts={name: per_token(each.detach()) for name, each in per_utterance.items()},
    )


def _label_prior(model: nn.Module) -> Tensor:
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    prior: Tensor = inner.get_buffer("label_prior")
    return prior


def _move_prior(prior: Tensor, log_probs: Tensor, lengths: Tensor) -> None:
    """Move the running mean, (tokens,), towards that of the valid frames of log_probs (batch, frames, tokens)."""
    valid = valid_frames(lengths, log_probs.shape[1])
    mean = torch.where(valid[..., None], log_probs, -torch.inf).exp().sum(dim=(0, 1)) / valid.sum().clamp(min=1)
    prior.lerp_(torch.where(valid.any(), mean, prior), 1 - PRIOR_DECAY)

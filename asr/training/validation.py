"""How good a model is on the dev set, in the midst of training."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from asr.dataset import Batch
from asr.decoding import greedy
from asr.evaluation import score, standard_error
from asr.model import Model, ctc_losses
from asr.text import Tokenizer


@dataclass(frozen=True)
class Validation:
    """Scores on dev, greedy decoding, in float32 as at inference."""

    wer: float
    standard_error: float
    """Of `wer`, had other utterances been drawn."""
    loss: float
    """Nats per token."""
    silent: tuple[str, ...]
    """Utterances with words that were decoded as nothing."""
    silent_share: float
    """Their share among the utterances with words."""


@torch.inference_mode()
def validate(model: Model, batches: Iterable[Batch], tokenizer: Tokenizer, device: torch.device) -> Validation:
    """Decode and score `batches`; references are their normalised texts."""
    loss = tokens = 0.0
    references: list[str] = []
    hypotheses: list[str] = []
    ids: list[str] = []
    for batch in batches:
        batch = batch.to(device)
        log_probs, lengths = model.log_probs(batch.waveforms, batch.lengths)
        losses, alignable = ctc_losses(log_probs, lengths, batch.tokens, batch.token_lengths)
        loss += float(losses.sum())
        tokens += float(batch.token_lengths[alignable.cpu()].sum())
        references += batch.texts
        hypotheses += [found.text for found in greedy(log_probs, lengths, tokenizer, model.frame_seconds)]
        ids += batch.ids
    spoken = [(name, found) for name, text, found in zip(ids, references, hypotheses, strict=True) if text]
    silent = tuple(name for name, found in spoken if not found)
    rates = score(references, hypotheses)
    return Validation(
        wer=rates.wer,
        standard_error=standard_error(
            [each.errors for each in rates.utterances], [each.reference_words for each in rates.utterances]
        ),
        loss=loss / max(tokens, 1.0),
        silent=silent,
        silent_share=len(silent) / max(len(spoken), 1),
    )

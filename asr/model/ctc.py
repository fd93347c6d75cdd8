"""The whole acoustic model, from waveforms to the log-probabilities of CTC (Graves et al. 2006), and its loss."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asr.audio.features import LogMel
from asr.config import FeatureConfig, ModelConfig
from asr.model.encoder import Encoder
from asr.model.subsampling import Subsampling, valid_frames

PRIOR_FLOOR = 1e-6
"""Least label prior: a token that never occurs is not raised without bounds."""
Augment = Callable[[Tensor, Tensor], Tensor]
"""(features (batch, frames, bins), lengths (batch,)) -> features of the same shape."""


class Model(nn.Module):
    """Log-mel features, subsampling, recurrent encoder and CTC head.

    Args:
        features: how spectrograms are made.
        config: the layers.
        vocabulary: number of tokens, the blank (token 0) included.
    """

    label_prior: Tensor
    """(vocabulary,): how probable each token is in a frame, on average; kept by an objective that wants it."""

    def __init__(self, features: FeatureConfig, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.features = LogMel(features)
        self.encoder = Encoder(config)
        self.subsampling = Subsampling(features.bins, config.channels, config.subsampling, self.encoder.outputs)
        self.head = nn.Linear(self.encoder.outputs, vocabulary)
        self.feedback = nn.Linear(vocabulary, self.encoder.outputs) if config.self_conditioned else None
        self.register_buffer("label_prior", torch.full((vocabulary,), 1 / vocabulary))
        self.frame_seconds = features.hop_seconds * config.subsampling

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        augment: Augment | None = None,
        views: int = 1,
        warp: Augment | None = None,
    ) -> tuple[Tensor, ...]:
        """Log-probabilities of every token in every frame.

        Args:
            waveforms: (batch, samples) in [-1, 1], padded at the end.
            lengths: (batch,) valid samples, perhaps on the CPU, where CTC on a GPU can read them without waiting.
            augment: changes the features during training, each view by itself.
            views: how many times each utterance is augmented and read; the batch is repeated as a whole.
            warp: changes the features before that, so that frames of the views stay comparable.

        Returns:
            log_probs (views * batch, frames, tokens), float32 natural logs that sum to one in each frame, and their
            lengths (views * batch,), where those given are. Output frame t is centred on t * frame_seconds. In
            training mode these are followed by the log_probs after each of the intermediate layers.
        """
        frame_lengths = self.subsampling.frame_lengths(self.features.frame_lengths(lengths)).repeat(views)
        features, lengths = self.features(waveforms, lengths.to(waveforms.device, non_blocking=True))
        if warp is not None:
            features = warp(features, lengths)
        if views > 1:
            features, lengths = features.repeat(views, 1, 1), lengths.repeat(views)
        if augment is not None:
            features = augment(features, lengths)
        frames, lengths = self.subsampling(features, lengths)
        encoded, intermediate = self.encode(frames, lengths)
        return (self._read(encoded), frame_lengths, *(intermediate if self.training else ()))

    def encode(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Frames of the subsampling encoded, both (batch, frames, units), lengths (batch,).

        Also the log_probs after each intermediate layer, if this is training or the next layer reads them.
        """
        intermediate: list[Tensor] = []

        def tap(encoded: Tensor) -> Tensor | None:
            log_probs = self._read(encoded)
            intermediate.append(log_probs)
            return None if self.feedback is None else self.feedback(log_probs.exp())

        tapped = self.training or self.feedback is not None
        return self.encoder(frames, lengths, tap if tapped else None), intermediate

    def _read(self, encoded: Tensor) -> Tensor:
        logits: Tensor = self.head(encoded)
        return logits.float().log_softmax(dim=-1)

    @torch.inference_mode()
    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, for inference: no gradient is kept and, in eval mode, nothing is random."""
        log_probs, lengths, *_ = self(waveforms, lengths)
        return log_probs, lengths


def ctc_losses(log_probs: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-probability of each transcript, summed over all alignments (Graves et al. 2006, eq. 8).

    Args:
        log_probs: (batch, frames, vocabulary) natural logs.
        lengths: (batch,) valid frames, which on a GPU would have to be waited for; so rather on the CPU.
        tokens: (batch, tokens) transcripts, padded.
        token_lengths: (batch,) tokens of each transcript, as `lengths`.

    Returns:
        losses (batch,) in nats, 0 where no alignment exists, and alignable (batch,), False there: a transcript needs
        a frame for each token and one blank between equal neighbours.
    """
    frames, counts = (each.to(tokens.device, non_blocking=True) for each in (lengths, token_lengths))
    position = torch.arange(1, max(1, tokens.shape[1]), device=tokens.device)
    repeats = ((tokens[:, 1:] == tokens[:, :-1]) & (position < counts[:, None])).sum(dim=1)
    alignable = frames >= counts + repeats
    losses = nn.functional.ctc_loss(
        log_probs.transpose(0, 1), tokens, lengths, token_lengths, blank=0, reduction="none", zero_infinity=True
    )
    return losses, alignable


def divide_by_prior(log_probs: Tensor, lengths: Tensor, prior: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """Posteriors divided by a power of the label prior (Huang et al. 2024, arXiv 2406.02560), for `ctc_losses`.

    The quotients do not sum to one, which PyTorch's gradient of CTC takes for granted (pytorch issue 122243). So they
    are normalised in each frame, and what that adds to the loss of each utterance is returned, to be taken off again.

    Args:
        log_probs: (batch, frames, tokens) natural logs.
        lengths: (batch,) valid frames.
        prior: (tokens,) mean posteriors.
        exponent: 0 leaves the posteriors as they are.

    Returns:
        log_probs (batch, frames, tokens), normalised, and the sum (batch,) of the logs of each utterance's normalisers:
        the loss meant is CTC of the first minus the second.
    """
    scores = log_probs - exponent * prior.clamp_min(PRIOR_FLOOR).log()
    normalizers = scores.logsumexp(dim=-1, keepdim=True)
    valid = valid_frames(lengths, log_probs.shape[1])
    # every path has a factor in every frame: dividing frame t by n(t) adds the sum over t of log n(t) to the loss
    return scores - normalizers, (normalizers[..., 0] * valid).sum(dim=1)

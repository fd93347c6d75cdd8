"""The whole acoustic model, from waveforms to the log-probabilities of CTC (Graves et al. 2006), and its loss."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asr.audio.features import LogMel
from asr.config import FeatureConfig, ModelConfig
from asr.model.encoder import Encoder
from asr.model.subsampling import Subsampling

Augment = Callable[[Tensor, Tensor], Tensor]
"""(features (batch, frames, bins), lengths (batch,)) -> features of the same shape."""


class Model(nn.Module):
    """Log-mel features, subsampling, recurrent encoder and CTC head.

    Args:
        features: how spectrograms are made.
        config: the layers.
        vocabulary: number of tokens, the blank (token 0) included.
    """

    def __init__(self, features: FeatureConfig, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.features = LogMel(features)
        self.encoder = Encoder(config)
        self.subsampling = Subsampling(features.bins, config.channels, config.subsampling, self.encoder.outputs)
        self.head = nn.Linear(self.encoder.outputs, vocabulary)
        self.frame_seconds = features.hop_seconds * config.subsampling

    def forward(self, waveforms: Tensor, lengths: Tensor, augment: Augment | None = None) -> tuple[Tensor, Tensor]:
        """Log-probabilities of every token in every frame.

        Args:
            waveforms: (batch, samples) in [-1, 1], padded at the end.
            lengths: (batch,) valid samples.
            augment: changes the features during training.

        Returns:
            log_probs (batch, frames, tokens), float32 natural logs that sum to one in each frame, and their
            lengths (batch,). Output frame t is centred on t * frame_seconds.
        """
        features, lengths = self.features(waveforms, lengths)
        if augment is not None:
            features = augment(features, lengths)
        frames, lengths = self.subsampling(features, lengths)
        logits = self.head(self.encoder(frames, lengths))
        return logits.float().log_softmax(dim=-1), lengths

    @torch.inference_mode()
    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, for inference: no gradient is kept and, in eval mode, nothing is random."""
        result: tuple[Tensor, Tensor] = self(waveforms, lengths)
        return result


def ctc_losses(log_probs: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-probability of each transcript, summed over all alignments (Graves et al. 2006, eq. 8).

    Args:
        log_probs: (batch, frames, vocabulary) natural logs.
        lengths: (batch,) valid frames.
        tokens: (batch, tokens) transcripts, padded.
        token_lengths: (batch,) tokens of each transcript.

    Returns:
        losses (batch,) in nats, 0 where no alignment exists, and alignable (batch,), False there: a transcript needs
        a frame for each token and one blank between equal neighbours.
    """
    position = torch.arange(tokens.shape[1] - 1, device=tokens.device) + 1
    repeats = ((tokens[:, 1:] == tokens[:, :-1]) & (position < token_lengths[:, None])).sum(dim=1)
    alignable = lengths >= token_lengths + repeats
    losses = nn.functional.ctc_loss(
        log_probs.transpose(0, 1), tokens, lengths, token_lengths, blank=0, reduction="none", zero_infinity=True
    )
    return losses, alignable

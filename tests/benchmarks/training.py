"""A training step: features, forward, CTC, backward, clipping, optimizer.

The peers are what recurrent toolkits train: `nn.LSTM` or `nn.GRU` over packed sequences, and SpeechBrain's modules, in
the place of our encoder. Features, subsampling, head, loss and optimizer are the same for all; so are the utterances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import an4
import torch
from harness import Make, Report, Run
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.audio import LogMel
from asr.config import FeatureConfig, ModelConfig, ObjectiveConfig
from asr.dataset import Batch
from asr.model import Model, Subsampling
from asr.training.inputs import PAD_SECONDS
from asr.training.objective import objective

UTTERANCES = 16
VOCABULARY = len(an4.LETTERS) + 1
Augment = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """A bidirectional encoder: its cell, layers, and units per direction."""

    cell: str
    layers: int
    units: int

    def __str__(self) -> str:
        return f"{self.cell}-{self.layers}x{self.units}"

    def config(self) -> ModelConfig:
        """Our model of this shape."""
        return ModelConfig.model_validate(
            {"cell": self.cell, "layers": self.layers, "units": self.units, "subsampling": 4, "dropout": 0.0}
        )


SHAPES = {
    Shape("lstm", 3, 256): (1, 3, 5),
    Shape("gru", 3, 256): (1, 3, 5),
    Shape("lstm", 5, 512): (3,),
    Shape("gru", 5, 512): (3,),
}
"""The batches, of six from short to long, that each shape is timed on."""


class Peer(nn.Module):
    """Our model with another encoder, called as ours is.

    Args:
        shape: sizes.
        encoder: (frames (batch, frames, inputs), lengths (batch,)) -> frames of 2 * units.
        features: waveforms and lengths in, features and lengths out; None takes ours.
    """

    def __init__(self, shape: Shape, encoder: nn.Module, features: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features or LogMel(FeatureConfig())
        config = shape.config()
        bins, self.encoder = FeatureConfig().bins, encoder
        self.subsampling = Subsampling(bins, config.channels, config.subsampling, 2 * shape.units)
        self.head = nn.Linear(2 * shape.units, VOCABULARY)

    def forward(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        augment: Augment | None = None,
        views: int = 1,
        warp: Augment | None = None,
    ) -> tuple[Tensor, Tensor]:
        assert views == 1, "peers read every utterance once"
        assert warp is None, "no peer warps"
        features, lengths = self.features(waveforms, lengths)
        if augment is not None:
            features = augment(features, lengths)
        frames, lengths = self.subsampling(features, lengths)
        return self.head(self.encoder(frames, lengths)).float().log_softmax(-1), lengths


class Packed(nn.Module):
    """PyTorch's own bidirectional stack over packed sequences."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[shape.cell]
        self.stack = kind(2 * shape.units, shape.units, shape.layers, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.stack(packed)[0], batch_first=True, total_length=frames.shape[1])[0]


class SpeechBrain(nn.Module):
    """SpeechBrain's bidirectional stack, as its recipes call it: with relative lengths."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        from speechbrain.nnet import RNN

        kind = {"lstm": RNN.LSTM, "gru": RNN.GRU}[shape.cell]
        self.stack = kind(
            hidden_size=shape.units, input_size=2 * shape.units, num_layers=shape.layers, bidirectional=True
        )

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return self.stack(frames, lengths=lengths / frames.shape[1])[0]


def step(model: nn.Module, batches: Sequence[Batch], bf16: bool) -> Run:
    """A run that makes one step on each batch."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def run() -> None:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = objective(model, batch, None, ObjectiveConfig()).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def compare(report: Report, shape: Shape, chosen: Sequence[int], threads: int, size: int, seconds: float) -> None:
    """Time a step of every system on the chosen batches of `size` utterances."""
    padded = an4.batches(size, round(PAD_SECONDS * an4.SAMPLE_RATE))
    plain = an4.batches(size)

    def ours(bf16: bool) -> Make:
        return lambda: step(Model(FeatureConfig(), shape.config(), VOCABULARY), [padded[k] for k in chosen], bf16)

    def peer(encoder: Callable[[Shape], Any], bf16: bool = False) -> Make:
        return lambda: step(Peer(shape, encoder(shape)), [plain[k] for k in chosen], bf16)

    report.compare(
        f"train-step-{shape}",
        {"fp32": ours(bf16=False), "bf16": ours(bf16=True)},
        {"torch-packed": peer(Packed), "speechbrain": peer(SpeechBrain), "torch-packed-bf16": peer(Packed, bf16=True)},
        threads=threads,
        per=len(chosen),
        seconds=seconds,
    )


def run(report: Report) -> None:
    """All shapes, with one thread and with two."""
    report.say(
        f"\n## Training step\n\nBatches of {UTTERANCES} utterances of AN4's lengths; time of one step (average over "
        "the batches)."
    )
    for threads in (1, 2):
        for shape, chosen in SHAPES.items():
            compare(report, shape, chosen, threads, UTTERANCES, seconds=20.0)

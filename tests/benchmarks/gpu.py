"""Training on a device: hours of audio a second, the recurrence's share of a step, and its distance to a bare LSTM.

    python tests/benchmarks/gpu.py [--device cuda] [--utterances 64] [--seconds 10]

Without a GPU it runs on the CPU, where its numbers say little. The bare LSTM is `nn.LSTM(bidirectional)` over the same
padded frames without any lengths, on a GPU cuDNN's: what a recurrence of this shape can reach there.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from harness import Report, duration
from torch import Tensor, nn
from training import VOCABULARY, Shape

from asr.config import FeatureConfig, ObjectiveConfig
from asr.dataset import Batch
from asr.model import Model
from asr.training.objective import objective

SAMPLE_RATE = 16000
SHAPES = (Shape("lstm", 3, 256), Shape("gru", 3, 256), Shape("lstm", 5, 512), Shape("gru", 5, 512))
ROUNDS = 10


@dataclass(frozen=True)
class Speeds:
    """Median seconds: of a step, of the encoder's recurrent layers alone, and of the bare stack, forward and back."""

    step: float
    recurrence: float
    bare: float


def batch(utterances: int, seconds: float, device: torch.device) -> Batch:
    """Noise, the shortest recording half as long as the longest, and five random tokens a second."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.linspace(0.5 * seconds, seconds, utterances).mul(SAMPLE_RATE).long()
    tokens = torch.randint(1, VOCABULARY, (utterances, max(1, int(2.5 * seconds))), generator=random)
    return Batch(
        waveforms=0.1 * torch.randn(utterances, int(lengths.max()), generator=random),
        lengths=lengths,
        tokens=tokens,
        token_lengths=torch.full((utterances,), tokens.shape[1]),
        ids=tuple(map(str, range(utterances))),
        texts=("",) * utterances,
    ).to(device)


def measure(shape: Shape, given: Batch, rounds: int = ROUNDS) -> Speeds:
    """Time one shape on a batch, in bf16, on the batch's device."""
    device = given.waveforms.device
    model = Model(FeatureConfig(), shape.config(), VOCABULARY).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    with torch.no_grad():
        frames, lengths = model.subsampling(*model.features(given.waveforms, given.lengths.to(device)))
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[shape.cell]
    bare = kind(frames.shape[2], shape.units, shape.layers, batch_first=True, bidirectional=True).to(device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = objective(model, given, None, ObjectiveConfig()).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def layers(inputs: Tensor) -> Tensor:
        for layer in model.encoder.layers:
            inputs = layer(inputs, lengths)
        return inputs

    def alone(run: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def both() -> None:
            with torch.autocast(device.type, torch.bfloat16):
                outputs = run(frames.clone().requires_grad_())
            outputs.backward(torch.ones_like(outputs))

        return both

    runs = (step, alone(layers), alone(lambda inputs: bare(inputs)[0]))
    found: list[list[float]] = [[], [], []]
    for number in range(rounds + 2):
        for each, run in zip(found, runs, strict=True):
            _wait(device)
            began = time.perf_counter()
            run()
            _wait(device)
            if number >= 2:  # the first rounds compile, and choose kernels
                each.append(time.perf_counter() - began)
    return Speeds(*map(median, found))


def run(report: Report, device: torch.device, utterances: int = 64, seconds: float = 10.0) -> None:
    """Print the table of all shapes."""
    given = batch(utterances, seconds, device)
    hours = float(given.lengths.sum()) / SAMPLE_RATE / 3600
    rows = []
    for shape in SHAPES:
        found = measure(shape, given)
        rows.append(
            [
                str(shape),
                duration(found.step),
                f"{hours / found.step:.3f}",
                f"{found.recurrence / found.step:.0%}",
                f"{found.recurrence / found.bare:.2f}x",
            ]
        )
        report.add(f"train-recurrence-{shape}-bf16", f"bare-{device.type}", 1, [found.recurrence], [found.bare])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    title = f"training step on {name}, bf16, {utterances} utterances of {seconds / 2:g} to {seconds:g} s"
    report.table(title, ["", "step", "hours of audio a second", "recurrence", "recurrence / bare stack"], rows)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--utterances", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    run(Report(), torch.device(options.device), options.utterances, options.seconds)

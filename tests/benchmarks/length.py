"""What a recurrent layer costs against the length of its sequences: time of a step, memory for it, size of its state.

    python tests/benchmarks/length.py CELL FRAMES     # one step; tells by how many mebibytes the peak of memory rose

A step is forward and backward. Time and memory should grow as the length, with an exponent of one; the state, which is
all that a layer knows of the past when it reads the next frame, should not grow at all. Layers have equal parameters.
"""

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import get_args

import torch
from harness import Report, Run, duration, interleave, peak_mebibytes, torch_threads
from torch import nn

from asr.model import Recurrence
from asr.model.gradients import equal_units
from asr.model.recurrence import Cell

BATCH, INPUTS, PARAMETERS = 4, 256, 500_000
LENGTHS = (125, 250, 500, 1000, 2000, 4000)


@dataclass(frozen=True)
class Cost:
    """Of a step over a batch of sequences of so many frames; `state` counts the numbers that a sequence carries."""

    frames: int
    seconds: float
    state: int
    mebibytes: float


def layer(cell: Cell) -> Recurrence:
    """A layer in one direction, as only such a one can go on from a state."""
    torch.manual_seed(0)
    return Recurrence(INPUTS, equal_units(cell, False, INPUTS, PARAMETERS), cell, bidirectional=False)


def step(recurrence: nn.Module, frames: int) -> Run:
    """A run that goes forward and back over a batch."""
    given, lengths = torch.randn(BATCH, frames, INPUTS, requires_grad=True), torch.full((BATCH,), frames)
    return lambda: recurrence(given, lengths).sum().backward()


def state_size(recurrence: Recurrence, frames: int) -> int:
    """Numbers that a sequence carries on after so many frames: h, and c of an LSTM."""
    with torch.no_grad():
        state = recurrence.forward_cell(torch.randn(1, frames, INPUTS))[1]
    return sum(each.numel() for each in (state if isinstance(state, tuple) else (state,)))


def costs(cell: Cell, lengths: Sequence[int], seconds: float, rounds: int = 3) -> list[Cost]:
    """Measure one cell at several lengths, on one thread: CPU time, medians of rounds in turn."""
    recurrence = layer(cell)
    runs = {str(frames): step(recurrence, frames) for frames in lengths}
    with torch_threads(1):
        for run in runs.values():
            run()
        found = interleave(runs, rounds, seconds, time.process_time)
    return [
        Cost(frames, median(found[str(frames)]), state_size(recurrence, frames), memory(cell, frames))
        for frames in lengths
    ]


def exponent(lengths: Sequence[float], values: Sequence[float]) -> float:
    """The power of the length that values grow as, by least squares of their logarithms: 1 is linear, 0 constant."""
    return linear_regression([math.log(each) for each in lengths], [math.log(each) for each in values]).slope


def memory(cell: Cell, frames: int) -> float:
    """Mebibytes by which a step raises the peak of a process of its own."""
    command = [sys.executable, __file__, cell, str(frames)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def tell(cell: Cell, frames: int) -> None:
    """Print how much the peak of memory rises in a step, all compiled and loaded before."""
    torch.set_num_threads(1)
    recurrence = layer(cell)
    step(recurrence, 8)()
    before = peak_mebibytes()
    step(recurrence, frames)()
    print(peak_mebibytes() - before)


def compare(report: Report, lengths: Sequence[int], seconds: float) -> None:
    """A table for each cell, and the exponents."""
    fits = []
    for cell in get_args(Cell):
        found = costs(cell, lengths, seconds * report.patience)
        rows = [
            [
                f"{cost.frames:,}",
                duration(cost.seconds),
                duration(cost.seconds / cost.frames / BATCH),
                f"{cost.mebibytes:.1f} MiB",
                f"{cost.state}",
            ]
            for cost in found
        ]
        report.table(f"length-{cell}", ["frames", "step", "a frame", "memory", "numbers of state"], rows)
        powers = [
            exponent(lengths, [max(getattr(cost, what), 1e-9) for cost in found])
            for what in ("seconds", "mebibytes", "state")
        ]
        size = sum(parameter.numel() for parameter in layer(cell).parameters())
        fits.append([cell, f"{size:,}", *(f"{power:.2f}" for power in powers)])
    report.table("length, exponents", ["", "parameters", "step", "memory", "state"], fits)


def run(report: Report) -> None:
    """All cells."""
    report.say(
        f"\n## Length\n\nForward and backward of one layer in one direction, {BATCH} sequences, float32, one thread; "
        "exponent 1 is growth as the length, 0 none."
    )
    compare(report, LENGTHS, seconds=10.0)


if __name__ == "__main__":
    tell(sys.argv[1], int(sys.argv[2]))  # type: ignore[arg-type]

"""Forward and backward of one bidirectional layer: packed sequences against the recurrences of `asr.model`.

    OMP_NUM_THREADS=1 python tests/benchmarks/recurrence.py          (LSTM; or `gru`, or `rnn`)

All in one process, interleaved, CPU time (wall time is the machine's other work too); medians, and ratios to packed
float32, which is what other recurrent toolkits run.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model import compiled, recurrence
from asr.model.elman import ELMAN
from asr.model.gru import GRU
from asr.model.lstm import LSTM
from asr.model.precision import runs_bf16
from asr.model.recurrence import Cell, Recurrence

BATCH, FRAMES, INPUTS, UNITS, ROUNDS = 16, 120, 512, 256, 15


COMPILED = {"lstm": LSTM, "gru": GRU, "rnn": ELMAN}


def runs(cell: Cell) -> dict[str, Callable[[], Tensor]]:
    """What is compared: each computes the layer's output for the same batch."""
    torch.manual_seed(0)
    frames = torch.randn(BATCH, FRAMES, INPUTS, requires_grad=True)
    lengths = torch.linspace(0.8 * FRAMES, FRAMES, BATCH).long()
    packed_layer = recurrence._CELLS[cell](INPUTS, UNITS, batch_first=True, bidirectional=True)
    layer = Recurrence(INPUTS, UNITS, cell, bidirectional=True)
    directions = [list(one.parameters()) for one in (layer.forward_cell, layer.backward_cell)]

    def packed() -> Tensor:
        sequence = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(packed_layer(sequence)[0], batch_first=True)[0]

    def pytorchs() -> Tensor:
        chosen, recurrence._trains_on_cpu = recurrence._trains_on_cpu, lambda frames: False
        try:
            return layer(frames, lengths)
        finally:
            recurrence._trains_on_cpu = chosen

    def in_bf16(run: Callable[[], Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run()

    def with_compiled_cell(dtype: torch.dtype) -> Tensor:
        return compiled.run(COMPILED[cell], frames, lengths, directions, dtype)

    in_float32: dict[str, Callable[[], Tensor]] = {
        "packed, float32": packed,
        "length-exact, float32, PyTorch's cell": pytorchs,
        "length-exact, float32, compiled cell": lambda: with_compiled_cell(torch.float32),
    }
    return (
        in_float32
        if not runs_bf16(frames.device)
        else in_float32
        | {
            "packed, bf16": lambda: in_bf16(packed),
            "length-exact, bf16, PyTorch's cell": lambda: in_bf16(pytorchs),
            "length-exact, bf16, compiled cell": lambda: with_compiled_cell(torch.bfloat16),
        }
    )


def main() -> None:
    """Print the table."""
    cell = (sys.argv[1:] or ["lstm"])[0]
    competitors = runs(cell)
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(ROUNDS + 2):
        for name, run in competitors.items():
            began = time.process_time()
            run().float().sum().backward()
            if number >= 2:  # the first rounds compile
                seconds[name].append(time.process_time() - began)
    base = statistics.median(seconds["packed, float32"])
    shapes = f"{BATCH} x {FRAMES} x {INPUTS} -> 2 x {UNITS}"
    print(f"{cell}, torch {torch.__version__}, {torch.get_num_threads()} threads, {shapes}")
    for name, each in seconds.items():
        median = statistics.median(each)
        print(f"{name:38}{1e3 * median:8.1f} ms  ({1e3 * min(each):.1f} to {1e3 * max(each):.1f}){base / median:8.2f}x")


if __name__ == "__main__":
    main()

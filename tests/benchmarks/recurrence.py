"""Forward and backward of one bidirectional LSTM layer: packed sequences against the recurrences of `asr.model`.

    OMP_NUM_THREADS=1 python tests/benchmarks/recurrence.py

All in one process, interleaved, CPU time (wall time is the machine's other work too); medians, and ratios to packed
float32, which is what other recurrent toolkits run.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model import recurrence
from asr.model.recurrence import Recurrence

BATCH, FRAMES, INPUTS, UNITS, ROUNDS = 16, 120, 512, 256, 15


def runs() -> dict[str, Callable[[], Tensor]]:
    """What is compared: each computes the layer's output for the same batch."""
    torch.manual_seed(0)
    frames = torch.randn(BATCH, FRAMES, INPUTS, requires_grad=True)
    lengths = torch.linspace(0.8 * FRAMES, FRAMES, BATCH).long()
    packed_layer = nn.LSTM(INPUTS, UNITS, batch_first=True, bidirectional=True)
    layer = Recurrence(INPUTS, UNITS, "lstm", bidirectional=True)

    def packed() -> Tensor:
        sequence = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(packed_layer(sequence)[0], batch_first=True)[0]

    def in_bf16(run: Callable[[], Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run()

    def without_compiled_cell() -> Tensor:
        chosen, recurrence._computes_in_bf16 = recurrence._computes_in_bf16, lambda: False
        try:
            return in_bf16(lambda: layer(frames, lengths))
        finally:
            recurrence._computes_in_bf16 = chosen

    return {
        "packed, float32": packed,
        "packed, bf16": lambda: in_bf16(packed),
        "length-exact, float32": lambda: layer(frames, lengths),
        "length-exact, bf16, oneDNN's cell": without_compiled_cell,
        "length-exact, bf16, compiled cell": lambda: in_bf16(lambda: layer(frames, lengths)),
    }


def main() -> None:
    """Print the table."""
    competitors = runs()
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(ROUNDS + 2):
        for name, run in competitors.items():
            began = time.process_time()
            run().float().sum().backward()
            if number >= 2:  # the first rounds compile
                seconds[name].append(time.process_time() - began)
    base = statistics.median(seconds["packed, float32"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {BATCH} x {FRAMES} x {INPUTS} -> 2 x {UNITS}")
    for name, each in seconds.items():
        median = statistics.median(each)
        print(f"{name:36}{1e3 * median:8.1f} ms  ({1e3 * min(each):.1f} to {1e3 * max(each):.1f}){base / median:8.2f}x")


if __name__ == "__main__":
    main()

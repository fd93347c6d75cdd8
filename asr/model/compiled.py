"""Training recurrent layers on CPUs, both directions at once, in float32 or bf16.

The products of all frames go to PyTorch. The recurrence is compiled, and stands in `lstm.py`, `gru.py` and `elman.py`:
all its steps, products included, where `products.py` has a kernel for them; elsewhere what lies between its products.
What PyTorch does itself for an LSTM is slow backwards, and for a GRU all of it; `tests/benchmarks/recurrence.py`
measures both against this.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.model import products
from asr.model.arithmetic import memory

_POOL = ThreadPoolExecutor(1, "direction")
"""Where the second direction runs while the first one runs in the thread that trains.

It lasts, for oneDNN generates its code anew for every thread."""


@dataclass(frozen=True)
class Cell:
    """A recurrent cell, compiled. Arrays that hold `dtype` are bf16 bits or float32.

    Functions for a step take its number, that of the direction, what was just multiplied, and arrays; those for all
    steps take the `functions` of a kernel, weights packed for it, the direction, an array for products, and the same.
    Arrays of the direction: `bias` (gates * units,), b_ih + b_hh, but b_hh where `gradients` is 2; `state` (batch,
    units); `hidden` (batch, width), dtype, and `now` (batch, width), dtype, the gradient of this step's products, which
    are what is multiplied. Arrays of all: `sizes` (batch,); `output` (batch, frames, directions * units), dtype;
    `gates` (batch, frames, directions, gates * units), dtype, which come in as W_ih x, and b_ih if `bias` is without,
    and are left after their nonlinearities; `kept` (batch, frames, directions, kept * units); `outer`, the gradient of
    `output`; and the gradients of W_ih x and, if they differ, of W_hh h, shaped like `gates`. A sequence that has ended
    gives zeros.

    Attributes:
        gates: sums of W_ih x + b_ih + W_hh h + b_hh in a step, in PyTorch's order.
        kept: numbers per unit that the way back needs besides the gates.
        gradients: 1 where both summands of a gate have the same gradient, 2 where not.
        step_forward: of products W_hh h (batch, gates * units or more), bias, sizes, state, hidden, output, gates,
            kept.
        step_backward: of the gradient of the hidden units by the step after (batch, units), outer, sizes, that of the
            state, gates, kept, now, gradients.
        forward: all steps.
        backward: all steps, from the last one.
    """

    gates: int
    kept: int
    gradients: int
    step_forward: Callable[..., None]
    step_backward: Callable[..., None]
    forward: Callable[..., None]
    backward: Callable[..., None]


def run(
    cell: Cell, frames: Tensor, lengths: Tensor, directions: Sequence[Sequence[Tensor]], dtype: torch.dtype
) -> Tensor:
    """Run one layer over a padded batch, on the CPU.

    Args:
        cell: what the directions are made of.
        frames: (batch, frames, inputs), each sequence padded at its end.
        lengths: (batch,) valid frames of each sequence.
        directions: of each its weights, W_ih, W_hh, b_ih and b_hh, as a recurrence of PyTorch holds them; the second
            one, if any, reads each sequence backwards.
        dtype: float32, or bfloat16 for what is multiplied; states are float32 in either.

    Returns:
        (batch, frames, directions * units), dtype, zero in the padding.
    """
    weights = itertools.chain.from_iterable(directions)
    result: Tensor = _Layer.apply(cell, dtype, frames, lengths, *weights)  # type: ignore[no-untyped-call]
    return result


class _Layer(torch.autograd.Function):
    """Weights come as W_ih, W_hh, b_ih, b_hh of each direction in turn."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, dtype: torch.dtype, frames: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        batch, steps, _ = frames.shape
        directions, units = len(weights) // 4, weights[1].shape[1]
        flat = frames.to(dtype).flatten(0, 1)
        input_weight = _stacked(weights[0::4], dtype).flatten(0, 1)
        recurrent_weight = _stacked(weights[1::4], dtype)
        input_bias, bias = torch.cat(weights[2::4]), torch.stack(weights[3::4])
        if cell.gradients == 1:  # both biases act alike; adding them here spares a pass over all gates
            bias = bias + input_bias.view_as(bias)
            gates = torch.mm(flat, input_weight.t())
        else:
            gates = torch.addmm(input_bias.to(dtype), flat, input_weight.t())
        gates = gates.view(batch, steps, directions, cell.gates * units)
        output = torch.empty(batch, steps, directions * units, dtype=dtype)
        kept = np.empty((batch, steps, directions, cell.kept * units), np.float32)
        hidden = _rows(recurrent_weight, batch)
        state = np.zeros((directions, batch, units), np.float32)
        sizes = lengths.numpy()
        everything = memory(output), memory(gates), kept

        def arrays(direction: int) -> tuple[NDArray[Any], ...]:
            return memory(bias[direction]), sizes, state[direction], memory(hidden[direction]), *everything

        _recur(cell.forward, cell.step_forward, range(steps), hidden, recurrent_weight, arrays)
        ctx.save_for_backward(flat, gates, output, input_weight, recurrent_weight)
        ctx.cell, ctx.kept, ctx.sizes, ctx.inputs_dtype = cell, kept, sizes, frames.dtype
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, gates, output, input_weight, recurrent_weight = ctx.saved_tensors
        batch, steps, directions, _ = gates.shape
        units, dtype = recurrent_weight.shape[2], gates.dtype
        gradients = [torch.empty_like(gates) for _ in range(ctx.cell.gradients)]
        weight = recurrent_weight.transpose(1, 2)
        now = _rows(weight, batch)
        state = np.zeros((directions, batch, units), np.float32)
        outer, whole = memory(gradient.to(dtype).contiguous()), (memory(gates), ctx.kept)

        def arrays(direction: int) -> tuple[NDArray[Any], ...]:
            own = memory(now[direction])
            return outer, ctx.sizes, state[direction], *whole, own, *map(memory, gradients)

        _recur(ctx.cell.backward, ctx.cell.step_backward, range(steps)[::-1], now, weight, arrays)
        of_inputs, of_products = (one.view(batch * steps, -1) for one in (gradients[0], gradients[-1]))
        of_frames = torch.mm(of_inputs, input_weight).view(batch, steps, -1)
        of_input_weight = torch.mm(of_inputs.t(), flat)
        before = _before(output, directions).flatten(0, 1)
        of_biases = [_sum(one.view(batch * steps, -1)).chunk(directions) for one in gradients]
        of_weights = zip(
            of_input_weight.float().chunk(directions),
            [
                torch.mm(own.t(), hidden).float()
                for own, hidden in zip(of_products.chunk(directions, 1), before.chunk(directions, 1), strict=True)
            ],
            of_biases[0],
            of_biases[-1],
            strict=True,
        )
        return None, None, of_frames.to(ctx.inputs_dtype), None, *itertools.chain.from_iterable(of_weights)


def _stacked(weights: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """As `torch.stack` of numbers of another kind, but seven times as fast."""
    stacked = torch.empty(len(weights), *weights[0].shape, dtype=dtype)
    for place, weight in zip(stacked, weights, strict=True):
        place.copy_(weight)
    return stacked


def _rows(weights: Tensor, batch: int) -> Tensor:
    """Zeros to be multiplied by weights (directions, outputs, inputs): (directions, batch, inputs or one more)."""
    kernel, inputs = products.kernel(weights.dtype), weights.shape[2]
    return weights.new_zeros(len(weights), batch, kernel.width(inputs) if kernel else inputs)


def _recur(
    whole: Callable[..., None],
    single: Callable[..., None],
    steps: Sequence[int],
    rows: Tensor,
    weights: Tensor,
    arrays: Callable[[int], tuple[NDArray[Any], ...]],
) -> None:
    """Go through all steps of all directions.

    Args:
        whole: all steps of one direction, of a `Cell`.
        single: a step of one direction, for machines where nothing multiplies in compiled loops.
        steps: in the order of `single`.
        rows: what is multiplied, as `_rows` made it.
        weights: (directions, outputs, inputs).
        arrays: the other arguments of both, for a direction.
    """
    directions, outputs, _ = weights.shape
    kernel = products.kernel(weights.dtype)
    if kernel is None:
        transposed, multiplied = weights.transpose(1, 2).contiguous(), rows.new_empty(*rows.shape[:2], outputs)
        for step in steps:
            torch.bmm(rows, transposed, out=multiplied)
            for direction in range(directions):
                single(step, direction, memory(multiplied[direction]), *arrays(direction))
        return

    packed = [kernel.pack(weight) for weight in weights]

    def run_one(direction: int) -> None:
        into = np.empty((rows.shape[1], kernel.columns(outputs)), np.float32)
        whole(kernel.functions, packed[direction], direction, into, *arrays(direction))

    if directions == 1 or torch.get_num_threads() == 1:
        for direction in range(directions):
            run_one(direction)
    else:
        other = _POOL.submit(run_one, 1)
        run_one(0)
        other.result()


def _sum(rows: Tensor) -> Tensor:
    """The sum of all rows in float32; as a matrix product, which in bf16 is many times faster than `sum`."""
    return torch.mm(torch.ones(1, len(rows), dtype=rows.dtype), rows)[0].float()


def _before(output: Tensor, directions: int) -> Tensor:
    """The output one step before each, which is zero before the first; shaped like `output`.

    Padding is zero, which is what stands before the first step of the backward direction.
    """
    before = torch.zeros_like(output)
    units = output.shape[2] // directions
    before[:, 1:, :units] = output[:, :-1, :units]
    before[:, :-1, units:] = output[:, 1:, units:]
    return before

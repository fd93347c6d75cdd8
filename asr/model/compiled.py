"""Training recurrent layers on CPUs, both directions at once, in float32 or bf16.

Matrix products go to PyTorch; what lies between them, the cell, is compiled, and stands in `lstm.py`, `gru.py` and
`elman.py`. What PyTorch does itself for an LSTM is slow backwards, and for a GRU all of it;
`tests/benchmarks/recurrence.py` measures both against this.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.model.arithmetic import memory

_PACKS = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-untyped-call]
"""Whether oneDNN multiplies bf16 here, by weights rearranged beforehand: operators that PyTorch's compiler uses."""
FEW_WEIGHTS = 1 << 19
"""Of a direction. A training step of three LSTM layers on two threads: 155 ms without rearranging, 162 with it, where
there are 2^18; of five, 616 and 558 ms where there are 2^20."""


@dataclass(frozen=True)
class Cell:
    """A recurrent cell with compiled steps. Arrays that hold `dtype` are bf16 bits or float32.

    The first argument of both steps is the number of the step, the second what was just multiplied, an array for each
    direction; the next are arrays with an axis each for direction and sequence. A sequence that has ended gives zeros.

    Attributes:
        gates: sums of W_ih x + b_ih + W_hh h + b_hh in a step, in PyTorch's order.
        kept: numbers per unit that the way back needs besides the gates.
        gradients: 1 where both summands of a gate have the same gradient, 2 where not.
        forward: of `products`, W_hh h, each (batch, gates * units), dtype; `bias`, b_hh (directions, gates * units);
            `sizes` (batch,); `state` (directions, batch, units); `hidden` (directions, batch, units), dtype;
            `output` (batch, frames, directions * units), dtype; `gates` (batch, frames, directions, gates * units),
            dtype, which come in as W_ih x + b_ih and are left after their nonlinearities; `kept` (batch, frames,
            directions, kept * units).
        backward: of `hidden`, the gradient of the hidden units by the step after, each (batch, units), dtype; `outer`,
            that of `output`; `sizes`; `state`, that of the state; `gates`; `kept`; `now`, the gradient of this step's
            products; and the gradients of W_ih x and, if they differ, of W_hh h, shaped like `gates`.
    """

    gates: int
    kept: int
    gradients: int
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
        gates = torch.addmm(torch.cat(weights[2::4]).to(dtype), flat, input_weight.t())
        gates = gates.view(batch, steps, directions, cell.gates * units)
        output = torch.empty(batch, steps, directions * units, dtype=dtype)
        kept = np.empty((batch, steps, directions, cell.kept * units), np.float32)
        hidden = torch.zeros(directions, batch, units, dtype=dtype)
        products = multiplier(hidden, recurrent_weight)
        state = np.zeros((directions, batch, units), np.float32)
        bias, sizes = torch.stack(weights[3::4]).numpy(), lengths.numpy()
        arrays = (bias, sizes, state, memory(hidden), memory(output), memory(gates), kept)
        for step in range(steps):
            cell.forward(step, products(), *arrays)
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
        now = torch.zeros(directions, batch, gates.shape[3], dtype=dtype)
        hidden = multiplier(now, recurrent_weight.transpose(1, 2))
        state = np.zeros((directions, batch, units), np.float32)
        outer = gradient.to(dtype).contiguous()
        arrays = (memory(outer), ctx.sizes, state, memory(gates), ctx.kept, memory(now))
        for step in reversed(range(steps)):
            ctx.cell.backward(step, hidden(), *arrays, *map(memory, gradients))
        of_inputs, of_products = (one.view(batch * steps, -1) for one in (gradients[0], gradients[-1]))
        of_frames = torch.mm(of_inputs, input_weight).view(batch, steps, -1)
        of_input_weight = torch.mm(of_inputs.t(), flat)
        before = _before(output, directions).flatten(0, 1)
        of_weights = zip(
            of_input_weight.float().chunk(directions),
            [
                torch.mm(own.t(), hidden).float()
                for own, hidden in zip(of_products.chunk(directions, 1), before.chunk(directions, 1), strict=True)
            ],
            _sum(of_inputs).chunk(directions),
            _sum(of_products).chunk(directions),
            strict=True,
        )
        return None, None, of_frames.to(ctx.inputs_dtype), None, *itertools.chain.from_iterable(of_weights)


def _stacked(weights: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """As `torch.stack` of numbers of another kind, but seven times as fast."""
    stacked = torch.empty(len(weights), *weights[0].shape, dtype=dtype)
    for place, weight in zip(stacked, weights, strict=True):
        place.copy_(weight)
    return stacked


def multiplier(rows: Tensor, weights: Tensor) -> Callable[[], tuple[NDArray[Any], ...]]:
    """What multiplies rows, as they are whenever it is called, by weights that stay: rows weights'.

    A matrix product rearranges its weights at every call, which takes longer than to multiply a few rows by them. In
    bf16 oneDNN can be given them rearranged once; that is a quarter to a half faster. In float32 it is slower, and with
    two threads it is where weights are few: then it is better that each multiplies for a direction.

    Args:
        rows: (directions, batch, inputs).
        weights: (directions, outputs, inputs).

    Returns:
        A function that returns a (batch, outputs) array for each direction, valid until it is called again.
    """
    if rows.dtype == torch.bfloat16 and _PACKS and (torch.get_num_threads() == 1 or weights[0].numel() > FEW_WEIGHTS):
        operators = torch.ops.mkldnn
        multiply = operators._linear_pointwise.default
        pairs = [
            (own, operators._reorder_linear_weight(weight, len(own))) for own, weight in zip(rows, weights, strict=True)
        ]
        return lambda: tuple(memory(multiply(own, weight, None, "none", [], "")) for own, weight in pairs)
    transposed = weights.transpose(1, 2).contiguous()
    products = rows.new_empty(*rows.shape[:2], weights.shape[1])
    arrays = tuple(memory(product) for product in products)

    def multiply_all() -> tuple[NDArray[Any], ...]:
        torch.bmm(rows, transposed, out=products)
        return arrays

    return multiply_all


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

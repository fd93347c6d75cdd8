"""Training recurrent layers on CPUs, both directions at once, in float32 or bf16.

Matrix products go to PyTorch; what lies between them, the cell, is compiled, and stands in `lstm.py`, `gru.py` and
`elman.py`. What PyTorch does itself for an LSTM is slow backwards, and for a GRU all of it;
`tests/benchmarks/recurrence.py` measures both against this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asr.model.arithmetic import memory


@dataclass(frozen=True)
class Cell:
    """A recurrent cell with compiled steps. Arrays that hold `dtype` are bf16 bits or float32.

    The first argument of both steps is the number of the step, the next are arrays with an axis each for direction
    and sequence. A sequence that has ended gives zeros.

    Attributes:
        gates: sums of W_ih x + b_ih + W_hh h + b_hh in a step, in PyTorch's order.
        kept: numbers per unit that the way back needs besides the gates.
        gradients: 1 where both summands of a gate have the same gradient, 2 where not.
        forward: of `products`, W_hh h (directions, batch, gates * units), dtype; `bias`, b_hh (directions, gates *
            units); `sizes` (batch,); `state` (directions, batch, units); `hidden` (directions, batch, units), dtype;
            `output` (batch, frames, directions * units), dtype; `gates` (batch, frames, directions, gates * units),
            dtype, which come in as W_ih x + b_ih and are left after their nonlinearities; `kept` (batch, frames,
            directions, kept * units).
        backward: of `outer`, the gradient of `output`; `hidden`, that of the hidden units by the step after; `sizes`;
            `state`, that of the state; `gates`; `kept`; `now`, the gradient of this step's products; and the gradients
            of W_ih x and, if they differ, of W_hh h, shaped like `gates`.
    """

    gates: int
    kept: int
    gradients: int
    forward: Callable[..., None]
    backward: Callable[..., None]


def run(cell: Cell, frames: Tensor, lengths: Tensor, directions: Sequence[nn.RNNBase], dtype: torch.dtype) -> Tensor:
    """Run one layer over a padded batch, on the CPU.

    Args:
        cell: what the directions are made of.
        frames: (batch, frames, inputs), each sequence padded at its end.
        lengths: (batch,) valid frames of each sequence.
        directions: single-layer recurrences that hold the weights; the second one, if any, reads each sequence
            backwards.
        dtype: float32, or bfloat16 for what is multiplied; states are float32 in either.

    Returns:
        (batch, frames, directions * units), dtype, zero in the padding.
    """
    weights = [parameter for direction in directions for parameter in direction.parameters()]
    result: Tensor = _Layer.apply(cell, dtype, frames, lengths, *weights)  # type: ignore[no-untyped-call]
    return result


class _Layer(torch.autograd.Function):
    """Weights come as W_ih, W_hh, b_ih, b_hh of each direction in turn."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, dtype: torch.dtype, frames: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        batch, steps, _ = frames.shape
        directions, units = len(weights) // 4, weights[1].shape[1]
        flat = frames.to(dtype).flatten(0, 1)
        input_weight = torch.cat([weight.to(dtype) for weight in weights[0::4]])
        recurrent_weight = torch.stack([weight.to(dtype) for weight in weights[1::4]])
        transposed = recurrent_weight.transpose(1, 2).contiguous()
        gates = torch.addmm(torch.cat(weights[2::4]).to(dtype), flat, input_weight.t())
        gates = gates.view(batch, steps, directions, cell.gates * units)
        output = torch.empty(batch, steps, directions * units, dtype=dtype)
        kept = np.empty((batch, steps, directions, cell.kept * units), np.float32)
        hidden = torch.zeros(directions, batch, units, dtype=dtype)
        products = torch.empty(directions, batch, cell.gates * units, dtype=dtype)
        state = np.zeros((directions, batch, units), np.float32)
        bias, sizes = torch.stack(weights[3::4]).numpy(), lengths.numpy()
        arrays = (memory(products), bias, sizes, state, memory(hidden), memory(output), memory(gates), kept)
        for step in range(steps):
            torch.bmm(hidden, transposed, out=products)
            cell.forward(step, *arrays)
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
        hidden = torch.empty(directions, batch, units, dtype=dtype)
        state = np.zeros((directions, batch, units), np.float32)
        outer = gradient.to(dtype).contiguous()
        arrays = (memory(outer), memory(hidden), ctx.sizes, state, memory(gates), ctx.kept, memory(now))
        for step in reversed(range(steps)):
            torch.bmm(now, recurrent_weight, out=hidden)
            ctx.cell.backward(step, *arrays, *map(memory, gradients))
        of_frames = torch.mm(gradients[0].view(batch * steps, -1), input_weight).view(batch, steps, -1)
        of_weights: list[Tensor] = []
        for direction in range(directions):
            inputs, products = (one.flatten(0, 1)[:, direction] for one in (gradients[0], gradients[-1]))
            of_weights += [
                torch.mm(inputs.t(), flat).float(),
                _recurrent_gradient(gradients[-1], output, direction),
                _sum(inputs),
                _sum(products),
            ]
        return None, None, of_frames.to(ctx.inputs_dtype), None, *of_weights


def _sum(rows: Tensor) -> Tensor:
    """The sum of all rows in float32; as a matrix product, which in bf16 is many times faster than `sum`."""
    return torch.mm(torch.ones(1, len(rows), dtype=rows.dtype), rows)[0].float()


def _recurrent_gradient(gradients: Tensor, output: Tensor, direction: int) -> Tensor:
    """Sum over frames of (gradient of the products) x (output one step before); that is zero before the first step.

    Padding is zero in both, which is what stands before the first step of the backward direction.
    """
    units = output.shape[2] // gradients.shape[2]
    after, before = (slice(1, None), slice(None, -1)) if direction == 0 else (slice(None, -1), slice(1, None))
    of_products = gradients[:, after, direction].flatten(0, 1)
    of_output = output[:, before, direction * units : (direction + 1) * units].flatten(0, 1)
    return torch.mm(of_products.t(), of_output).float()

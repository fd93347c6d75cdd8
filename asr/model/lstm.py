"""Training an LSTM layer in bf16 on CPUs, both directions at once.

Matrix products go to oneDNN; what lies between them, the cell, is compiled here. PyTorch's own oneDNN layer multiplies
as fast, but is slow backwards in bf16: `tests/benchmarks/recurrence.py` measures 84 ms there where this takes 60. One
step, in PyTorch's gate order (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid (W_ih x_t + b + W_hh h_t-1)
    c_t = f c_t-1 + i g        h_t = o tanh(c_t)

numba has no bf16: such numbers cross to it as bits, the upper half of a float32's. Sums and cells are float32.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

f32, u32 = np.float32, np.uint32
FAST = {"contract", "arcp", "nsz"}
"""Liberties of the compiler: it may fuse multiply-adds and ignore the sign of zero. Not-a-number keeps its meaning."""
TANH_LIMIT = f32(4.97)
"""Where the rational function below reaches one."""


def lstm(frames: Tensor, lengths: Tensor, directions: Sequence[nn.LSTM]) -> Tensor:
    """Run one layer over a padded batch, on the CPU, in bf16.

    Args:
        frames: (batch, frames, inputs), each sequence padded at its end.
        lengths: (batch,) valid frames of each sequence.
        directions: single-layer LSTMs that hold the weights; the second one, if any, reads each sequence backwards.

    Returns:
        (batch, frames, directions * units), bfloat16, zero in the padding.
    """
    weights = [parameter for direction in directions for parameter in direction.parameters()]
    result: Tensor = _Lstm.apply(frames, lengths, *weights)  # type: ignore[no-untyped-call]
    return result


class _Lstm(torch.autograd.Function):
    """Weights come as W_ih, W_hh, b_ih, b_hh of each direction in turn."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        batch, steps, _ = frames.shape
        directions, units = len(weights) // 4, weights[1].shape[1]
        frames_in = frames.bfloat16().flatten(0, 1)
        input_weight = torch.cat([weight.bfloat16() for weight in weights[0::4]])
        recurrent_weight = torch.stack([weight.bfloat16() for weight in weights[1::4]])
        transposed = recurrent_weight.transpose(1, 2).contiguous()
        bias = torch.cat([one + other for one, other in zip(weights[2::4], weights[3::4], strict=True)])
        gates = torch.addmm(bias.bfloat16(), frames_in, input_weight.t())
        gates = gates.view(batch, steps, directions, 4 * units)
        output = torch.empty(batch, steps, directions * units, dtype=torch.bfloat16)
        cells = np.empty((batch, steps, directions, units), f32)
        hidden = torch.zeros(directions, batch, units, dtype=torch.bfloat16)
        products = torch.empty(directions, batch, 4 * units, dtype=torch.bfloat16)
        cell = np.zeros((directions, batch, units), f32)
        sizes = lengths.numpy()
        arrays = (_bits(products), _bits(gates), sizes, cell, _bits(hidden), _bits(output), cells)
        for step in range(steps):
            torch.bmm(hidden, transposed, out=products)
            _step_forward(step, *arrays)
        ctx.save_for_backward(frames_in, gates, output, input_weight, recurrent_weight)
        ctx.cells, ctx.sizes, ctx.inputs_dtype = cells, sizes, frames.dtype
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames_in, gates, output, input_weight, recurrent_weight = ctx.saved_tensors
        batch, steps, directions, _ = gates.shape
        units = recurrent_weight.shape[2]
        gate_gradients = torch.empty_like(gates)
        now = torch.zeros(directions, batch, 4 * units, dtype=torch.bfloat16)
        hidden = torch.empty(directions, batch, units, dtype=torch.bfloat16)
        cell = np.zeros((directions, batch, units), f32)
        outer = gradient.bfloat16().contiguous()
        arrays = (
            _bits(outer),
            _bits(hidden),
            ctx.sizes,
            cell,
            _bits(gates),
            ctx.cells,
            _bits(now),
            _bits(gate_gradients),
        )
        for step in reversed(range(steps)):
            torch.bmm(now, recurrent_weight, out=hidden)
            _step_backward(step, *arrays)
        flat = gate_gradients.flatten(2).flatten(0, 1)
        for_frames = torch.mm(flat, input_weight).view(batch, steps, -1).to(ctx.inputs_dtype)
        for_weights: list[Tensor] = []
        ones = torch.ones(1, len(flat), dtype=torch.bfloat16)
        for direction in range(directions):
            of_gates = flat[:, direction * 4 * units : (direction + 1) * 4 * units]
            for_bias = torch.mm(ones, of_gates)[0].float()
            for_recurrent = _recurrent_gradient(gate_gradients, output, direction)
            for_weights += [torch.mm(of_gates.t(), frames_in).float(), for_recurrent, for_bias, for_bias.clone()]
        return for_frames, None, *for_weights


def _recurrent_gradient(gate_gradients: Tensor, output: Tensor, direction: int) -> Tensor:
    """Sum over frames of (gradient of the gates) x (output one step before); that is zero before the first step.

    Padding is zero in both, which is what stands before the first step of the backward direction.
    """
    units = gate_gradients.shape[3] // 4
    after, before = (slice(1, None), slice(None, -1)) if direction == 0 else (slice(None, -1), slice(1, None))
    of_gates = gate_gradients[:, after, direction].flatten(0, 1)
    of_output = output[:, before, direction * units : (direction + 1) * units].flatten(0, 1)
    return torch.mm(of_gates.t(), of_output).float()


def _bits(tensor: Tensor) -> NDArray[np.uint16]:
    """A bf16 tensor as its bits, in the same memory."""
    bits: NDArray[np.uint16] = tensor.view(torch.uint16).numpy()
    return bits


@numba.njit(inline="always")
def _wide(bits):  # type: ignore[no-untyped-def]
    """bf16 bits as float32."""
    return u32(u32(bits) << u32(16)).view(f32)


@numba.njit(inline="always")
def _narrow(value):  # type: ignore[no-untyped-def]
    """float32 as bf16 bits, rounded to nearest, ties to even; not-a-number stays so, infinity too."""
    bits = f32(value).view(u32)
    return np.uint16(u32(bits + u32(0x7FFF) + u32(u32(bits >> u32(16)) & u32(1))) >> u32(16))


@numba.njit(inline="always")
def _tanh(x):  # type: ignore[no-untyped-def]
    """Lambert's continued fraction for tanh, cut after the seventh term: within 1e-4, a 40th of a bf16 rounding.

    A polynomial over a polynomial, unlike the C library's function, runs on whole vectors.
    """
    x = min(max(x, -TANH_LIMIT), TANH_LIMIT)
    s = x * x
    above = f32(135135) + s * (f32(17325) + s * (f32(378) + s))
    return x * above / (f32(135135) + s * (f32(62370) + s * (f32(3150) + s * f32(28))))


@numba.njit(inline="always")
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return f32(0.5) * _tanh(f32(0.5) * x) + f32(0.5)


@numba.njit(inline="always")
def _position(direction, step, size):  # type: ignore[no-untyped-def]
    """The frame that a direction reads at a step: the second direction reverses each sequence within its length."""
    return step if direction == 0 else size - 1 - step


@numba.njit(cache=True, nogil=True)
def _step_forward(step, products, gates, sizes, cell, hidden, output, cells):  # type: ignore[no-untyped-def]
    """One step of all directions. Gates come in as W_ih x + b and are left as i, f, g, o."""
    directions, batch, units = cell.shape
    for direction in range(directions):
        own = slice(direction * units, (direction + 1) * units)
        for row in range(batch):
            if step >= sizes[row]:
                output[row, step, own] = 0
                continue
            frame = _position(direction, step, sizes[row])
            h = hidden[direction, row]
            _row_forward(
                products[direction, row],
                gates[row, frame, direction],
                cell[direction, row],
                h,
                cells[row, frame, direction],
            )
            output[row, frame, own] = h


@numba.njit(cache=True, nogil=True)
def _step_backward(step, outer, hidden, sizes, cell, gates, cells, now, gate_gradients):  # type: ignore[no-untyped-def]
    """One step back of all directions: gradients of the gates before their nonlinearities, and of the cell."""
    directions, batch, units = cell.shape
    nothing = np.zeros(units, f32)
    for direction in range(directions):
        own = slice(direction * units, (direction + 1) * units)
        for row in range(batch):
            if step >= sizes[row]:
                gate_gradients[row, step, direction, :] = 0
                continue
            frame = _position(direction, step, sizes[row])
            before = cells[row, _position(direction, step - 1, sizes[row]), direction] if step else nothing
            into = now[direction, row]
            _row_backward(
                outer[row, frame, own],
                hidden[direction, row],
                cell[direction, row],
                gates[row, frame, direction],
                cells[row, frame, direction],
                before,
                into,
            )
            gate_gradients[row, frame, direction, :] = into


# The loops over units stand in functions of their own: there the compiler sees that they can be vectorised.


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_forward(product, gate, cell, hidden, kept):  # type: ignore[no-untyped-def]
    units = cell.shape[0]
    for j in range(units):
        i = _sigmoid(_wide(product[j]) + _wide(gate[j]))
        f = _sigmoid(_wide(product[units + j]) + _wide(gate[units + j]))
        g = _tanh(_wide(product[2 * units + j]) + _wide(gate[2 * units + j]))
        o = _sigmoid(_wide(product[3 * units + j]) + _wide(gate[3 * units + j]))
        value = f * cell[j] + i * g
        cell[j] = value
        kept[j] = value
        hidden[j] = _narrow(o * _tanh(value))
        gate[j], gate[units + j], gate[2 * units + j], gate[3 * units + j] = (
            _narrow(i),
            _narrow(f),
            _narrow(g),
            _narrow(o),
        )


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_backward(outer, hidden, cell, gate, value, before, into):  # type: ignore[no-untyped-def]
    units = cell.shape[0]
    for j in range(units):
        i, f = _wide(gate[j]), _wide(gate[units + j])
        g, o = _wide(gate[2 * units + j]), _wide(gate[3 * units + j])
        dh = _wide(outer[j]) + _wide(hidden[j])
        t = _tanh(value[j])
        dc = cell[j] + dh * o * (f32(1) - t * t)
        cell[j] = dc * f
        into[j] = _narrow(dc * g * i * (f32(1) - i))
        into[units + j] = _narrow(dc * before[j] * f * (f32(1) - f))
        into[2 * units + j] = _narrow(dc * i * (f32(1) - g * g))
        into[3 * units + j] = _narrow(dh * t * o * (f32(1) - o))

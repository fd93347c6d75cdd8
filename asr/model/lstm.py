"""The LSTM cell (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), compiled.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid (W_ih x_t + b_ih + W_hh h_t-1 + b_hh)
    c_t = f c_t-1 + i g        h_t = o tanh(c_t)

Gates stand in PyTorch's order, i, f, g, o. The state is c, and is kept.
"""

import numba
import numpy as np

from asr.model.arithmetic import FAST, f32, position, sigmoid, store, tanh, wide
from asr.model.compiled import Cell
from asr.model.products import multiply, release


@numba.njit(cache=True, nogil=True)
def _step_forward(step, direction, products, bias, sizes, state, hidden, output, gates, kept):  # type: ignore[no-untyped-def]
    batch, units = state.shape
    own = slice(direction * units, (direction + 1) * units)
    for row in range(batch):
        if step >= sizes[row]:
            output[row, step, own] = 0
            continue
        frame = position(direction, step, sizes[row])
        h = hidden[row, :units]
        _row_forward(products[row], bias, state[row], h, gates[row, frame, direction], kept[row, frame, direction])
        output[row, frame, own] = h


@numba.njit(cache=True, nogil=True)
def _step_backward(step, direction, hidden, outer, sizes, state, gates, kept, now, gradients):  # type: ignore[no-untyped-def]
    batch, units = state.shape
    own = slice(direction * units, (direction + 1) * units)
    nothing = np.zeros(units, f32)
    for row in range(batch):
        if step >= sizes[row]:
            gradients[row, step, direction, :] = 0
            continue
        frame = position(direction, step, sizes[row])
        before = kept[row, position(direction, step - 1, sizes[row]), direction] if step else nothing
        into = now[row, : 4 * units]
        _row_backward(
            outer[row, frame, own],
            hidden[row],
            state[row],
            gates[row, frame, direction],
            kept[row, frame, direction],
            before,
            into,
        )
        gradients[row, frame, direction, :] = into


@numba.njit(cache=True, nogil=True)
def _forward(kernel, weights, direction, products, bias, sizes, state, hidden, output, gates, kept):  # type: ignore[no-untyped-def]
    for step in range(output.shape[1]):
        multiply(kernel, hidden, weights, products)
        _step_forward(step, direction, products, bias, sizes, state, hidden, output, gates, kept)
    release(kernel)


@numba.njit(cache=True, nogil=True)
def _backward(kernel, weights, direction, hidden, outer, sizes, state, gates, kept, now, gradients):  # type: ignore[no-untyped-def]
    for step in range(outer.shape[1] - 1, -1, -1):
        multiply(kernel, now, weights, hidden)
        _step_backward(step, direction, hidden, outer, sizes, state, gates, kept, now, gradients)
    release(kernel)


# The loops over units stand in functions of their own: there the compiler sees that they can be vectorised.


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_forward(product, bias, cell, hidden, gate, kept):  # type: ignore[no-untyped-def]
    units = cell.shape[0]
    for j in range(units):
        i = sigmoid(wide(product[j]) + wide(gate[j]) + bias[j])
        f = sigmoid(wide(product[units + j]) + wide(gate[units + j]) + bias[units + j])
        g = tanh(wide(product[2 * units + j]) + wide(gate[2 * units + j]) + bias[2 * units + j])
        o = sigmoid(wide(product[3 * units + j]) + wide(gate[3 * units + j]) + bias[3 * units + j])
        value = f * cell[j] + i * g
        cell[j] = value
        kept[j] = value
        store(hidden, j, o * tanh(value))
        store(gate, j, i)
        store(gate, units + j, f)
        store(gate, 2 * units + j, g)
        store(gate, 3 * units + j, o)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_backward(outer, hidden, cell, gate, value, before, into):  # type: ignore[no-untyped-def]
    units = cell.shape[0]
    for j in range(units):
        i, f = wide(gate[j]), wide(gate[units + j])
        g, o = wide(gate[2 * units + j]), wide(gate[3 * units + j])
        dh = wide(outer[j]) + wide(hidden[j])
        t = tanh(value[j])
        dc = cell[j] + dh * o * (f32(1) - t * t)
        cell[j] = dc * f
        store(into, j, dc * g * i * (f32(1) - i))
        store(into, units + j, dc * before[j] * f * (f32(1) - f))
        store(into, 2 * units + j, dc * i * (f32(1) - g * g))
        store(into, 3 * units + j, dh * t * o * (f32(1) - o))


LSTM = Cell(4, 1, 1, _step_forward, _step_backward, _forward, _backward)

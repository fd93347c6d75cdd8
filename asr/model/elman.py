"""The cell of Elman (1990), compiled.

    h_t = tanh (W_ih x_t + b_ih + W_hh h_t-1 + b_hh)

Its only gate is h; there is no other state, and nothing else is kept.
"""

import numba

from asr.model.arithmetic import FAST, f32, position, store, tanh, wide
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
        _row_forward(products[row], bias, h, gates[row, frame, direction])
        output[row, frame, own] = h


@numba.njit(cache=True, nogil=True)
def _step_backward(step, direction, hidden, outer, sizes, state, gates, kept, now, gradients):  # type: ignore[no-untyped-def]
    batch, units = state.shape
    own = slice(direction * units, (direction + 1) * units)
    for row in range(batch):
        if step >= sizes[row]:
            gradients[row, step, direction, :] = 0
            continue
        frame = position(direction, step, sizes[row])
        into = now[row, :units]
        _row_backward(outer[row, frame, own], hidden[row], gates[row, frame, direction], into)
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
def _row_forward(product, bias, hidden, gate):  # type: ignore[no-untyped-def]
    for j in range(hidden.shape[0]):
        value = tanh(wide(product[j]) + wide(gate[j]) + bias[j])
        store(hidden, j, value)
        store(gate, j, value)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_backward(outer, hidden, gate, into):  # type: ignore[no-untyped-def]
    for j in range(gate.shape[0]):
        value = wide(gate[j])
        store(into, j, (wide(outer[j]) + wide(hidden[j])) * (f32(1) - value * value))


ELMAN = Cell(1, 0, 1, _step_forward, _step_backward, _forward, _backward)

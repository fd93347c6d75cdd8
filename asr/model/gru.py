"""The GRU cell (Cho et al. 2014), compiled, as PyTorch has it: the reset gate acts after the recurrent product.

    r, z = sigmoid (W_ih x_t + b_ih + W_hh h_t-1 + b_hh)
    m = W_hn h_t-1 + b_hn        n = tanh (W_in x_t + b_in + r m)
    h_t = (1 - z) n + z h_t-1

Gates stand in the order r, z, n. The state is h, in float32; kept are m and h_t-1 - n.
"""

import numba

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
def _step_backward(step, direction, hidden, outer, sizes, state, gates, kept, now, of_inputs, of_products):  # type: ignore[no-untyped-def]
    batch, units = state.shape
    own = slice(direction * units, (direction + 1) * units)
    for row in range(batch):
        if step >= sizes[row]:
            of_inputs[row, step, direction, :] = 0
            of_products[row, step, direction, :] = 0
            continue
        frame = position(direction, step, sizes[row])
        into = now[row, : 3 * units]
        _row_backward(
            outer[row, frame, own],
            hidden[row],
            state[row],
            gates[row, frame, direction],
            kept[row, frame, direction],
            of_inputs[row, frame, direction],
            into,
        )
        of_products[row, frame, direction, :] = into


@numba.njit(cache=True, nogil=True)
def _forward(kernel, weights, direction, products, bias, sizes, state, hidden, output, gates, kept):  # type: ignore[no-untyped-def]
    for step in range(output.shape[1]):
        multiply(kernel, hidden, weights, products)
        _step_forward(step, direction, products, bias, sizes, state, hidden, output, gates, kept)
    release(kernel)


@numba.njit(cache=True, nogil=True)
def _backward(kernel, weights, direction, hidden, outer, sizes, state, gates, kept, now, of_inputs, of_products):  # type: ignore[no-untyped-def]
    for step in range(outer.shape[1] - 1, -1, -1):
        multiply(kernel, now, weights, hidden)
        _step_backward(step, direction, hidden, outer, sizes, state, gates, kept, now, of_inputs, of_products)
    release(kernel)


# The loops over units stand in functions of their own: there the compiler sees that they can be vectorised.


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_forward(product, bias, state, hidden, gate, kept):  # type: ignore[no-untyped-def]
    units = state.shape[0]
    for j in range(units):
        r = sigmoid(wide(product[j]) + wide(gate[j]) + bias[j])
        z = sigmoid(wide(product[units + j]) + wide(gate[units + j]) + bias[units + j])
        m = wide(product[2 * units + j]) + bias[2 * units + j]
        n = tanh(wide(gate[2 * units + j]) + r * m)
        apart = state[j] - n
        value = n + z * apart
        state[j] = value
        kept[j] = m
        kept[units + j] = apart
        store(hidden, j, value)
        store(gate, j, r)
        store(gate, units + j, z)
        store(gate, 2 * units + j, n)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _row_backward(outer, hidden, state, gate, kept, of_input, into):  # type: ignore[no-untyped-def]
    units = state.shape[0]
    for j in range(units):
        r, z, n = wide(gate[j]), wide(gate[units + j]), wide(gate[2 * units + j])
        dh = wide(outer[j]) + wide(hidden[j]) + state[j]
        state[j] = dh * z
        dn = dh * (f32(1) - z) * (f32(1) - n * n)
        dr = dn * kept[j] * r * (f32(1) - r)
        dz = dh * kept[units + j] * z * (f32(1) - z)
        store(of_input, j, dr)
        store(of_input, units + j, dz)
        store(of_input, 2 * units + j, dn)
        store(into, j, dr)
        store(into, units + j, dz)
        store(into, 2 * units + j, dn * r)


GRU = Cell(3, 2, 2, _step_forward, _step_backward, _forward, _backward)

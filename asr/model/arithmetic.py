"""Numbers within compiled cells: bf16 or float32 in memory, float32 in between.

numba has no bf16: such numbers cross to it as bits, the upper half of a float32's. A cell is written once; `wide` and
`store` read and write either kind of array.
"""

from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

f32, u32 = np.float32, np.uint32
FAST = {"contract", "arcp", "nsz"}
"""Liberties of the compiler: it may fuse multiply-adds and ignore the sign of zero. Not-a-number keeps its meaning."""
TANH_LIMIT = f32(9)
"""Where tanh is one in float32."""


def memory(tensor: Tensor) -> NDArray[Any]:
    """A tensor's own memory as numba takes it: float32, or bf16 as its bits."""
    array: NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def wide(number: Any) -> Any:
    """A number in memory, bf16 bits or float32, as float32; in compiled code only."""
    raise NotImplementedError


def store(array: Any, index: Any, value: Any) -> None:
    """Write a float32 into an array of bf16 bits or of float32; in compiled code only."""
    raise NotImplementedError


# Not inlined by numba: then bf16 loops would not be vectorised, and a cell take four times as long. LLVM inlines them.


@overload(wide)
def _wide(number):  # type: ignore[no-untyped-def]
    if number == numba.types.uint16:
        return lambda number: u32(u32(number) << u32(16)).view(f32)
    return lambda number: number


@overload(store)
def _store(array, index, value):  # type: ignore[no-untyped-def]
    def narrow(array, index, value):  # type: ignore[no-untyped-def]
        """Round to nearest, ties to even; not-a-number stays so, infinity too."""
        bits = f32(value).view(u32)
        array[index] = np.uint16(u32(bits + u32(0x7FFF) + u32(u32(bits >> u32(16)) & u32(1))) >> u32(16))

    def keep(array, index, value):  # type: ignore[no-untyped-def]
        array[index] = value

    return narrow if array.dtype == numba.types.uint16 else keep


@numba.njit(inline="always")
def tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent within 3e-7 of itself, on whole vectors, unlike the C library's.

    Lambert's continued fraction, cut after the seventh term, at half of x; then tanh x = 2 t / (1 + t^2).
    """
    x = f32(0.5) * min(max(x, -TANH_LIMIT), TANH_LIMIT)
    s = x * x
    above = x * (f32(135135) + s * (f32(17325) + s * (f32(378) + s)))
    below = f32(135135) + s * (f32(62370) + s * (f32(3150) + s * f32(28)))
    return f32(2) * above * below / (below * below + above * above)


@numba.njit(inline="always")
def sigmoid(x):  # type: ignore[no-untyped-def]
    """The logistic function, as exact as `tanh`."""
    return f32(0.5) * tanh(f32(0.5) * x) + f32(0.5)


@numba.njit(inline="always")
def position(direction, step, size):  # type: ignore[no-untyped-def]
    """The frame that a direction reads at a step: the second direction reverses each sequence within its length."""
    return step if direction == 0 else size - 1 - step

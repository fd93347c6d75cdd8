"""Products of a few rows with weights that stay, called from within compiled loops.

At every step a recurrence multiplies some twenty rows by the same weights. In bf16 that takes fifteen microseconds if
the weights are arranged for it beforehand; to arrange them at every call, or to call from Python, takes longer than the
product. PyTorch's library holds what does neither, oneDNN's micro-kernel for blocks of matrix products (brgemm), and
exports it: `at::native::cpublas::brgemm` and `brgemm_release` of ATen/native/CPUBlas.h, under their C++ names. In
float32 the micro-kernel is our own, `panels.py`.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray
from torch import Tensor

from asr.model.arithmetic import memory
from asr.model.panels import Panels, multiply_panels

LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
MULTIPLY = "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb"
RELEASE = "_ZN2at6native7cpublas14brgemm_releaseEb"


class Kernel(Protocol):
    """What arranges arrays for `multiply`."""

    @property
    def functions(self) -> tuple[int, ...]:
        """What compiled code is given."""

    def pack(self, weights: Tensor) -> NDArray[Any]:
        """Weights (outputs, inputs) as it reads them."""

    def width(self, inputs: int) -> int:
        """Columns that rows must have; those beyond `inputs` are zero."""

    def columns(self, outputs: int) -> int:
        """Columns that products must have; those beyond `outputs` mean nothing."""


@dataclass(frozen=True)
class Brgemm:
    """Addresses of the two functions of PyTorch's library; weights and rows are in bf16."""

    multiply: int
    release: int

    @property
    def functions(self) -> tuple[int, int]:
        return self.multiply, self.release

    def pack(self, weights: Tensor) -> NDArray[Any]:
        """As processors take them, pairs of inputs: (width / 2, outputs, 2)."""
        outputs, inputs = weights.shape
        if inputs % 2:
            weights = torch.nn.functional.pad(weights, (0, 1))
        if weights.is_contiguous():
            # pairs are numbers of twice the size, and transposing those is up to five times as fast
            return memory(weights.view(torch.int32).t().contiguous().view(torch.bfloat16).view(-1, outputs, 2))
        return memory(weights.reshape(outputs, -1, 2).transpose(0, 1).contiguous())

    def width(self, inputs: int) -> int:
        return inputs + inputs % 2

    def columns(self, outputs: int) -> int:
        return outputs


@cache
def kernel(dtype: torch.dtype) -> Kernel | None:
    """What multiplies numbers of a kind on this machine; None if PyTorch is to do it, between compiled loops.

    In float32 our own is taken on processors with vectors of AVX2: of wider ones it would use half, and on others it
    has not been measured.
    """
    if dtype == torch.float32 and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return Panels()
    # The functions end the process where oneDNN finds the processor too old, so it is asked first; and these variables
    # make it pretend to find an older one.
    limited = any(name in os.environ for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"))
    if dtype != torch.bfloat16 or limited or not torch.cpu._is_avx512_bf16_supported():
        return None
    try:
        library = ctypes.CDLL(str(LIBRARY))
        addresses = [ctypes.cast(library[name], ctypes.c_void_p).value for name in (MULTIPLY, RELEASE)]
    except (OSError, AttributeError):
        return None
    multiply, release = (address or 0 for address in addresses)
    return Brgemm(multiply, release)


TRUTH = ir.IntType(1)


def _call(builder: Any, functions: Any, place: int, arguments: list[Any]) -> None:
    """Call one of a kernel's functions, whose last argument is whether inputs stand in pairs."""
    arguments = [*arguments, TRUTH(1)]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(builder.inttoptr(builder.extract_value(functions, place), kind.as_pointer()), arguments)


def _brgemm(typing_context, functions, rows, weights, products):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pointer = ir.IntType(8).as_pointer()
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[1:], arguments[1:], strict=True)
        ]
        data = [builder.bitcast(array.data, pointer) for array in arrays]
        batch, inputs = (builder.extract_value(arrays[0].shape, axis) for axis in (0, 1))
        outputs = builder.extract_value(arrays[2].shape, 1)
        # sizes, strides from row to row, whether to add to what is there, arrays
        _call(builder, arguments[0], 0, [batch, outputs, inputs, inputs, outputs, outputs, TRUTH(0), *data])
        return context.get_dummy_value()

    return types.void(functions, rows, weights, products), generate


def _release(typing_context, functions):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _call(builder, arguments[0], 1, [])
        return context.get_dummy_value()

    return types.void(functions), generate


_multiply_pairs: Callable[..., None] = intrinsic(_brgemm)
_release_registers: Callable[..., None] = intrinsic(_release)


def multiply(functions: Any, rows: Any, weights: Any, products: Any) -> None:
    """In compiled code only: let products be rows times weights.

    Of the `functions` of the `Kernel` that packed the weights, rows (batch, width), weights as packed, and products
    (batch, columns), float32; all contiguous. A thread that has multiplied must `release` before PyTorch multiplies in
    it.
    """
    raise NotImplementedError


def release(functions: Any) -> None:
    """In compiled code only: give back the processor's matrix registers; of the `functions` of a `Kernel`."""
    raise NotImplementedError


@overload(multiply)
def _choose_multiply(functions, rows, weights, products):  # type: ignore[no-untyped-def]
    if len(functions) == 0:
        return lambda functions, rows, weights, products: multiply_panels(rows, weights, products)
    return lambda functions, rows, weights, products: _multiply_pairs(functions, rows, weights, products)


@overload(release)
def _choose_release(functions):  # type: ignore[no-untyped-def]
    if len(functions) == 0:
        return lambda functions: None
    return lambda functions: _release_registers(functions)

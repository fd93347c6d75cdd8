"""Products in float32 of a few rows with weights that stay, in compiled loops of our own.

Libraries multiply large matrices as fast as the processor can, and twenty rows more slowly: they arrange the weights
anew at every call. Here they are arranged once a batch, in panels two vectors wide, as in BLIS (Van Zee & van
de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS functionality", ACM TOMS 41(3)). A block of up to six
rows times a panel keeps all its sums in registers. Twenty rows and the weights of 256 LSTM units take 130 to 137
microseconds so, and 192 to 200 in PyTorch, on a core of an AMD EPYC (Zen 3; `tests/benchmarks/RESULTS.md`).
"""

from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from asr.model.arithmetic import memory

LANES = 8
"""Numbers in a vector of AVX2."""
VECTORS = 2
PANEL = LANES * VECTORS
"""Outputs of a panel."""
TALLEST = 6
"""Rows of a block: twelve sums, two vectors of weights and a row's number fill fifteen of sixteen registers."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)
INDEX = ir.IntType(64)


class Panels:
    """Arranges weights and rows for `multiply`."""

    functions = ()

    def pack(self, weights: Tensor) -> NDArray[Any]:
        """Weights (outputs, inputs) in panels: (columns / PANEL, inputs, PANEL), with zeros beyond the outputs."""
        outputs, inputs = weights.shape
        padded = weights.new_zeros(self.columns(outputs), inputs)
        padded[:outputs] = weights
        return memory(padded.view(-1, PANEL, inputs).transpose(1, 2).contiguous())

    def width(self, inputs: int) -> int:
        """Columns that rows must have."""
        return inputs

    def columns(self, outputs: int) -> int:
        """Columns that products must have; those beyond `outputs` are zero."""
        return -(-outputs // PANEL) * PANEL


@numba.njit(nogil=True)
def multiply_panels(rows, weights, products):  # type: ignore[no-untyped-def]
    """In compiled code only: let products (batch, columns) be rows (batch, inputs) times packed weights.

    Each row is summed in the same order however many there are, so that its products do not depend on the others.
    """
    batch = rows.shape[0]
    blocks = max(1, -(-batch // TALLEST))
    height = max(1, -(-batch // blocks))  # of all blocks but the last: alike, as low ones waste registers
    for panel in range(weights.shape[0]):
        for row in range(0, batch, height):
            rest = min(height, batch - row)
            if rest == 1:
                _block_of_1(rows, row, weights, panel, products)
            elif rest == 2:
                _block_of_2(rows, row, weights, panel, products)
            elif rest == 3:
                _block_of_3(rows, row, weights, panel, products)
            elif rest == 4:
                _block_of_4(rows, row, weights, panel, products)
            elif rest == 5:
                _block_of_5(rows, row, weights, panel, products)
            else:
                _block_of_6(rows, row, weights, panel, products)


def _block(height: int) -> Any:
    """Rows `row` to `row + height` times a panel, in compiled code."""

    def block(typing_context, rows, row, weights, panel, products):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            rows, weights, products = (
                context.make_array(signature.args[place])(context, builder, arguments[place]) for place in (0, 2, 4)
            )
            inputs, columns = (builder.extract_value(array.shape, 1) for array in (rows, products))
            first, panel = arguments[1], arguments[3]
            starts = [_at(builder, rows.data, builder.add(first, INDEX(one)), inputs) for one in range(height)]
            from_panel = _at(builder, weights.data, panel, builder.mul(inputs, INDEX(PANEL)))
            sums = _sums(builder, starts, from_panel, inputs)
            for one, vectors in enumerate(sums):
                into = _at(builder, products.data, builder.add(first, INDEX(one)), columns)
                into = _at(builder, into, panel, INDEX(PANEL))
                for number, vector in enumerate(vectors):
                    builder.store(vector, _vector(builder, into, number), align=4)
            return context.get_dummy_value()

        return types.void(rows, row, weights, panel, products), generate

    return intrinsic(block)


def _sums(builder: Any, starts: list[Any], panel: Any, inputs: Any) -> list[list[Any]]:
    """Over all inputs, of each row's number times the panel's vectors."""
    nothing = ir.Constant(VECTOR, [ir.Constant(ir.FloatType(), 0.0)] * LANES)
    places = [[cgutils.alloca_once_value(builder, nothing) for _ in range(VECTORS)] for _ in starts]  # type: ignore[no-untyped-call]
    with cgutils.for_range(builder, inputs) as loop:
        weights = _at(builder, panel, loop.index, INDEX(PANEL))
        vectors = [builder.load(_vector(builder, weights, number), align=4) for number in range(VECTORS)]
        for start, own in zip(starts, places, strict=True):
            number = _everywhere(builder, builder.load(builder.gep(start, [loop.index])))
            for place, vector in zip(own, vectors, strict=True):
                builder.store(_multiply_add(builder, number, vector, builder.load(place)), place)
    return [[builder.load(place) for place in own] for own in places]


def _at(builder: Any, pointer: Any, index: Any, size: Any) -> Any:
    """Where the part of a number begins, all parts having one size."""
    return builder.gep(pointer, [builder.mul(index, size)])


def _vector(builder: Any, pointer: Any, number: int) -> Any:
    return builder.bitcast(builder.gep(pointer, [INDEX(number * LANES)]), VECTOR.as_pointer())


def _everywhere(builder: Any, number: Any) -> Any:
    """A vector that holds one number in all places."""
    empty = ir.Constant(VECTOR, ir.Undefined)
    alone = builder.insert_element(empty, number, ir.IntType(32)(0))
    return builder.shuffle_vector(alone, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))


def _multiply_add(builder: Any, left: Any, right: Any, summand: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")  # type: ignore[no-untyped-call]
    return builder.call(function, [left, right, summand])


_block_of_1, _block_of_2, _block_of_3, _block_of_4, _block_of_5, _block_of_6 = map(_block, range(1, TALLEST + 1))

"""A recurrent layer that is exact for every length in the batch, without packed sequences.

`pack_padded_sequence` makes a bidirectional layer exact, and keeps PyTorch off its oneDNN LSTM on CPUs. Here a
bidirectional layer is two unidirectional ones. The backward one sees each sequence reversed within its own length, so
padding always lies at the end, where a causal recurrence cannot feel it: for the valid frames that is the very
arithmetic of packing. Outputs in the padding are finite and meaningless; whoever looks across frames masks them.

This is the one module that knows how a recurrence is computed, and the one that may choose another kernel: training on
CPUs takes the compiled cells.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.model import compiled, products
from asr.model.elman import ELMAN
from asr.model.gru import GRU
from asr.model.lstm import LSTM

Cell = Literal["lstm", "gru", "rnn"]
_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_COMPILED = {"lstm": LSTM, "gru": GRU, "rnn": ELMAN}


class Recurrence(nn.Module):
    """One recurrent layer.

    Args:
        inputs: features of each input frame.
        units: hidden units per direction.
        cell: `lstm` (Hochreiter & Schmidhuber 1997), `gru` (Cho et al. 2014) or `rnn` (Elman 1990, tanh).
        bidirectional: also run from the last frame to the first (Schuster & Paliwal 1997).
        weight_dropout: share of W_hh, drawn anew for each batch, that training does without: DropConnect (Wan et al.
            2013) on the recurrence as in AWD-LSTM (Merity et al. 2018, arXiv 1708.02182).
    """

    def __init__(self, inputs: int, units: int, cell: Cell, bidirectional: bool, weight_dropout: float = 0.0) -> None:
        super().__init__()
        self.cell = cell
        self.weight_dropout = weight_dropout
        self.outputs = units * (2 if bidirectional else 1)
        self.forward_cell = _cell(cell, inputs, units)
        self.backward_cell = _cell(cell, inputs, units) if bidirectional else None

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Run the recurrence over a padded batch.

        Args:
            frames: (batch, frames, inputs), each sequence padded at its end with anything finite.
            lengths: (batch,) valid frames of each sequence.

        Returns:
            (batch, frames, outputs); bidirectional layers put the forward units first.
        """
        dtype = _dtype(frames)
        if _trains_on_cpu(frames) and _trains_faster_compiled(self.cell, dtype):
            directions = [one for one in (self.forward_cell, self.backward_cell) if one is not None]
            weights = [self._weights(one) for one in directions]
            return compiled.run(_COMPILED[self.cell], frames, lengths, weights, dtype)
        forward = self._run(self.forward_cell, frames)
        if self.backward_cell is None:
            return forward
        order = reversal(lengths, frames.shape[1])
        backward = self._run(self.backward_cell, reorder(frames, order))
        return torch.cat((forward, reorder(backward, order)), dim=-1)

    def _weights(self, cell: nn.RNNBase) -> list[Tensor]:
        """W_ih, W_hh, b_ih and b_hh; in training W_hh may lack some weights, the others being scaled up for them."""
        weights: list[Tensor] = list(cell.parameters())
        if self.training and self.weight_dropout:
            weights[1] = nn.functional.dropout(weights[1], self.weight_dropout)
        return weights

    def _run(self, cell: nn.RNNBase, frames: Tensor) -> Tensor:
        """PyTorch's own kernel over frames (batch, frames, inputs)."""
        if self.training and self.weight_dropout:
            return _run_with(self._weights(cell), self.cell, frames)
        output: Tensor = cell(frames)[0]
        return output


def _trains_faster_compiled(cell: Cell, dtype: torch.dtype) -> bool:
    """Whether our cell is taken in training on CPUs.

    In float32 PyTorch's oneDNN LSTM is as fast where we cannot multiply within loops: with 256 units 8% slower, with
    512 7% faster.
    """
    if cell == "lstm" and dtype == torch.float32:
        return products.kernel(dtype) is not None
    return dtype in (torch.bfloat16, torch.float32)


def _trains_on_cpu(frames: Tensor) -> bool:
    """Whether compiled cells serve; a trace for export cannot see into them."""
    return frames.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _dtype(frames: Tensor) -> torch.dtype:
    """What products are computed in."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else frames.dtype


def _run_with(weights: list[Tensor], cell: Cell, frames: Tensor) -> Tensor:
    """PyTorch's kernel in training, with weights that are no parameters of a module."""
    start = frames.new_zeros(1, len(frames), weights[1].shape[1])
    biases, layers, dropout, training, bidirectional, batch_first = True, 1, 0.0, True, False, True
    if cell == "lstm":
        return torch.lstm(
            frames, (start, start), weights, biases, layers, dropout, training, bidirectional, batch_first
        )[0]
    kernel = torch.gru if cell == "gru" else torch.rnn_tanh
    return kernel(frames, start, weights, biases, layers, dropout, training, bidirectional, batch_first)[0]


def _cell(cell: Cell, inputs: int, units: int) -> nn.RNNBase:
    layer: nn.RNNBase = _CELLS[cell](inputs, units, batch_first=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if cell == "lstm" and name.startswith("bias_ih"):
                # gates stand in the order input, forget, cell, output; remembering is the better first guess
                # (Jozefowicz et al. 2015)
                nn.init.ones_(parameter.data[units : 2 * units])
        else:
            initialize = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
            for gate in parameter.data.chunk(parameter.shape[0] // units):
                initialize(gate)
    return layer


def reversal(lengths: Tensor, frames: int) -> Tensor:
    """The order that reverses each sequence within its own length and leaves its padding in place.

    Args:
        lengths: (batch,) valid frames.
        frames: frames of the padded batch.

    Returns:
        (batch * frames,) rows of the flattened batch. The order is its own inverse.
    """
    position = torch.arange(frames, device=lengths.device)
    last = lengths[:, None] - 1
    within = torch.where(position <= last, last - position, position)
    start = torch.arange(len(lengths), device=lengths.device)[:, None] * frames
    return (start + within).flatten()


def reorder(frames: Tensor, order: Tensor) -> Tensor:
    """Permute the rows of a batch by an order that is its own inverse; (batch, frames, units) in and out."""
    result: Tensor = _Reorder.apply(frames, order)  # type: ignore[no-untyped-call]
    return result


class _Reorder(torch.autograd.Function):
    """Row gather whose gradient is the same gather, because the order is an involution: no scatter, deterministic."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return _gather(frames, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return _gather(gradients[0], order), None


def _gather(frames: Tensor, order: Tensor) -> Tensor:
    return frames.flatten(0, 1).index_select(0, order).view_as(frames)

"""The length-exact recurrence against packed sequences, PyTorch's own way of being exact."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model.recurrence import Recurrence, reorder, reversal
from asr.model.subsampling import valid_frames

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def packed_twin(layer: Recurrence, cell: str, inputs: int, units: int, bidirectional: bool) -> nn.RNNBase:
    """PyTorch's layer with the same weights."""
    twin = CELLS[cell](inputs, units, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for name, parameter in layer.forward_cell.named_parameters():
            getattr(twin, name).copy_(parameter)
        if layer.backward_cell is not None:
            for name, parameter in layer.backward_cell.named_parameters():
                getattr(twin, f"{name}_reverse").copy_(parameter)
    return twin


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_equals_packed_sequences_in_values_and_gradients(cell, bidirectional):
    torch.manual_seed(0)
    lengths = torch.tensor([13, 1, 7, 20])
    layer = Recurrence(6, 5, cell, bidirectional)
    twin = packed_twin(layer, cell, 6, 5, bidirectional)
    frames = torch.randn(4, 20, 6)
    ours_in, theirs_in = frames.clone().requires_grad_(), frames.clone().requires_grad_()

    ours = layer(ours_in, lengths)
    packed = pack_padded_sequence(theirs_in, lengths, batch_first=True, enforce_sorted=False)
    theirs = pad_packed_sequence(twin(packed)[0], batch_first=True)[0]

    valid = valid_frames(lengths, 20)
    torch.testing.assert_close(ours[valid], theirs[valid], rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # another kernel than in training
        torch.testing.assert_close(layer(frames, lengths)[valid], theirs[valid], rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(theirs)
    (ours * weights)[valid].sum().backward()
    (theirs * weights)[valid].sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=1e-5, atol=1e-5)
    for name, parameter in layer.forward_cell.named_parameters():
        torch.testing.assert_close(parameter.grad, getattr(twin, name).grad, rtol=1e-5, atol=1e-5)
    if layer.backward_cell is not None:
        for name, parameter in layer.backward_cell.named_parameters():
            torch.testing.assert_close(parameter.grad, getattr(twin, f"{name}_reverse").grad, rtol=1e-5, atol=1e-5)


def test_what_lies_in_the_padding_does_not_matter():
    torch.manual_seed(1)
    layer = Recurrence(4, 3, "gru", True)
    lengths = torch.tensor([5, 9])
    frames = torch.randn(2, 9, 4)
    other = frames.clone()
    other[0, 5:] = 1e3
    torch.testing.assert_close(layer(frames, lengths)[0, :5], layer(other, lengths)[0, :5], rtol=0, atol=0)


def test_reversal_by_hand_and_its_own_inverse():
    order = reversal(torch.tensor([3, 4, 0]), 4)
    assert order.view(3, 4).tolist() == [[2, 1, 0, 3], [7, 6, 5, 4], [8, 9, 10, 11]]
    assert order[order].tolist() == list(range(12))


def test_gradient_of_reordering_against_finite_differences():
    frames = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    order = reversal(torch.tensor([5, 2, 3]), 5)
    assert torch.autograd.gradcheck(lambda x: reorder(x, order), frames)


def test_lstm_begins_by_remembering():
    layer = Recurrence(4, 3, "lstm", False)
    assert layer.forward_cell.bias_ih_l0.tolist() == [0] * 3 + [1] * 3 + [0] * 6
    assert not layer.forward_cell.bias_hh_l0.any()

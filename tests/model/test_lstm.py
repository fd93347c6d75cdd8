"""The compiled bf16 LSTM against PyTorch's, in float32 and in bf16."""

import numpy as np
import pytest
import torch
from torch import nn

from asr.model.lstm import _narrow, _row_backward, _row_forward, _tanh, _wide, lstm
from asr.model.recurrence import Recurrence
from asr.model.subsampling import valid_frames

LENGTHS = torch.tensor([30, 1, 17, 24])


def outcome(layer: Recurrence, frames: torch.Tensor, run) -> list[torch.Tensor]:
    """Output and all gradients of a weighted sum over the valid frames, in float32."""
    frames = frames.clone().requires_grad_()
    layer.zero_grad()
    output = run(frames).float()
    valid = valid_frames(LENGTHS, frames.shape[1])[:, :, None]
    generator = torch.Generator().manual_seed(1)
    (output * valid * torch.randn(output.shape, generator=generator)).sum().backward()
    return [(output * valid).detach(), frames.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_is_as_near_to_float32_as_pytorch_in_bf16(bidirectional):
    torch.manual_seed(0)
    layer = Recurrence(24, 32, "lstm", bidirectional)
    cells = [cell for cell in (layer.forward_cell, layer.backward_cell) if cell is not None]
    frames = torch.randn(4, 30, 24)

    def in_bf16(frames):
        with torch.autocast("cpu", torch.bfloat16):
            return nn.Module.__call__(layer, frames, LENGTHS)

    exact = outcome(layer, frames, lambda frames: layer(frames, LENGTHS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asr.model.recurrence._computes_in_bf16", lambda: False)
        theirs = outcome(layer, frames, in_bf16)
    ours = outcome(layer, frames, lambda frames: lstm(frames, LENGTHS, cells))
    for exact_one, their_one, our_one in zip(exact, theirs, ours, strict=True):
        assert distance(our_one, exact_one) < max(1.5 * distance(their_one, exact_one), 2e-3)
        assert distance(our_one, exact_one) < 0.02


def test_the_recurrence_takes_it_for_training_in_bf16_only(monkeypatch):
    calls = []
    monkeypatch.setattr("asr.model.recurrence.lstm", lambda *arguments: calls.append(1) or lstm(*arguments))
    layer, frames = Recurrence(4, 4, "lstm", True), torch.randn(4, 30, 4)
    layer(frames, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        layer(frames, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        Recurrence(4, 4, "gru", True)(frames, LENGTHS)
    assert not calls
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(frames, LENGTHS).dtype == torch.bfloat16
    assert calls


def test_padding_is_zero_and_does_not_matter():
    torch.manual_seed(0)
    layer, frames = Recurrence(4, 8, "lstm", True), torch.randn(4, 30, 4)
    other = torch.where(valid_frames(LENGTHS, 30)[:, :, None], frames, 1e3)
    cells = [layer.forward_cell, layer.backward_cell]
    ours = lstm(frames, LENGTHS, cells)
    assert torch.equal(ours, lstm(other, LENGTHS, cells))
    assert not ours[~valid_frames(LENGTHS, 30)].any()


def test_what_is_not_finite_stays_so():
    layer, frames = Recurrence(4, 8, "lstm", True), torch.randn(4, 30, 4)
    frames[0, 3, 2] = float("nan")
    output = lstm(frames, LENGTHS, [layer.forward_cell, layer.backward_cell])
    assert output[0].isnan().any()
    assert output[1:].isfinite().all()


def test_tanh_and_rounding():
    x = np.linspace(-12, 12, 4001, dtype=np.float32)
    assert np.abs([_tanh.py_func(each) - np.tanh(each) for each in x]).max() < 1e-4
    values = torch.tensor([0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.14159, -1e-30, 6e4, float("inf")])
    bits = [int(_narrow(np.float32(value))) for value in values.tolist()]
    assert bits == values.bfloat16().view(torch.uint16).tolist()
    assert [_wide(np.uint16(each)) for each in bits] == values.bfloat16().float().tolist()


def test_gradient_of_the_cell_against_finite_differences():
    """One row of the compiled step; bf16 in and out bounds what a difference can show."""
    generator = np.random.default_rng(0)
    units = 6

    def bits(values):
        return torch.tensor(values, dtype=torch.bfloat16).view(torch.uint16).numpy().copy()

    def numbers(array):
        return torch.from_numpy(array).view(torch.bfloat16).double().numpy()

    gates, before = numbers(bits(generator.standard_normal(4 * units))), generator.standard_normal(units)
    outer = numbers(bits(generator.standard_normal(units)))

    def loss(gates, before):
        i, f, o = (1 / (1 + np.exp(-gates[k * units : (k + 1) * units])) for k in (0, 1, 3))
        return float((outer * o * np.tanh(f * before + i * np.tanh(gates[2 * units : 3 * units]))).sum())

    zero, gate = bits(np.zeros(4 * units)), bits(gates)
    cell, hidden, kept = before.astype(np.float32), bits(np.zeros(units)), np.empty(units, np.float32)
    _row_forward(zero, gate, cell, hidden, kept)
    of_cell, into = np.zeros(units, np.float32), bits(np.zeros(4 * units))
    _row_backward(bits(outer), bits(np.zeros(units)), of_cell, gate, kept, before.astype(np.float32), into)

    step = 1e-6
    for found, point, at in ((numbers(into), gates, 0), (of_cell, before, 1)):
        for index in range(len(point)):
            shift = np.zeros(len(point))
            shift[index] = step
            pair = [(gates + sign * shift, before) if at == 0 else (gates, before + sign * shift) for sign in (1, -1)]
            slope = (loss(*pair[0]) - loss(*pair[1])) / (2 * step)
            assert found[index] == pytest.approx(slope, rel=0.03, abs=0.005)

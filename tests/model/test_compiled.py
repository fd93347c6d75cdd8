"""The compiled cells against PyTorch's; in float32, `test_recurrence.py` compares them with packed sequences too."""

import pytest
import torch
from torch import nn

from asr.model import compiled, products
from asr.model.elman import ELMAN
from asr.model.gru import GRU
from asr.model.lstm import LSTM
from asr.model.panels import Panels
from asr.model.precision import runs_bf16
from asr.model.recurrence import Recurrence
from asr.model.subsampling import valid_frames

LENGTHS = torch.tensor([30, 1, 17, 24])
CELLS = {"lstm": LSTM, "gru": GRU, "rnn": ELMAN}
each_cell = pytest.mark.parametrize("cell", CELLS)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def directions(layer: Recurrence) -> list[list[torch.Tensor]]:
    return [list(one.parameters()) for one in (layer.forward_cell, layer.backward_cell) if one is not None]


def run(layer: Recurrence, frames: torch.Tensor, dtype: torch.dtype, lengths: torch.Tensor = LENGTHS) -> torch.Tensor:
    return compiled.run(CELLS[layer.cell], frames, lengths, directions(layer), dtype)


def with_biases(layer: Recurrence) -> Recurrence:
    """Biases that are not zero, so that it matters where each is added."""
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.normal_(parameter)
    return layer


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


@each_cell
@pytest.mark.parametrize("bidirectional", [True, False])
def test_is_as_near_to_float32_as_pytorch_in_bf16(cell, bidirectional, monkeypatch):
    torch.manual_seed(0)
    layer = with_biases(Recurrence(24, 32, cell, bidirectional))
    frames = torch.randn(4, 30, 24)
    ours = outcome(layer, frames, lambda frames: run(layer, frames, torch.bfloat16))
    ours_in_float32 = outcome(layer, frames, lambda frames: run(layer, frames, torch.float32))

    monkeypatch.setattr("asr.model.recurrence._trains_on_cpu", lambda frames: False)
    exact = outcome(layer, frames, lambda frames: layer(frames, LENGTHS))
    with torch.autocast("cpu", torch.bfloat16, enabled=runs_bf16(frames.device)):
        theirs = outcome(layer, frames, lambda frames: layer(frames, LENGTHS))
    for exact_one, their_one, our_one, ours_exact in zip(exact, theirs, ours, ours_in_float32, strict=True):
        if runs_bf16(frames.device):
            assert distance(our_one, exact_one) < max(1.5 * distance(their_one, exact_one), 2e-3)
        assert distance(our_one, exact_one) < 0.02
        assert distance(ours_exact, exact_one) < 2e-6


@each_cell
@pytest.mark.parametrize("within_loops", [True, False])
def test_the_recurrence_takes_it_for_training(cell, within_loops, monkeypatch):
    monkeypatch.setattr(products, "kernel", lambda dtype: Panels() if within_loops and dtype == torch.float32 else None)
    dtypes = []
    original = compiled.run
    monkeypatch.setattr(compiled, "run", lambda *arguments: dtypes.append(arguments[-1]) or original(*arguments))
    layer, frames = Recurrence(4, 4, cell, True), torch.randn(4, 30, 4)
    with torch.no_grad():
        layer(frames, LENGTHS)
    layer.double()(frames.double(), LENGTHS)
    layer.float()
    assert not dtypes
    assert layer(frames, LENGTHS).dtype == torch.float32
    assert dtypes == ([] if cell == "lstm" and not within_loops else [torch.float32])
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(frames, LENGTHS).dtype == torch.bfloat16
    assert dtypes[-1] == torch.bfloat16


@each_cell
@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights")  # of PyTorch's recurrent layers
def test_an_export_sees_pytorchs_own(cell):
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Recurrence(4, 4, cell, False)

        def forward(self, frames):
            return self.layer(frames, LENGTHS)

    frames = torch.randn(4, 30, 4)
    alone = Alone()
    exported = torch.export.export(alone, (frames,))
    valid = valid_frames(LENGTHS, 30)
    torch.testing.assert_close(exported.module()(frames)[valid], alone(frames)[valid], rtol=1e-5, atol=1e-5)


@each_cell
@each_dtype
def test_padding_is_zero_and_does_not_matter(cell, dtype):
    torch.manual_seed(0)
    layer, frames = with_biases(Recurrence(4, 8, cell, True)), torch.randn(4, 30, 4)
    other = torch.where(valid_frames(LENGTHS, 30)[:, :, None], frames, 1e3)
    ours = run(layer, frames, dtype)
    assert torch.equal(ours, run(layer, other, dtype))
    assert not ours[~valid_frames(LENGTHS, 30)].any()


@each_cell
@each_dtype
def test_alone_as_in_a_batch(cell, dtype):
    torch.manual_seed(0)
    layer, frames = with_biases(Recurrence(4, 8, cell, True)), torch.randn(4, 30, 4)
    together = run(layer, frames, dtype).float()
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for row, length in enumerate(LENGTHS.tolist()):
        alone = run(layer, frames[row : row + 1, :length], dtype, torch.tensor([length])).float()
        torch.testing.assert_close(alone[0], together[row, :length], rtol=0, atol=tolerance)


@each_cell
@each_dtype
def test_extreme_inputs_give_finite_gradients(cell, dtype):
    torch.manual_seed(0)
    layer = with_biases(Recurrence(4, 8, cell, True))
    frames = torch.tensor([1e4, -1e4, 1e-30, 0.0]).repeat(4, 30, 1)
    assert all(tensor.isfinite().all() for tensor in outcome(layer, frames, lambda frames: run(layer, frames, dtype)))


@each_cell
@each_dtype
def test_what_is_not_finite_stays_so(cell, dtype):
    layer, frames = Recurrence(4, 8, cell, True), torch.randn(4, 30, 4)
    frames[0, 3, 2] = float("nan")
    output = run(layer, frames, dtype)
    assert output[0, 3].isnan().all()
    assert output[1:].isfinite().all()


@each_cell
def test_two_ways_back_give_the_same(cell):
    """The way back leaves what the way forward kept, so that it can be gone again."""
    torch.manual_seed(0)
    layer, frames = with_biases(Recurrence(4, 8, cell, True)), torch.randn(4, 30, 4, requires_grad=True)
    output = run(layer, frames, torch.float32).square().sum()
    first, second = (torch.autograd.grad(output, frames, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@each_cell
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("units", [8, 5])  # an odd number is padded where products come in pairs
@each_dtype
def test_products_within_loops_are_those_between_steps(cell, bidirectional, units, dtype, monkeypatch):
    torch.manual_seed(0)
    layer, frames = with_biases(Recurrence(4, units, cell, bidirectional)), torch.randn(4, 30, 4)

    def once() -> list[torch.Tensor]:
        return outcome(layer, frames, lambda frames: run(layer, frames, dtype))

    if dtype == torch.float32:
        monkeypatch.setattr(products, "kernel", lambda dtype: Panels())
    within = once()
    monkeypatch.setattr(products, "kernel", lambda dtype: None)
    # in bf16 products are rounded between steps, and not within loops
    tolerance = 2e-6 if dtype == torch.float32 else 0.02
    for found, expected in zip(within, once(), strict=True):
        assert distance(found, expected) < tolerance


@each_cell
@each_dtype
def test_threads_do_not_change_anything(cell, dtype):
    torch.manual_seed(0)
    layer, frames = with_biases(Recurrence(4, 8, cell, True)), torch.randn(4, 30, 4)
    before, outcomes = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outcomes.append(outcome(layer, frames, lambda frames: run(layer, frames, dtype)))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)

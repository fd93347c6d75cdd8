"""Weight dropout and stochastic depth, against what they must equal once it is known what was drawn."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.config import FeatureConfig, ModelConfig
from asr.model.ctc import Model
from asr.model.encoder import Encoder
from asr.model.recurrence import Recurrence
from asr.model.subsampling import valid_frames

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
LENGTHS = torch.tensor([13, 1, 7, 20])
SHARE = 0.4
each_cell = pytest.mark.parametrize("cell", CELLS)


def packed(layer: Recurrence, frames: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """PyTorch's layer over packed sequences, with the recurrent weights masked as the next draws say; and the masks."""
    cells = [one for one in (layer.forward_cell, layer.backward_cell) if one is not None]
    masks = [nn.functional.dropout(torch.ones_like(cell.weight_hh_l0), SHARE) for cell in cells]
    twin = CELLS[layer.cell](frames.shape[2], cells[0].hidden_size, batch_first=True, bidirectional=len(cells) == 2)
    with torch.no_grad():
        for cell, suffix, mask in zip(cells, ("", "_reverse"), masks, strict=False):
            for name, parameter in cell.named_parameters():
                getattr(twin, name + suffix).copy_(parameter)
            getattr(twin, f"weight_hh_l0{suffix}").mul_(mask)
    sequences = pack_padded_sequence(frames, LENGTHS, batch_first=True, enforce_sorted=False)
    output = pad_packed_sequence(twin(sequences)[0], batch_first=True)[0]
    (output * weighting(output)).sum().backward()
    gradients = [
        getattr(twin, name + suffix).grad * (mask if name == "weight_hh_l0" else 1.0)
        for cell, suffix, mask in zip(cells, ("", "_reverse"), masks, strict=False)
        for name, _ in cell.named_parameters()
    ]
    return output.detach(), gradients


def weighting(output: torch.Tensor) -> torch.Tensor:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return weights * valid_frames(LENGTHS, output.shape[1])[:, :, None]


@each_cell
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kernel", ["as on CPUs", "PyTorch's", "bf16"])
def test_weight_dropout_equals_packed_sequences_with_masked_weights(cell, bidirectional, kernel, monkeypatch):
    torch.manual_seed(0)
    layer = Recurrence(6, 16, cell, bidirectional, SHARE)
    frames = torch.randn(4, 20, 6)
    if kernel == "PyTorch's":
        monkeypatch.setattr("asr.model.recurrence._trains_on_cpu", lambda frames: False)
    torch.manual_seed(5)
    expected, expected_gradients = packed(layer, frames)
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16, enabled=kernel == "bf16"):
        output = layer(frames, LENGTHS)
    (output.float() * weighting(output)).sum().backward()
    valid = valid_frames(LENGTHS, 20)
    tolerance = 0.02 if kernel == "bf16" else 1e-5
    assert distance(output.float()[valid], expected[valid]) < tolerance
    gradients = [parameter.grad for parameter in layer.parameters()]
    for found, exact in zip(gradients, expected_gradients, strict=True):
        assert distance(found, exact) < tolerance
    recurrent = [gradient for gradient in gradients if gradient.shape[1:] == (16,)]
    assert all(0.3 < (gradient == 0).float().mean() < 0.5 for gradient in recurrent), "dropped weights stay as they are"


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()


@each_cell
def test_one_mask_serves_a_batch_and_the_next_batch_has_another(cell):
    torch.manual_seed(0)
    layer = Recurrence(6, 8, cell, True, SHARE)
    frames = torch.randn(1, 9, 6).expand(2, 9, 6)
    one = layer(frames, torch.tensor([9, 9]))
    torch.testing.assert_close(one[0], one[1])
    assert not torch.allclose(one, layer(frames, torch.tensor([9, 9])))


@each_cell
def test_weight_dropout_keeps_names_and_leaves_inference_alone(cell):
    torch.manual_seed(0)
    plain = Recurrence(6, 8, cell, True)
    torch.manual_seed(0)
    layer = Recurrence(6, 8, cell, True, SHARE)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    frames = torch.randn(4, 20, 6)
    before = torch.get_rng_state()
    plain(frames, LENGTHS).sum().backward()  # off, in training
    layer.eval()(frames, LENGTHS).sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    with torch.no_grad():
        assert torch.equal(layer(frames, LENGTHS), plain.train()(frames, LENGTHS))
        assert torch.equal(before, torch.get_rng_state())
        assert not torch.allclose(layer.train()(frames, LENGTHS), plain(frames, LENGTHS))


def deep(**settings) -> Encoder:
    torch.manual_seed(0)
    return Encoder(ModelConfig(layers=4, units=4, dropout=0.0, **settings))


def test_layers_that_survive_are_scaled_up_and_the_others_are_not_computed():
    encoder, computed = deep(layer_drop=0.8), []
    for number, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    frames = torch.randn(2, 6, 8)
    lengths = torch.tensor([6, 4])
    patterns = set()
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = torch.rand(4).tolist()
        survivors = [number for number in range(4) if drawn[number] < 1 - 0.8 * (number + 1) / 4]
        expected = frames
        for number in survivors:
            change = encoder.layers[number](encoder.norms[number](expected), lengths)
            expected = expected + change / (1 - 0.8 * (number + 1) / 4)
        computed.clear()
        torch.manual_seed(seed)
        torch.testing.assert_close(encoder(frames, lengths), encoder.norm(expected))
        assert computed == survivors
        patterns.add(tuple(survivors))
    assert len(patterns) > 4


def test_survival_falls_linearly_with_depth_and_the_mean_of_a_layer_stays():
    encoder = deep(layer_drop=0.6)
    scales = torch.tensor([encoder._scales() for _ in range(4000)])
    survival = (scales > 0).float().mean(dim=0)
    torch.testing.assert_close(survival, torch.tensor([0.85, 0.70, 0.55, 0.40]), rtol=0, atol=0.03)
    torch.testing.assert_close(scales.mean(dim=0), torch.ones(4), rtol=0, atol=0.08)


def test_layer_drop_leaves_inference_alone_and_draws_nothing_when_off():
    plain, dropping = deep(), deep(layer_drop=0.9)
    frames, lengths = torch.randn(2, 6, 8), torch.tensor([6, 4])
    before = torch.get_rng_state()
    assert torch.equal(dropping.eval()(frames, lengths), plain(frames, lengths))
    assert torch.equal(before, torch.get_rng_state())
    assert plain.state_dict().keys() == dropping.state_dict().keys()


def test_layers_that_were_skipped_have_no_gradient():
    encoder = deep(layer_drop=0.9)
    encoder._scales = lambda: [1.0, 0.0, 2.0, 0.0]
    encoder(torch.randn(2, 6, 8), torch.tensor([6, 4])).sum().backward()
    reached = [all(parameter.grad is not None for parameter in layer.parameters()) for layer in encoder.layers]
    assert reached == [True, False, True, False]


@pytest.mark.parametrize("self_conditioned", [False, True])
def test_intermediate_layers_are_read_even_where_they_are_skipped(self_conditioned):
    torch.manual_seed(0)
    settings = {"intermediate_layers": (1, 2), "self_conditioned": self_conditioned, "layer_drop": 0.9}
    config = ModelConfig(layers=3, units=8, channels=4, dropout=0.0, **settings)
    model = Model(FeatureConfig(bins=16), config, vocabulary=5)
    waveforms, lengths = torch.randn(1, 8000) * 0.1, torch.tensor([8000])
    model.encoder._scales = lambda: [1.0, 0.0, 0.0]
    last, _, first, second = model(waveforms, lengths)
    assert torch.equal(first, second) != self_conditioned
    assert torch.equal(second, last) != self_conditioned
    (first + second + last).sum().backward()

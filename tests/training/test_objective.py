"""The objective on a world of one frame a sample, where the model is a table of logits."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from asr.audio import SpecAugment, Warp
from asr.config import AugmentConfig, FeatureConfig, ModelConfig, ObjectiveConfig, Recipe
from asr.dataset import Batch
from asr.model import Model, ctc_losses, recurrence
from asr.training.objective import (
    Objective,
    confidence_losses,
    consistency_losses,
    objective,
    read_outcomes,
    spec_augment,
)

CTC = ObjectiveConfig()


class Table(nn.Module):
    """A model whose logits are given: those of the last layer (views * batch, frames, tokens), and of layers below."""

    def __init__(self, logits: torch.Tensor, lengths: torch.Tensor, *intermediate: torch.Tensor) -> None:
        super().__init__()
        self.layers = (logits, *intermediate)
        self.lengths = lengths
        self.register_buffer("label_prior", torch.full(logits.shape[-1:], 1 / logits.shape[-1], dtype=logits.dtype))

    def forward(self, waveforms, lengths, augment, views, warp):
        last, *intermediate = (logits.log_softmax(-1) for logits in self.layers)
        assert len(last) == views * len(waveforms)
        return last, self.lengths.repeat(views), *intermediate


def batch(tokens: list[list[int]]) -> Batch:
    width = max(map(len, tokens))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in tokens])
    lengths = torch.tensor([len(row) for row in tokens])
    names = tuple(f"u{number}" for number in range(len(tokens)))
    waveforms = torch.zeros(len(tokens), 1)
    return Batch(waveforms, torch.ones(len(tokens), dtype=torch.long), padded, lengths, names, names)


def told(target: Objective) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Tokens that count, and who cannot be aligned or is not finite."""
    [outcome], _ = read_outcomes([target], torch.zeros(()))
    return outcome.tokens, outcome.unalignable, outcome.non_finite


def test_is_the_mean_over_tokens_as_pytorch_computes_each():
    torch.manual_seed(0)
    model = Table(torch.randn(2, 6, 4), torch.tensor([6, 5]))
    target = objective(model, batch([[1, 2, 3], [2, 2]]), None, CTC)
    log_probs = model.layers[0].log_softmax(-1)
    first = nn.functional.ctc_loss(log_probs[0], torch.tensor([1, 2, 3]), (6,), (3,), reduction="sum")
    second = nn.functional.ctc_loss(log_probs[1, :5], torch.tensor([2, 2]), (5,), (2,), reduction="sum")
    assert target.loss.item() == pytest.approx((first + second).item() / 5, rel=1e-5)
    assert told(target) == (5, (), ())


def test_unalignable_and_non_finite_utterances_are_named_and_do_not_count():
    torch.manual_seed(0)
    logits = torch.randn(3, 3, 4)
    logits[2] = float("nan")
    model = Table(logits, torch.tensor([3, 3, 3]))
    target = objective(model, batch([[1], [1, 1, 1], [2]]), None, CTC)
    alone = objective(Table(logits[:1], torch.tensor([3])), batch([[1]]), None, CTC)
    assert target.loss.item() == pytest.approx(alone.loss.item())
    assert told(target) == (1, ("u1",), ("u2",))


def test_silence_weighs_as_utterances_of_one_token():
    torch.manual_seed(0)
    logits, lengths = torch.randn(3, 6, 4), torch.tensor([6, 5, 6])
    of = batch([[], [], [1, 2]])
    target = objective(Table(logits, lengths), of, None, CTC)
    blanks = -logits.log_softmax(-1)[:, :, 0]
    silent = blanks[0].sum() + blanks[1, :5].sum()
    spoken = losses_of(logits, lengths, of)[2]
    assert target.loss.item() == pytest.approx(((silent + spoken) / 4).item(), rel=1e-5)
    assert told(target) == (4, (), ())


def test_nothing_alignable_is_a_loss_of_zero():
    target = objective(Table(torch.randn(1, 2, 4), torch.tensor([2])), batch([[1, 2, 3]]), None, CTC)
    assert target.loss.item() == 0.0
    assert target.tokens == 0


def losses_of(logits: torch.Tensor, lengths: torch.Tensor, of: Batch) -> torch.Tensor:
    return ctc_losses(logits.log_softmax(-1), lengths, of.tokens, of.token_lengths)[0]


def test_nothing_added_is_ctc_bit_for_bit():
    torch.manual_seed(0)
    of, lengths = batch([[1, 2, 3], [2, 2]]), torch.tensor([6, 5])
    logits = torch.randn(2, 6, 4, requires_grad=True)
    target = objective(Table(logits, lengths), of, None, CTC)
    loss = losses_of(logits, lengths, of).sum() / 5
    assert torch.equal(target.loss, loss)
    assert torch.equal(*(torch.autograd.grad(each, logits)[0] for each in (target.loss, loss)))
    assert list(target.parts) == ["ctc"]


SINGLE_VIEW = {"intermediate_weight": 0.3, "label_prior": 0.5, "confidence_penalty": 0.1}


@pytest.mark.parametrize(
    "settings",
    [{}, *({name: weight} for name, weight in SINGLE_VIEW.items()), SINGLE_VIEW],
    ids=lambda settings: "+".join(settings) or "ctc",
)
def test_gradient_is_that_of_finite_differences(settings):
    """All but consistency, whose targets have no gradient; its own test is below."""
    torch.manual_seed(0)
    of, lengths = batch([[1, 2], [2, 2]]), torch.tensor([5, 4])

    def loss(last: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        model = Table(last, lengths, below)
        model.label_prior = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
        return objective(model, of, None, ObjectiveConfig(**settings)).loss

    layers = [torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(loss, layers)


def test_gradients_add_up_where_everything_is_on():
    torch.manual_seed(0)
    of, lengths = batch([[1, 2], [2, 2]]), torch.tensor([5, 4])
    layers = [torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    everything = ObjectiveConfig(consistency=0.2, **SINGLE_VIEW)
    target = objective(Table(layers[0], lengths, layers[1]), of, None, everything)
    single = [
        objective(Table(layers[0][view], lengths, layers[1][view]), of, None, ObjectiveConfig(**SINGLE_VIEW)).loss
        for view in (slice(2), slice(2, 4))
    ]
    apart = consistency_losses(layers[0].log_softmax(-1), lengths.repeat(2)).sum() / 2 / 4
    for layer in layers:
        wanted = torch.autograd.grad(sum(single) / 2 + 0.2 * apart, layer, retain_graph=True)[0]
        torch.testing.assert_close(torch.autograd.grad(target.loss, layer, retain_graph=True)[0], wanted)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gradient_flows_through_what_is_fed_back(cell):
    """Of a whole self-conditioned model: the slope along the gradient of some weights is its length."""
    torch.manual_seed(0)
    layers = {"layers": 3, "intermediate_layers": (1, 2), "self_conditioned": True}
    config = ModelConfig(units=8, channels=4, dropout=0.0, cell=cell, **layers)
    model = Model(FeatureConfig(bins=16), config, 6).train()
    waveforms, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([16000, 9000])
    of = dataclasses.replace(batch([[1, 2, 3], [2, 2]]), waveforms=waveforms, lengths=lengths)

    def loss() -> torch.Tensor:
        model.label_prior.copy_(torch.tensor([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]))
        return objective(model, of, None, ObjectiveConfig(**SINGLE_VIEW)).loss

    names = ("feedback.weight", "subsampling.projection.weight", "encoder.layers.1.backward_cell.weight_ih_l0")
    weights = [model.get_parameter(name) for name in names]
    for weight, gradient in zip(weights, torch.autograd.grad(loss(), weights), strict=True):
        way = 0.01 * gradient / gradient.norm()
        ends = []
        for sign in (1, -2):  # there, and from there to the other side
            weight.data += sign * way
            ends.append(loss().item())
        weight.data += way
        assert (ends[0] - ends[1]) / 0.02 == pytest.approx(gradient.norm().item(), rel=0.02)


def divergence(target: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of each row of probabilities, by its definition."""
    rows = zip(target.tolist(), found.tolist(), strict=True)
    return torch.tensor([sum(p * math.log(p / q) for p, q in zip(*row, strict=True)) for row in rows])


def test_consistency_is_the_symmetric_divergence_over_valid_frames():
    torch.manual_seed(0)
    probs = torch.randn(4, 3, 5, dtype=torch.float64).softmax(-1)
    lengths = torch.tensor([3, 2, 3, 2])
    found = consistency_losses(probs.log(), lengths).view(2, 2).mean(dim=0)
    for row, length in enumerate([3, 2]):
        one, other = probs[row, :length], probs[2 + row, :length]
        expected = (divergence(one, other) + divergence(other, one)).sum() / 2
        assert found[row].item() == pytest.approx(expected.item())


def test_consistency_moves_each_view_towards_the_other_as_it_stands():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([2, 2])
    consistency_losses(logits.log_softmax(-1), lengths).sum().backward()
    # of a divergence from a fixed target to a softmax, with respect to its logits: softmax - target
    probs = logits.detach().softmax(-1)
    expected = probs - probs.flip(0)
    expected[:, 2] = 0
    torch.testing.assert_close(logits.grad, expected)


def test_equal_views_are_consistent_and_cost_what_one_costs():
    torch.manual_seed(0)
    of, lengths, logits = batch([[1, 2, 3], [2, 2]]), torch.tensor([6, 5]), torch.randn(2, 6, 4)
    twice = objective(Table(logits.repeat(2, 1, 1), lengths), of, None, ObjectiveConfig(consistency=0.2))
    once = objective(Table(logits, lengths), of, None, CTC)
    assert twice.parts["consistency"].item() == pytest.approx(0.0, abs=1e-6)
    assert twice.loss.item() == pytest.approx(once.loss.item(), rel=1e-6)
    assert told(twice) == told(once)


def test_two_views_are_weighed_as_in_the_paper():
    torch.manual_seed(0)
    of, lengths, logits = batch([[1, 2, 3], [2, 2]]), torch.tensor([6, 5]), torch.randn(4, 6, 4)
    target = objective(Table(logits, lengths), of, None, ObjectiveConfig(consistency=0.2))
    ctc = [losses_of(view, lengths, of).sum() for view in logits.chunk(2)]
    apart = consistency_losses(logits.log_softmax(-1), lengths.repeat(2)).sum() / 2
    assert target.loss.item() == pytest.approx((sum(ctc) / 2 + 0.2 * apart).item() / 5, rel=1e-6)
    assert target.parts["consistency"].item() == pytest.approx(apart.item() / 5)


def test_utterances_that_cannot_be_aligned_are_named_once_and_do_not_count_in_any_part():
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 3, 4)  # views, batch, frames, tokens
    config = ObjectiveConfig(consistency=0.2, confidence_penalty=0.1, label_prior=0.3)
    target = objective(Table(logits.flatten(0, 1), torch.tensor([3, 3])), batch([[1], [1, 1, 1]]), None, config)
    alone = objective(Table(logits[:, 0], torch.tensor([3])), batch([[1]]), None, config)
    assert target.loss.item() == pytest.approx(alone.loss.item())
    assert told(target) == (1, ("u1",), ())


def test_intermediate_losses_share_the_loss_with_the_last():
    torch.manual_seed(0)
    of, lengths = batch([[1, 2, 3], [2, 2]]), torch.tensor([6, 5])
    layers = torch.randn(3, 2, 6, 4)
    target = objective(Table(layers[0], lengths, *layers[1:]), of, None, ObjectiveConfig(intermediate_weight=0.3))
    last, first, second = (losses_of(logits, lengths, of).sum().item() / 5 for logits in layers)
    assert target.loss.item() == pytest.approx(0.7 * last + 0.3 * (first + second) / 2, rel=1e-6)
    assert target.parts["intermediate"].item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_uniform_label_prior_is_ctc_but_for_a_constant():
    torch.manual_seed(0)
    of, lengths = batch([[1, 2, 3], [2, 2]]), torch.tensor([6, 5])
    logits = torch.randn(2, 6, 4, requires_grad=True)
    divided = objective(Table(logits, lengths), of, None, ObjectiveConfig(label_prior=0.5)).loss
    ctc = objective(Table(logits, lengths), of, None, CTC).loss
    frames_a_token = 11 / 5
    assert divided.item() == pytest.approx(ctc.item() - 0.5 * math.log(4) * frames_a_token, rel=1e-5)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (divided, ctc)))


def test_label_prior_is_the_running_mean_of_the_posteriors_of_valid_frames():
    torch.manual_seed(0)
    logits = torch.randn(3, 3, 4)
    model = Table(logits, torch.tensor([3, 2, 1]))
    objective(model, batch([[1], [2], [1, 1, 1]]), None, ObjectiveConfig(label_prior=0.3))
    probs = logits.softmax(-1)
    mean = torch.cat((probs[0], probs[1, :2])).mean(dim=0)  # the third cannot be aligned
    torch.testing.assert_close(model.label_prior, 0.99 * torch.full((4,), 0.25) + 0.01 * mean)
    assert model.label_prior.sum().item() == pytest.approx(1.0)


def test_label_prior_keeps_blanks_from_taking_over(monkeypatch):
    """A model that cannot tell frames apart: CTC alone drifts to blanks, a full prior to the share that blanks have in
    all alignments, each counted once (Zeyer et al. 2021, arXiv 2105.14849)."""
    monkeypatch.setattr("asr.training.objective.PRIOR_DECAY", 0.5)  # to be there in a few steps
    paths = [path for path in itertools.product(range(3), repeat=8) if collapse(path) == [1, 2]]
    fair = sum(path.count(0) for path in paths) / (8 * len(paths))
    assert fair < 0.5
    assert blanks_of_a_blind_model(label_prior=1.0) == pytest.approx(fair, abs=0.01)
    assert blanks_of_a_blind_model(label_prior=0.0) > 0.7


def collapse(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token]


def blanks_of_a_blind_model(label_prior: float) -> float:
    """Probability of blank after training on one utterance of 8 frames, with the same logits in all frames."""
    logits = torch.zeros(3, requires_grad=True)
    model = Table(torch.zeros(1, 8, 3), torch.tensor([8]))
    optimizer = torch.optim.SGD([logits], lr=0.2)
    for _ in range(150):
        model.layers = (logits.expand(1, 8, 3),)
        optimizer.zero_grad()
        objective(model, batch([[1, 2]]), None, ObjectiveConfig(label_prior=label_prior)).loss.backward()
        optimizer.step()
    return logits.softmax(0)[0].item()


def test_confidence_penalty_is_log_tokens_minus_entropy():
    uniform = torch.full((1, 3, 4), 0.25)
    certain = torch.eye(4).expand(1, 4, 4)[:, :3].clamp(1e-30, 1.0)
    half = torch.tensor([0.5, 0.5, 1e-30, 1e-30]).expand(1, 3, 4)
    found = confidence_losses(torch.cat((uniform, certain, half)).log(), torch.tensor([3, 2, 3]))
    assert found.tolist() == pytest.approx([0.0, 2 * math.log(4), 3 * math.log(2)], abs=1e-6)


def test_outcomes_of_several_batches_are_read_together_and_told_apart():
    torch.manual_seed(0)
    first = objective(Table(torch.randn(2, 3, 4), torch.tensor([3, 3])), batch([[1], [1, 1, 1]]), None, CTC)
    second = objective(Table(torch.randn(1, 6, 4), torch.tensor([6])), batch([[1, 2, 3]]), None, CTC)
    outcomes, norm = read_outcomes([first, second], torch.tensor(2.5))
    assert norm == 2.5
    assert [outcome.loss for outcome in outcomes] == [first.loss.item(), second.loss.item()]
    assert [outcome.tokens for outcome in outcomes] == [1, 3]
    assert [outcome.unalignable for outcome in outcomes] == [("u1",), ()]
    assert [outcome.non_finite for outcome in outcomes] == [(), ()]


class Unread(TorchDispatchMode):
    """Fails where a number is read out of a tensor: there the host of a GPU would have to wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}, func
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_out_of_a_tensor_until_all_of_a_step_was_asked_for(monkeypatch):
    def fail(tensor):
        pytest.fail("a list was made of a tensor")

    monkeypatch.setattr(recurrence, "_trains_on_cpu", lambda frames: False)  # as on a GPU
    augment = AugmentConfig(vocal_tract=0.1, time_warp_frames=20)
    layers = ModelConfig(units=8, intermediate_layers=(2,), self_conditioned=True)
    model, of = Model(FeatureConfig(), layers, 5).train(), batch([[1, 2, 3], [2, 2]])
    of = dataclasses.replace(of, waveforms=torch.randn(2, 16000), lengths=torch.tensor([16000, 12000]))
    masks, warp = SpecAugment(augment).train(), Warp(augment, FeatureConfig()).train()
    everything = ObjectiveConfig(consistency=0.2, **SINGLE_VIEW)
    with Unread(), monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "tolist", fail)
        target = objective(model, of, masks, everything, warp)
        target.loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    [outcome], length = read_outcomes([target], norm)
    assert outcome.tokens == 5
    assert length > 0


def test_views_of_consistency_are_masked_more_in_time():
    values = {"data": {"train": "t.jsonl"}, "augment": {"time_masks": 5}}
    assert spec_augment(Recipe.model_validate(values)).config.time_masks == 5
    values["objective"] = {"consistency": 0.2}
    assert spec_augment(Recipe.model_validate(values)).config.time_masks == round(12.5)

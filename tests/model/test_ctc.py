import itertools
import math

import pytest
import torch

from asr.config import FeatureConfig, ModelConfig
from asr.model.ctc import Model, ctc_losses, divide_by_prior


def brute_force(log_probs: torch.Tensor, tokens: list[int]) -> float:
    """Negative log of the summed probability of every path that collapses to the tokens."""
    frames, vocabulary = log_probs.shape
    total = 0.0
    for path in itertools.product(range(vocabulary), repeat=frames):
        collapsed = [token for token, _ in itertools.groupby(path) if token]
        if collapsed == tokens:
            total += math.exp(sum(log_probs[t, token].item() for t, token in enumerate(path)))
    return -math.log(total)


@pytest.mark.parametrize("tokens", [[], [1], [1, 2], [1, 1], [2, 1, 2]])
def test_loss_equals_the_sum_over_all_paths(tokens):
    torch.manual_seed(0)
    log_probs = torch.randn(2, 6, 3).log_softmax(-1)
    padded = torch.tensor([tokens + [0] * (4 - len(tokens))] * 2)
    losses, alignable = ctc_losses(log_probs, torch.tensor([5, 4]), padded, torch.full((2,), len(tokens)))
    assert alignable.all()
    assert losses[0].item() == pytest.approx(brute_force(log_probs[0, :5], tokens), rel=1e-5)
    assert losses[1].item() == pytest.approx(brute_force(log_probs[1, :4], tokens), rel=1e-5)


def test_a_batch_in_which_nothing_is_said_has_a_loss():
    log_probs = torch.randn(2, 6, 3).log_softmax(-1)
    losses, alignable = ctc_losses(log_probs, torch.tensor([6, 4]), torch.empty(2, 0).long(), torch.zeros(2).long())
    assert alignable.all()
    assert losses.tolist() == pytest.approx([-log_probs[0, :, 0].sum().item(), -log_probs[1, :4, 0].sum().item()])


def test_divided_by_a_prior_the_loss_is_still_the_sum_over_all_paths():
    torch.manual_seed(0)
    log_probs, tokens = torch.randn(2, 6, 3).log_softmax(-1), [2, 1, 2]
    prior = torch.tensor([0.8, 0.15, 0.05])
    divided, normalizers = divide_by_prior(log_probs, torch.tensor([5, 4]), prior, 0.7)
    losses, _ = ctc_losses(divided, torch.tensor([5, 4]), torch.tensor([tokens] * 2), torch.tensor([3, 3]))
    for row, length in enumerate([5, 4]):
        expected = brute_force(log_probs[row, :length] - 0.7 * prior.log(), tokens)
        assert (losses - normalizers)[row].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(divided.exp().sum(-1), torch.ones(2, 6))


def test_what_cannot_be_aligned_is_flagged_and_moves_nothing():
    logits = torch.randn(3, 3, 4, requires_grad=True)
    tokens = torch.tensor([[1, 1, 2], [1, 2, 1], [1, 1, 0]])
    losses, alignable = ctc_losses(logits.log_softmax(-1), torch.full((3,), 3), tokens, torch.tensor([3, 3, 2]))
    assert alignable.tolist() == [False, True, True]
    assert losses[0] == 0
    losses.sum().backward()
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


CONDITIONED = {"intermediate_layers": (1,), "self_conditioned": True}


def tiny_model(**settings) -> Model:
    torch.manual_seed(0)
    return Model(FeatureConfig(bins=16), ModelConfig(layers=2, units=8, channels=4, **settings), vocabulary=5).eval()


@pytest.mark.parametrize("settings", [{}, {"subsampling": 2}, {"cell": "gru"}, {"bidirectional": False}, CONDITIONED])
def test_same_log_probs_alone_and_in_any_batch(settings):
    model = tiny_model(**settings)
    waveforms = torch.randn(3, 8000) * 0.1
    lengths = torch.tensor([8000, 3111, 1])
    batch, batch_lengths = model.log_probs(waveforms, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, alone_lengths = model.log_probs(waveforms[row : row + 1, :length], lengths[row : row + 1])
        assert alone_lengths[0] == batch_lengths[row]
        torch.testing.assert_close(batch[row, : alone_lengths[0]], alone[0], rtol=1e-4, atol=1e-4)


def test_log_probs_are_normalised_and_timed():
    model = tiny_model(subsampling=4)
    log_probs, lengths = model.log_probs(torch.randn(1, 16000) * 0.1, torch.tensor([16000]))
    assert model.frame_seconds == pytest.approx(0.04)
    assert log_probs.shape == (1, 26, 5)  # frames centred on 0.00, 0.04, ... 1.00 s
    assert lengths.tolist() == [26]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(1, 26))


def test_augmentation_is_applied_to_features():
    model = tiny_model()
    waveforms, lengths = torch.randn(1, 8000) * 0.1, torch.tensor([8000])
    silenced, _ = model(waveforms, lengths, augment=lambda features, lengths: features * 0)
    plain, _ = model(torch.zeros(1, 8000), lengths)
    torch.testing.assert_close(silenced, plain, rtol=1e-4, atol=1e-4)


def test_views_are_augmented_each_for_itself_and_follow_one_another():
    model = tiny_model()
    waveforms, lengths = torch.randn(2, 8000) * 0.1, torch.tensor([8000, 5000])

    def silence_the_second_view(features, lengths):
        assert lengths.tolist() == [51, 32, 51, 32]
        return features * torch.tensor([1.0, 1.0, 0.0, 0.0])[:, None, None]

    both, both_lengths = model(waveforms, lengths, silence_the_second_view, views=2)
    plain, plain_lengths = model(waveforms, lengths)
    silenced, _ = model(waveforms, lengths, lambda features, lengths: features * 0)
    assert both_lengths.tolist() == plain_lengths.tolist() * 2
    torch.testing.assert_close(both, torch.cat((plain, silenced)), rtol=1e-4, atol=1e-4)


def test_views_are_warped_alike():
    model, calls = tiny_model(), []
    waveforms, lengths = torch.randn(2, 8000) * 0.1, torch.tensor([8000, 5000])

    def warp(features, lengths):
        calls.append(lengths.tolist())
        return features + torch.randn_like(features)

    both, _ = model(waveforms, lengths, None, 2, warp)
    assert calls == [[51, 32]]
    assert torch.equal(both[:2], both[2:])


@pytest.mark.parametrize("self_conditioned", [False, True])
def test_intermediate_log_probs_are_those_of_the_shorter_stack(self_conditioned):
    deep = tiny_model(intermediate_layers=(1,), self_conditioned=self_conditioned, dropout=0.0)
    shallow = Model(FeatureConfig(bins=16), ModelConfig(layers=1, units=8, channels=4, dropout=0.0), vocabulary=5)
    shallow.load_state_dict(deep.state_dict(), strict=False)
    waveforms, lengths = torch.randn(1, 8000) * 0.1, torch.tensor([8000])
    assert len(deep(waveforms, lengths)) == 2
    last, _, first = deep.train()(waveforms, lengths)
    torch.testing.assert_close(first, shallow(waveforms, lengths)[0])
    torch.testing.assert_close(last, deep.eval()(waveforms, lengths)[0])


def test_self_conditioning_adds_the_posteriors_to_what_the_next_layer_reads():
    model, plain = tiny_model(**CONDITIONED), tiny_model()
    plain.load_state_dict(model.state_dict(), strict=False)
    waveforms, lengths = torch.randn(1, 8000) * 0.1, torch.tensor([8000])
    conditioned, _ = model.log_probs(waveforms, lengths)

    def add_feedback(layer, inputs, output):
        frames = plain.encoder.norm(residual.pop() + output)
        return output + model.feedback(plain.head(frames).softmax(-1))

    residual: list[torch.Tensor] = []
    plain.encoder.norms[0].register_forward_hook(lambda module, inputs, output: residual.append(inputs[0]))
    plain.encoder.layers[0].register_forward_hook(add_feedback)
    torch.testing.assert_close(plain.log_probs(waveforms, lengths)[0], conditioned)
    model.feedback.weight.data.zero_()
    model.feedback.bias.data.zero_()
    unconditioned = tiny_model()
    unconditioned.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model.log_probs(waveforms, lengths), unconditioned.log_probs(waveforms, lengths))


def test_settings_that_only_training_uses_change_no_weight():
    plain, tapped = tiny_model().state_dict(), tiny_model(intermediate_layers=(1,)).state_dict()
    assert plain.keys() == tapped.keys()
    assert all(torch.equal(plain[name], tapped[name]) for name in plain)

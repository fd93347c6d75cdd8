import itertools
import math

import pytest
import torch

from asr.config import FeatureConfig, ModelConfig
from asr.model.ctc import Model, ctc_losses


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


def test_what_cannot_be_aligned_is_flagged_and_moves_nothing():
    logits = torch.randn(3, 3, 4, requires_grad=True)
    tokens = torch.tensor([[1, 1, 2], [1, 2, 1], [1, 1, 0]])
    losses, alignable = ctc_losses(logits.log_softmax(-1), torch.full((3,), 3), tokens, torch.tensor([3, 3, 2]))
    assert alignable.tolist() == [False, True, True]
    assert losses[0] == 0
    losses.sum().backward()
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def tiny_model(**settings) -> Model:
    torch.manual_seed(0)
    return Model(FeatureConfig(bins=16), ModelConfig(layers=2, units=8, channels=4, **settings), vocabulary=5).eval()


@pytest.mark.parametrize("settings", [{}, {"subsampling": 2}, {"cell": "gru"}, {"bidirectional": False}])
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
    model = tiny_model()
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

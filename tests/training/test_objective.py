"""The objective on a world of one frame a sample, where the model is a table of logits."""

import pytest
import torch
from torch import nn

from asr.dataset import Batch
from asr.training.objective import objective


class Table(nn.Module):
    def __init__(self, logits: torch.Tensor, lengths: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.lengths = lengths

    def forward(self, waveforms, lengths, augment):
        return self.logits.log_softmax(-1), self.lengths


def batch(tokens: list[list[int]]) -> Batch:
    width = max(map(len, tokens))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in tokens])
    lengths = torch.tensor([len(row) for row in tokens])
    names = tuple(f"u{number}" for number in range(len(tokens)))
    waveforms = torch.zeros(len(tokens), 1)
    return Batch(waveforms, torch.ones(len(tokens), dtype=torch.long), padded, lengths, names, names)


def test_is_the_mean_over_tokens_as_pytorch_computes_each():
    torch.manual_seed(0)
    model = Table(torch.randn(2, 6, 4), torch.tensor([6, 5]))
    target = objective(model, batch([[1, 2, 3], [2, 2]]), None)
    log_probs = model.logits.log_softmax(-1)
    first = nn.functional.ctc_loss(log_probs[0], torch.tensor([1, 2, 3]), (6,), (3,), reduction="sum")
    second = nn.functional.ctc_loss(log_probs[1, :5], torch.tensor([2, 2]), (5,), (2,), reduction="sum")
    assert target.loss.item() == pytest.approx((first + second).item() / 5, rel=1e-5)
    assert (target.tokens, target.unalignable, target.non_finite) == (5, (), ())


def test_unalignable_and_non_finite_utterances_are_named_and_do_not_count():
    torch.manual_seed(0)
    logits = torch.randn(3, 3, 4)
    logits[2] = float("nan")
    model = Table(logits, torch.tensor([3, 3, 3]))
    target = objective(model, batch([[1], [1, 1, 1], [2]]), None)
    alone = objective(Table(logits[:1], torch.tensor([3])), batch([[1]]), None)
    assert target.loss.item() == pytest.approx(alone.loss.item())
    assert (target.tokens, target.unalignable, target.non_finite) == (1, ("u1",), ("u2",))


def test_nothing_alignable_is_a_loss_of_zero():
    target = objective(Table(torch.randn(1, 2, 4), torch.tensor([2])), batch([[1, 2, 3]]), None)
    assert target.loss.item() == 0.0
    assert target.tokens == 0

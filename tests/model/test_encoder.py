import pytest
import torch

from asr.config import ModelConfig
from asr.model.encoder import Encoder, LockedDropout, Lookahead


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_alone_equals_in_a_batch(cell, bidirectional):
    torch.manual_seed(0)
    lookahead = 0 if bidirectional else 3
    config = ModelConfig(cell=cell, bidirectional=bidirectional, layers=2, units=4, lookahead_frames=lookahead)
    encoder = Encoder(config).eval()
    frames = torch.randn(3, 12, encoder.outputs)
    lengths = torch.tensor([12, 1, 7])
    batch = encoder(frames, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(frames[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(batch[row, :length], alone[0], rtol=1e-5, atol=1e-5)


def test_unidirectional_sees_no_future_but_the_lookahead():
    torch.manual_seed(0)
    encoder = Encoder(ModelConfig(bidirectional=False, layers=2, units=4, lookahead_frames=2)).eval()
    frames = torch.randn(1, 12, 4, requires_grad=True)
    encoder(frames, torch.tensor([12]))[0, 5, 0].backward()
    seen = frames.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert seen.max() == 7


def test_lookahead_by_hand():
    lookahead = Lookahead(units=1, context=2)
    lookahead.convolution.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])
    frames = torch.tensor([[[1.0], [2.0], [3.0], [9.0]]])
    ahead = lookahead(frames, torch.tensor([3]))
    assert ahead.flatten().tolist() == [321.0, 32.0, 3.0, 0.0]


def test_sequences_of_any_length():
    encoder = Encoder(ModelConfig(layers=1, units=2)).eval()
    assert encoder(torch.randn(1, 20000, 4), torch.tensor([20000])).isfinite().all()


def test_locked_dropout_drops_a_unit_from_all_frames_of_an_utterance():
    torch.manual_seed(0)
    dropped = LockedDropout(0.25)(torch.ones(8, 5, 1000))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(dropped[0], dropped[1])


def test_locked_dropout_does_nothing_outside_training():
    frames = torch.randn(2, 3, 4)
    assert torch.equal(LockedDropout(0.5).eval()(frames), frames)
    assert torch.equal(LockedDropout(0.0)(frames), frames)

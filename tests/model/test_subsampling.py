import pytest
import torch

from asr.model.subsampling import Subsampling, valid_frames


@pytest.mark.parametrize(("factor", "expected"), [(2, [1, 1, 4, 5, 11]), (3, [1, 1, 3, 3, 7]), (4, [1, 1, 2, 3, 6])])
def test_lengths_are_rounded_up(factor, expected):
    subsampling = Subsampling(bins=8, channels=2, factor=factor, outputs=5)
    lengths = torch.tensor([1, 2, 8, 9, 21])
    frames, shortened = subsampling(torch.randn(5, 21, 8), lengths)
    assert shortened.tolist() == expected
    assert frames.shape == (5, expected[-1], 5)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 16])
def test_alone_equals_in_a_batch_whatever_the_padding_holds(factor, length):
    torch.manual_seed(0)
    subsampling = Subsampling(bins=8, channels=3, factor=factor, outputs=5)
    features = torch.randn(2, 16, 8) * 100
    alone, alone_length = subsampling(features[:1, :length], torch.tensor([length]))
    batch, lengths = subsampling(features, torch.tensor([length, 16]))
    assert lengths[0] == alone_length[0] == alone.shape[1]
    torch.testing.assert_close(batch[0, : lengths[0]], alone[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_output_frame_is_centred_on_its_input_frame(factor):
    """The middle of what an output frame sees is input frame t * factor."""
    torch.manual_seed(0)
    subsampling = Subsampling(bins=8, channels=3, factor=factor, outputs=1)
    features = torch.randn(1, 41, 8, requires_grad=True)
    frames, _ = subsampling(features, torch.tensor([41]))
    t = 20 // factor
    frames[0, t].sum().backward()
    seen = features.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert (seen[0] + seen[-1]).item() / 2 == t * factor


def test_valid_frames_by_hand():
    assert valid_frames(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]

"""Forced alignment against every path there is."""

import math
from itertools import groupby, product

import pytest
import torch

from asr.decoding import TokenSpan, align
from asr.errors import TextError


def collapse(path):
    return tuple(token for token, _ in groupby(path) if token)


def spans_of(path, log_probs):
    """Runs of equal tokens, spelled out frame by frame."""
    found, frame = [], 0
    for token, run in groupby(path):
        end = frame + len(list(run))
        if token:
            probabilities = [log_probs[t, token].exp().item() for t in range(frame, end)]
            found.append(TokenSpan(token, frame, end, math.prod(probabilities) ** (1 / (end - frame))))
        frame = end
    return found


def assert_same(found, expected):
    assert [(s.token, s.start_frame, s.end_frame) for s in found] == [
        (s.token, s.start_frame, s.end_frame) for s in expected
    ]
    assert [s.confidence for s in found] == pytest.approx([s.confidence for s in expected], abs=1e-5)


@pytest.mark.parametrize(("frames", "vocabulary", "seed"), [(1, 3, 0), (2, 4, 1), (4, 3, 2), (5, 4, 3), (6, 4, 4)])
def test_is_the_best_of_all_paths_for_every_text(frames, vocabulary, seed):
    log_probs = (3 * torch.randn(frames, vocabulary, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)
    best = {}
    for path in product(range(vocabulary), repeat=frames):
        score = sum(log_probs[t, token].item() for t, token in enumerate(path))
        best[collapse(path)] = max(best.get(collapse(path), (-math.inf, ())), (score, path))
    assert len(best) > frames
    for tokens, (_, path) in best.items():
        assert_same(align(log_probs, tokens), spans_of(path, log_probs))


def test_every_text_that_no_path_writes_is_refused():
    log_probs = torch.randn(3, 3).log_softmax(-1)
    possible = {collapse(path) for path in product(range(3), repeat=3)}
    for tokens in (text for size in range(5) for text in product((1, 2), repeat=size)):
        if tokens in possible:
            assert [span.token for span in align(log_probs, tokens)] == list(tokens)
        else:
            with pytest.raises(TextError, match=f"3 frames are too few for {len(tokens)} tokens"):
                align(log_probs, tokens)


def test_impossible_frames_are_avoided_where_they_can_be():
    probabilities = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])
    spans = align(probabilities.log(), [1, 2])
    assert [(span.token, span.start_frame) for span in spans] == [(1, 0), (2, 2)]
    assert spans[0].confidence == pytest.approx(1.0)
    assert align(probabilities.log(), [2, 1])[1].confidence == 0.0


def test_no_tokens_and_no_frames():
    assert align(torch.randn(5, 3).log_softmax(-1), []) == []
    assert align(torch.zeros(0, 3), []) == []
    with pytest.raises(TextError, match="0 frames"):
        align(torch.zeros(0, 3), [1])


@pytest.mark.parametrize("token", [0, 3, -1])
def test_tokens_outside_the_vocabulary_are_refused(token):
    with pytest.raises(ValueError, match=r"1\.\.2"):
        align(torch.zeros(5, 3), [1, token])


def test_public_names_are_functions_even_after_their_modules_are_imported():
    import asr.decoding.align
    import asr.decoding.greedy
    import asr.decoding.words

    assert all(callable(getattr(asr.decoding, name)) for name in asr.decoding.__all__)

"""The best path against torchaudio's, which keeps a table of all frames and states: the same, in less."""

import tracemalloc

import pytest
import torch
from torchaudio.functional import forced_align

from asr.decoding import viterbi
from asr.decoding.align import align, spans, temper
from asr.decoding.viterbi import best_path
from asr.text import required_frames


def aligned_by_torchaudio(log_probs, tokens, temperature):
    emissions = log_probs.float().clamp(min=-1e4)
    path, _ = forced_align(emissions[None], torch.tensor([tokens]))
    return spans(path[0].numpy(), temper(emissions, path[0], temperature).numpy(), [len(path[0])])[0]


def world(seed, kind):
    """Some frames, and tokens that they can say, often only just; few different ones, so many repeat."""
    chance = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high, (1,), generator=chance))

    vocabulary, length = number(2, 6), number(1, 12)
    tokens = torch.randint(1, vocabulary, (length,), generator=chance).tolist()
    frames = required_frames(tokens) + number(0, 4) * number(0, 12)
    if kind == "ties":  # whole numbers, so that scores are often equal
        return torch.randint(-4, 1, (frames, vocabulary), generator=chance).float(), tokens
    log_probs = (4 * torch.randn(frames, vocabulary, generator=chance)).log_softmax(-1)
    if kind == "impossible":
        log_probs[torch.rand(log_probs.shape, generator=chance) < 0.4] = -torch.inf
    return log_probs, tokens


def recording(kind, frames, share=0.4):
    """As a model hears a long one: `peaky`, a blank but for spikes where tokens are said, or `flat`, as good as noise.

    In `mistaken` every tenth token to say is another than the one that is heard.
    """
    chance = torch.Generator().manual_seed(frames)
    logits = torch.randn(frames, 32, generator=chance)
    tokens = torch.randint(1, 32, (round(share * frames),), generator=chance)
    if kind != "flat":
        logits[:, 0] += 6
        logits[torch.randperm(frames, generator=chance)[: len(tokens)].sort()[0], tokens] += 12
    if kind == "mistaken":
        tokens[::10] = torch.randint(1, 32, tokens[::10].shape, generator=chance)
    return logits.log_softmax(-1), tokens.tolist()


CRAMPED = pytest.mark.parametrize(("buffer", "slack"), [(viterbi.BUFFER, viterbi.SLACK), (1, viterbi.SLACK), (1, 0.01)])
"""Also where the buffer is soon full, and the rival comes in ahead time and again."""


@CRAMPED
def test_equals_torchaudio(buffer, slack, monkeypatch):
    monkeypatch.setattr(viterbi, "BUFFER", buffer)
    monkeypatch.setattr(viterbi, "SLACK", slack)
    for seed in range(300):
        log_probs, tokens = world(seed, "random")
        temperature = 1.0 + seed % 2
        assert align(log_probs, tokens, temperature) == aligned_by_torchaudio(log_probs, tokens, temperature), seed


def best_score(log_probs, tokens):
    """Of the best path, by trying in each frame all ways into each state."""
    states = [0, *(state for token in tokens for state in (token, 0))]
    scores = [0.0] + [-torch.inf] * (len(states) - 1)
    for row in log_probs.double().tolist():
        before, scores = scores, []
        for place, token in enumerate(states):
            ways = before[max(place - 1, 0) : place + 1]
            if place > 1 and token not in (0, states[place - 2]):
                ways = [*ways, before[place - 2]]
            scores.append(max(ways) + row[token])
    return max(scores[-2:])


@CRAMPED
@pytest.mark.parametrize("kind", ["ties", "impossible"])
def test_no_path_is_better_where_scores_are_equal(kind, buffer, slack, monkeypatch):
    monkeypatch.setattr(viterbi, "BUFFER", buffer)
    monkeypatch.setattr(viterbi, "SLACK", slack)
    for seed in range(300):
        log_probs, tokens = world(seed, kind)
        log_probs = log_probs.clamp(min=-1e4)
        path = torch.from_numpy(best_path(log_probs.numpy(), tokens))
        collapsed = [
            token for token, before in zip(path.tolist(), [0, *path.tolist()], strict=False) if token != before
        ]
        assert [token for token in collapsed if token] == tokens
        score = log_probs.double().gather(1, path[:, None]).sum().item()
        assert score == pytest.approx(best_score(log_probs, tokens), rel=1e-6), seed


@pytest.mark.parametrize("kind", ["peaky", "mistaken", "flat"])
@pytest.mark.parametrize(("frames", "share"), [(1500, 0.4), (1500, 0.01), (1500, 0.9), (4000, 0.2)])
@pytest.mark.parametrize("buffer", [viterbi.BUFFER, 1])
def test_equals_torchaudio_on_long_recordings(kind, frames, share, buffer, monkeypatch):
    monkeypatch.setattr(viterbi, "BUFFER", buffer)
    log_probs, tokens = recording(kind, frames, share)
    assert align(log_probs, tokens) == aligned_by_torchaudio(log_probs, tokens, 1.0)


def test_as_many_frames_as_tokens_need():
    for tokens in ([1], [1, 1], [1, 1, 1, 2, 2]):
        log_probs = torch.randn(required_frames(tokens), 3).log_softmax(-1)
        found = align(log_probs, tokens)
        assert found == aligned_by_torchaudio(log_probs, tokens, 1.0)
        assert all(span.end_frame == span.start_frame + 1 for span in found)


@pytest.mark.parametrize("kind", ["peaky", "mistaken", "flat"])
def test_memory_does_not_grow_as_the_square(kind):
    """A table of 24000 frames and 2 * 9600 + 1 states would take 461 MB."""
    log_probs, tokens = recording(kind, 24000)
    tracemalloc.start()
    try:
        path = best_path(log_probs.numpy(), tokens)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 24e6
    collapsed = [int(token) for token, before in zip(path, [0, *path], strict=False) if token and token != before]
    assert collapsed == tokens


def test_more_frames_and_tokens_than_torchaudio_can_count():
    """Its table ends at 2^31 places, as do its indices; here are 2.3 times that."""
    log_probs, tokens = recording("peaky", 80000)
    assert [span.token for span in align(log_probs, tokens)] == tokens


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_no_log_probability_is_refused(wrong):
    log_probs = torch.zeros(5, 3)
    log_probs[2, 1] = wrong
    with pytest.raises(ValueError, match="infinite or not numbers"):
        align(log_probs, [1, 2])

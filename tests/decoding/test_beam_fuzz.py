"""Whatever the frames hold: no crash, scores sorted and no higher than certainty, times in order and in the audio."""

import hypothesis.strategies as st
import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from asr.decoding import BeamSearch, Hypothesis, timed
from asr.decoding.likelihood import log_likelihood
from asr.text import CharTokenizer

FRAME_SECONDS = 0.04


@st.composite
def utterances(draw: st.DrawFn) -> torch.Tensor:
    """Frames of every kind: sharp, flat, impossible tokens, certain ones; shape (frames, tokens)."""
    frames, tokens = draw(st.integers(0, 12)), draw(st.integers(2, 5))
    rng = numpy.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = rng.random((frames, tokens)) ** draw(st.sampled_from([0.1, 1.0, 8.0, 60.0]))
    weights[rng.random((frames, tokens)) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0.0
    empty = weights.sum(axis=1) == 0.0
    weights[empty, draw(st.integers(0, tokens - 1))] = 1.0
    with numpy.errstate(divide="ignore"):
        log_probs = numpy.log(weights / weights.sum(axis=1, keepdims=True))
    return torch.from_numpy(log_probs).to(draw(st.sampled_from([torch.float32, torch.float64])))


def check(hypotheses: list[Hypothesis], log_probs: torch.Tensor, tokenizer: CharTokenizer, nbest: int) -> None:
    assert 1 <= len(hypotheses) <= nbest
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert len({hypothesis.tokens for hypothesis in hypotheses}) == len(hypotheses)
    for hypothesis in hypotheses:
        assert hypothesis.acoustic_score <= 1e-5
        words = timed(hypothesis, log_probs, tokenizer, FRAME_SECONDS).words
        assert hypothesis.text == " ".join(word.text for word in words)
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(0.0 <= time <= len(log_probs) * FRAME_SECONDS for time in times)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    log_probs=utterances(),
    beam_size=st.sampled_from([1, 2, 7, 300]),
    token_cut=st.sampled_from([0.0, 1e-3, 1.0]),
    score_margin=st.sampled_from([0.0, 5.0, 1e9]),
    hotwords=st.sampled_from([None, {"a": 3.0, "b a": -2.0}]),
    words=st.sampled_from([None, ["a"], ["b", "ab", "ba"]]),
    data=st.data(),
)
def test_any_frames(log_probs: torch.Tensor, data: st.DataObject, words: list[str] | None, **options: object) -> None:
    tokenizer = CharTokenizer("ab c"[: log_probs.shape[1] - 1])
    if not tokenizer.characters >= {"a", "b", " "}:
        words = options["hotwords"] = None
    search = BeamSearch(tokenizer, lexicon=words, nbest=4, **options)
    whole = search(log_probs)
    check(whole, log_probs, tokenizer, 4)
    if words:
        known = {*words, *" ".join(options["hotwords"] or ()).split()}
        assert all(set(hypothesis.text.split()) <= known for hypothesis in whole)
    cut = data.draw(st.integers(0, len(log_probs)))
    state = search.advance(search.advance(search.start(), log_probs[:cut]), log_probs[cut:])
    assert search.finish(state) == whole


@settings(max_examples=100, deadline=None)
@given(log_probs=utterances(), data=st.data())
def test_likelihood_equals_torch(log_probs: torch.Tensor, data: st.DataObject) -> None:
    frames, size = log_probs.shape
    tokens = data.draw(st.lists(st.integers(1, size - 1), max_size=frames))
    if not frames:
        tokens = []
    probabilities = log_probs.double().exp()
    value = log_likelihood(
        probabilities.numpy(), probabilities.amax(dim=1).numpy(), numpy.array(tokens, dtype=numpy.int32)
    )
    if not frames:
        assert value == 0.0
        return
    expected = -torch.nn.functional.ctc_loss(
        log_probs.double()[:, None], torch.tensor([tokens], dtype=torch.long), [frames], [len(tokens)], reduction="sum"
    )
    assert value == pytest.approx(expected.item(), abs=1e-9)


def test_no_frames_are_silence() -> None:
    (hypothesis,) = BeamSearch(CharTokenizer("ab "))(torch.empty(0, 4))
    assert hypothesis == Hypothesis("", (), 0.0, 0.0, 0.0, ())


def test_all_blank_is_silence() -> None:
    log_probs = torch.full((500, 4), 1e-5)
    log_probs[:, 0] = 1 - 3e-5
    (hypothesis,) = BeamSearch(CharTokenizer("ab "))(log_probs.log())
    assert hypothesis.text == ""
    assert hypothesis.score == pytest.approx(500 * numpy.log(1 - 3e-5), rel=1e-3)


@pytest.mark.parametrize("gap", [0.0, 1e-30, 1e-300])
def test_likelihood_is_exact_where_dropping_would_lose_it(gap: float) -> None:
    """What is unlikely at first is all there is at the end, so nothing may be dropped on the way."""
    probabilities = numpy.full((80, 3), gap)
    probabilities[:40, 0] = 1.0
    probabilities[40:, 1] = 1.0
    probabilities[:40, 2] = 0.1
    tokens = numpy.array([1, 2, 1], dtype=numpy.int32)
    value = log_likelihood(probabilities, probabilities.max(axis=1), tokens)
    with numpy.errstate(divide="ignore"):
        logs = torch.from_numpy(numpy.log(probabilities))
    expected = -torch.nn.functional.ctc_loss(
        logs[:, None], torch.from_numpy(tokens)[None].long(), [80], [3], reduction="sum"
    )
    assert value == pytest.approx(expected.item(), abs=1e-6)

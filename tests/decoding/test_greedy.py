"""Greedy decoding against a frame-by-frame loop, and in tiny worlds whose answer is plain."""

import math

import pytest
import torch

from asr.decoding import align, greedy
from asr.text import CharTokenizer

TOKENIZER = CharTokenizer("ab ")
FRAME = 0.04


def world(path, peak=0.9):
    """Log-probabilities (frames, 4) whose best path is the given string; `-` is the blank."""
    probabilities = torch.full((len(path), 4), (1 - peak) / 3)
    for frame, character in enumerate(path):
        probabilities[frame, "-ab ".index(character)] = peak
    return probabilities.log()


def read(*paths):
    lengths = torch.tensor([len(path) for path in paths])
    batch = torch.nn.utils.rnn.pad_sequence([world(path) for path in paths], batch_first=True)
    return greedy(batch, lengths, TOKENIZER, FRAME)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a", "a"),
        ("aab", "ab"),
        ("a-ab", "aab"),
        ("--a--b--", "ab"),
        ("ab ba", "ab ba"),
        (" a - b ", "a b"),
        ("---", ""),
        ("   ", ""),
        ("", ""),
    ],
)
def test_repeats_merge_and_blanks_vanish(path, text):
    (hypothesis,) = read(path)
    assert hypothesis.text == text
    assert hypothesis.text == " ".join(TOKENIZER.decode(hypothesis.tokens).split())
    assert [word.text for word in hypothesis.words] == text.split()


def test_score_is_the_log_probability_of_the_best_path():
    (hypothesis,) = read("a-ab")
    assert hypothesis.score == pytest.approx(4 * math.log(0.9), rel=1e-5)
    assert hypothesis.acoustic_score == hypothesis.score
    assert hypothesis.lm_score == 0.0
    assert read("")[0].score == 0.0


def naive(log_probs):
    tokens, previous, score = [], 0, 0.0
    for frame in log_probs.tolist():
        token = frame.index(max(frame))
        score += frame[token]
        if token not in (0, previous):
            tokens.append(token)
        previous = token
    return tokens, score


def test_a_batch_equals_a_loop_over_its_frames():
    lengths = torch.tensor([0, 23, 1, 40, 0, 40])
    log_probs = torch.randn(6, 40, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    for hypothesis, row, length in zip(greedy(log_probs, lengths, TOKENIZER, FRAME), log_probs, lengths, strict=True):
        tokens, score = naive(row[:length])
        assert list(hypothesis.tokens) == tokens
        assert hypothesis.score == pytest.approx(score, rel=1e-5)


def test_word_times_are_those_of_the_forced_alignment():
    log_probs = torch.randn(1, 60, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    (hypothesis,) = greedy(log_probs, torch.tensor([60]), TOKENIZER, FRAME)
    from asr.decoding import words

    assert len(hypothesis.words) > 3
    aligned = words(align(log_probs[0], hypothesis.tokens), TOKENIZER, FRAME, 59.5 * FRAME)
    for word, expected in zip(hypothesis.words, aligned, strict=True):
        assert (word.start, word.end, word.text) == (expected.start, expected.end, expected.text)
        assert word.confidence == pytest.approx(expected.confidence, abs=1e-5)


def test_what_else_is_in_the_batch_does_not_matter():
    alone = [read(path)[0] for path in ("ab-a", "", "a  -b--a", "--")]
    assert read("ab-a", "", "a  -b--a", "--") == alone


def test_an_empty_batch_and_no_frames():
    assert greedy(torch.zeros(0, 5, 4), torch.zeros(0, dtype=torch.int64), TOKENIZER, FRAME) == []
    (hypothesis,) = greedy(torch.zeros(1, 0, 4), torch.tensor([0]), TOKENIZER, FRAME)
    assert (hypothesis.text, hypothesis.tokens, hypothesis.words) == ("", (), ())

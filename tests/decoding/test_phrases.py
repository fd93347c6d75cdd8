"""One of some phrases: scored as the sum over all paths says, ranked, timed, and balanced."""

import itertools
import math

import pytest
import torch

from asr.decoding import Hypothesis, Phrases, balance, read_phrases
from asr.errors import TextError
from asr.text import CharTokenizer

LETTERS = CharTokenizer("ab ")
LISTED = ["ab", "ba", "a b", "bb"]


def brute_force(log_probs, tokens):
    """The summed probability of every path that collapses to the tokens."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if [token for token, _ in itertools.groupby(path) if token] == tokens:
            total += math.exp(sum(float(log_probs[t, token]) for t, token in enumerate(path)))
    return math.log(total) if total else -math.inf


def heard(seed=0):
    torch.manual_seed(seed)
    return (2 * torch.randn(3, 5, 4)).log_softmax(-1), torch.tensor([5, 4, 2])


def test_scores_are_the_sums_over_all_paths():
    log_probs, lengths = heard()
    search = Phrases(LETTERS, LISTED, frame_seconds=0.04)
    found = search.scores(log_probs, lengths)
    assert search.texts == LISTED
    expected = [
        [brute_force(row[:length], LETTERS.encode(text)) for text in LISTED]
        for row, length in zip(log_probs, lengths.tolist(), strict=True)
    ]
    assert torch.allclose(found, torch.tensor(expected), rtol=1e-4)
    assert found[2, 2] == found[2, 3] == -math.inf, "two frames are too few for three tokens, and for two alike"


def test_the_most_probable_are_returned_best_first_and_timed():
    log_probs, lengths = heard()
    search = Phrases(LETTERS, LISTED, frame_seconds=0.04, nbest=3)
    for scores, hypotheses in zip(search.scores(log_probs, lengths), search(log_probs, lengths), strict=True):
        possible = [number for number in range(4) if scores[number] > -math.inf]
        best = sorted(possible, key=lambda number: -scores[number])[:3]
        assert [each.text for each in hypotheses] == [LISTED[number] for number in best]
        assert [each.score for each in hypotheses] == [float(scores[number]) for number in best]
        for each in hypotheses:
            assert each.acoustic_score == each.score
            assert " ".join(word.text for word in each.words) == each.text
            assert all(0.0 <= word.start <= word.end <= 0.04 * 4.5 for word in each.words)


@pytest.mark.parametrize("nbest", [1, 3])
def test_an_utterance_too_short_for_any_phrase_says_nothing(nbest):
    log_probs, lengths = heard()
    found = Phrases(LETTERS, ["abab", "baba"], frame_seconds=0.04, nbest=nbest)(log_probs, lengths)
    assert [len(each) for each in found] == [min(nbest, 2), min(nbest, 2), 1]
    assert found[2] == [Hypothesis("", (), -math.inf, -math.inf, 0.0, ())]


def test_alone_or_in_a_batch_a_phrase_is_found_alike():
    log_probs, lengths = heard()
    search = Phrases(LETTERS, LISTED, frame_seconds=0.04)
    together = search(log_probs, lengths)
    for row, length, (best,) in zip(log_probs, lengths, together, strict=True):
        ((alone,),) = search(row[None, :length], length[None])
        assert (alone.text, alone.words) == (best.text, best.words)
        assert alone.score == pytest.approx(best.score)


def test_balanced_phrases_are_each_as_frequent_as_any():
    torch.manual_seed(0)
    scores = 5 * torch.randn(200, 4) + torch.tensor([0.0, 8.0, -3.0, 1.0])
    weights = balance(scores)
    shares = (scores + weights).softmax(dim=1).mean(dim=0)
    assert torch.allclose(shares, torch.full((4,), 0.25, dtype=shares.dtype), rtol=1e-3)
    assert torch.allclose(balance(scores + weights), torch.zeros(4, dtype=torch.float64), atol=1e-3)


def test_balance_tells_a_phrase_that_is_always_heard_as_another():
    """ "b" is heard as "a", only less surely than "a" itself: each must be said half of the time, so it is "b"."""
    scores = torch.tensor([[0.0, -9.0]] * 50 + [[-1.0, -4.0]] * 50).log_softmax(dim=1)
    assert scores.argmax(dim=1).tolist() == [0] * 100
    assert (scores + balance(scores)).argmax(dim=1).tolist() == [0] * 50 + [1] * 50


def test_balance_leaves_what_is_balanced():
    assert torch.equal(balance(torch.zeros(3, 2)), torch.zeros(2, dtype=torch.float64))


def test_phrases_are_read_from_a_file(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_text("ab\n\n  a b \nab\n", encoding="utf-8")
    assert read_phrases(path) == ["ab", "a b", "ab"]
    assert Phrases(LETTERS, read_phrases(path), 0.04).texts == ["ab", "a b"]
    path.write_text("ab\nb\n", encoding="utf-8-sig")
    assert read_phrases(path) == ["ab", "b"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "holds no phrase"), (b"\n \n", "holds no phrase"), (b"\xff", "cannot be read")]
)
def test_a_file_without_phrases_is_named(tmp_path, content, said):
    path = tmp_path / "phrases.txt"
    path.write_bytes(content)
    with pytest.raises(TextError, match=rf"phrases\.txt: {said}"):
        read_phrases(path)
    with pytest.raises(TextError, match=r"none\.txt: cannot be read"):
        read_phrases(tmp_path / "none.txt")


def test_phrases_that_cannot_be_written_are_named():
    with pytest.raises(TextError, match=r"phrases: cannot be spelled.*'abc' \('c' U\+0063\)"):
        Phrases(LETTERS, ["ab", "abc"], 0.04)
    with pytest.raises(TextError, match="there are none"):
        Phrases(LETTERS, [], 0.04)

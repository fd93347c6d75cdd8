"""Error rates against an edit distance written here, and by hand."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import AsrError
from asr.evaluation import confusions, oracle_wer, score


def distance(reference, hypothesis):
    """Levenshtein 1966, one row at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, start=1):
        previous, row[0] = row[0], i
        for j, heard in enumerate(hypothesis, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (said != heard))
    return row[-1]


TEXT = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), max_size=7).map(" ".join)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_counts_are_those_of_the_edit_distance(pairs):
    references, hypotheses = ["a", *(pair[0] for pair in pairs)], ["a", *(pair[1] for pair in pairs)]
    rates = score(references, hypotheses)
    for utterance, reference, hypothesis in zip(rates.utterances, references, hypotheses, strict=True):
        assert utterance.errors == distance(reference.split(), hypothesis.split())
        assert utterance.character_errors == distance(reference, hypothesis)
        assert utterance.reference_words == len(reference.split())
        assert utterance.reference_words + utterance.insertions - utterance.deletions == len(hypothesis.split())
        assert [said for said, _ in utterance.alignment if said is not None] == reference.split()
        assert [heard for _, heard in utterance.alignment if heard is not None] == hypothesis.split()
    errors = sum(utterance.errors for utterance in rates.utterances)
    assert rates.substitutions + rates.deletions + rates.insertions == errors
    assert rates.wer == pytest.approx(errors / sum(len(reference.split()) for reference in references))
    characters = sum(map(distance, references, hypotheses))
    assert rates.cer == pytest.approx(characters / sum(map(len, references)))
    assert rates.reference_characters == sum(map(len, references))


def test_by_hand():
    rates = score(["the cat sat", "on the mat"], ["the hat sat down", "on mat"], ids=["one", "two"])
    assert (rates.substitutions, rates.deletions, rates.insertions, rates.reference_words) == (1, 1, 1, 6)
    assert rates.wer == 0.5
    assert rates.cer == pytest.approx((1 + 5 + 4) / 21)  # c/h, " down", "the "
    assert [utterance.id for utterance in rates.utterances] == ["one", "two"]
    assert rates.utterances[1].alignment == (("on", "on"), ("the", None), ("mat", "mat"))


def test_spaces_are_characters_but_only_one_between_words():
    assert score(["ab"], ["a b"]).cer == 0.5
    assert score([" a \t b\n"], ["a   b"]).cer == 0.0


def test_an_empty_reference_counts_insertions():
    rates = score(["", "a b"], ["x y z", ""])
    assert (rates.insertions, rates.deletions, rates.substitutions) == (3, 2, 0)
    assert rates.wer == 2.5
    assert rates.cer == pytest.approx((5 + 3) / 3)
    assert score(["", "a"], ["", "a"]).wer == 0.0


@pytest.mark.parametrize("references", [[], [""], ["", "  "]])
def test_no_reference_words_is_an_error(references):
    with pytest.raises(AsrError, match="no words"):
        score(references, ["a"] * len(references))


def test_as_many_hypotheses_as_references():
    with pytest.raises(ValueError, match="2 references, 1 hypotheses"):
        score(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="2 ids"):
        score(["a"], ["a"], ids=["x", "y"])


def test_confusions_pair_what_was_said_with_what_was_heard():
    rates = score(["five nine five", "nine one", "one"], ["nine nine nine", "five one", "one"])
    assert confusions(rates.utterances)["five", "nine"] == 2
    assert confusions(rates.utterances)["nine", "five"] == 1
    assert all(said != heard for said, heard in confusions(rates.utterances))
    assert confusions(score(["bat mat"], ["pat mat"]).utterances, characters=True) == {("b", "p"): 1}
    assert not confusions(score(["a"], ["a"]).utterances, characters=True)


def test_needs_no_torch():
    program = (
        "import sys, asr.evaluation as e; [getattr(e, name) for name in e.__all__]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_oracle_chooses_the_reading_with_the_fewest_errors():
    references = ["a b", "c", "d e f"]
    readings = [["a x", "a b"], ["c"], ["d", "x y z", "d e"]]
    assert oracle_wer(references, readings) == pytest.approx(1 / 6)
    assert oracle_wer(references, [[each[0]] for each in readings]) == score(references, ["a x", "c", "d"]).wer

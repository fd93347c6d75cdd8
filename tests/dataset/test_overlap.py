from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from asr.dataset.manifest import Utterance
from asr.dataset.overlap import MARGIN_SECONDS, Recordings, Stretch, complaints

QUARTERS = st.integers(0, 40).map(lambda quarters: quarters / 4)  # overlaps are none, or longer than the margin
LENGTHS = st.integers(1, 40).map(lambda quarters: quarters / 4)
STRETCHES = st.lists(
    st.builds(
        lambda path, begin, length: Stretch(path, begin, begin + length), st.sampled_from("ab"), QUARTERS, LENGTHS
    ),
    max_size=8,
)


def overlap(first: Stretch, second: Stretch) -> bool:
    return first.path == second.path and min(first.end, second.end) - max(first.begin, second.begin) > 0


@settings(deadline=None)  # a busy machine is no fault
@given(STRETCHES, STRETCHES)
def test_against_every_pair(some: list[Stretch], others: list[Stretch]) -> None:
    recordings = Recordings(some)
    assert [each in recordings for each in others] == [any(overlap(each, one) for one in some) for each in others]
    assert recordings.common(Recordings(others)) == sum(each in recordings for each in others)
    in_order = sorted(some)
    assert recordings.repeated() == sum(
        any(overlap(one, each) for one in in_order[:index]) for index, each in enumerate(in_order)
    )


def test_neighbours_cut_with_a_margin_are_apart() -> None:
    cuts = [Stretch("a", begin - MARGIN_SECONDS / 2, begin + 1 + MARGIN_SECONDS / 2) for begin in (1.0, 2.0, 3.0)]
    assert Recordings(cuts).repeated() == 0
    assert all(second not in Recordings([first]) for first, second in pairwise(cuts))
    assert Stretch("a", 1.2, 1.25) in Recordings(cuts), "however short"


def utterance(name: str, offset: float = 0.0) -> Utterance:
    return Utterance(Path(name), 2.0, "hello", offset)


def test_a_training_that_is_scored_on_what_it_learns_is_told(tmp_path: Path) -> None:
    train = [utterance(f"{tmp_path}/a.wav"), utterance(f"{tmp_path}/b.wav", 2.0)]
    scored = {
        "dev.jsonl": [utterance(f"{tmp_path}/x/../a.wav"), utterance(f"{tmp_path}/c.wav")],
        "test.jsonl": [utterance(f"{tmp_path}/b.wav", 4.0)],
    }
    (told,) = complaints(train, scored)
    assert told.startswith("dev.jsonl: holds the audio of 1 training utterances")
    assert complaints(train[1:], scored) == []

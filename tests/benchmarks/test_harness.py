import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Report, duration, interleave, silence


class Clock:
    """A clock that stands still but for the work that is done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.now += seconds


def test_systems_take_turns_at_being_first() -> None:
    clock = Clock()
    runs = {"a": lambda: clock.work("a", 1.0), "b": lambda: clock.work("b", 4.0)}
    assert interleave(runs, 3, 0.0, clock) == {"a": [1.0] * 3, "b": [4.0] * 3}
    assert "".join(clock.order) == "abbaab"


def test_ratio_is_the_peers_median_over_ours(tmp_path: Path) -> None:
    report = Report()
    report.add("train-epoch", "other", 2, [1.0, 2.0, 30.0], [5.0, 4.0, 3.0])
    report.write(tmp_path / "benchmarks.json")
    [row] = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert row == {
        "name": "train-epoch",
        "peer": "other",
        "threads": 2,
        "ours_seconds": 2.0,
        "peer_seconds": 4.0,
        "ratio": 2.0,
    }


def test_every_variant_of_ours_stands_beside_every_peer(capfd: pytest.CaptureFixture[str]) -> None:
    work = lambda: lambda: sum(range(1000))  # noqa: E731
    report = Report(patience=0.0)
    found = report.compare("sum", {"fast": work, "": work}, {"p": work, "q": work}, per=2.0, columns={"who": str.upper})
    assert {(each.name, each.peer) for each in report.comparisons} == {
        ("sum-fast", "p"),
        ("sum-fast", "q"),
        ("sum", "p"),
        ("sum", "q"),
    }
    assert found.keys() == {"ours fast", "ours", "p", "q"}
    assert "| OURS FAST" in capfd.readouterr().out


def test_peer_that_fails_is_left_out_with_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    def missing() -> None:
        raise ImportError("no module\nnamed peer")

    report = Report(patience=0.0)
    report.compare("nothing", {"": lambda: lambda: None}, {"absent": missing, "broken": lambda: missing})
    assert report.comparisons == []
    said = capfd.readouterr().out
    assert "absent is left out: ImportError: no module named peer" in said
    assert "broken is left out" in said
    with pytest.raises(ImportError):
        report.compare("nothing", {"": lambda: missing}, {})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345, "12.3 s"),
        (1.0, "1.00 s"),
        (0.99996, "1.00 s"),
        (0.0456, "45.6 ms"),
        (7.89e-4, "789 µs"),
        (2e-9, "2.00 ns"),
    ],
)
def test_duration_has_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_silence_hides_output_and_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with silence():
        os.write(1, b"hidden")
        os.write(2, b"hidden")
    os.write(1, b"seen")
    assert capfd.readouterr() == ("seen", "")


def test_peak_memory_is_that_of_the_process_itself() -> None:
    program = (
        "from harness import peak_mebibytes; before = peak_mebibytes(); held = bytes([1]) * (256 << 20); "
        "print(before, peak_mebibytes() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    before, gained = map(float, done.stdout.split())
    assert before > 10  # an interpreter takes more
    assert 128 <= gained <= 300

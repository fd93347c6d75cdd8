"""Systems are read back and compared as `significance` would compare their counts."""

import io
import json

import pytest
from rich.console import Console

from asr.errors import ManifestError
from asr.evaluation import compare
from asr.evaluation.systems import compare_systems, read_system, render_comparison

WORDS = [4, 6, 3, 7, 5]


def write(path, errors, words=WORDS):
    lines = [
        {"id": f"u{number}", "reference": "x", "words": count, "errors": wrong}
        for number, (count, wrong) in enumerate(zip(words, errors, strict=True))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_two_systems_are_compared_as_their_counts(tmp_path):
    before, after = [2, 3, 0, 4, 1], [1, 3, 1, 1, 0]
    base = read_system(write(tmp_path / "a.jsonl", before))
    other = read_system(write(tmp_path / "b.jsonl", after))
    assert base.wers == [10 / 25]
    assert compare_systems(base, other) == compare(before, after, WORDS)


def test_runs_of_several_seeds_count_as_their_mean(tmp_path):
    seeds = [[2, 3, 0, 4, 1], [1, 2, 0, 4, 1], [3, 4, 0, 4, 1]]  # their mean is the first
    names = [write(tmp_path / f"{number}.jsonl", errors) for number, errors in enumerate(seeds)]
    other = read_system(write(tmp_path / "b.jsonl", [1, 3, 1, 1, 0]))
    assert read_system(",".join(names)).wers == [10 / 25, 8 / 25, 12 / 25]
    together, alone = (compare_systems(read_system(name), other) for name in (",".join(names), names[0]))
    assert together.difference == pytest.approx(alone.difference)
    assert together.interval == pytest.approx(alone.interval)


def test_the_table_says_who_is_better(tmp_path):
    base = write(tmp_path / "a.jsonl", [2, 2, 2, 2, 2])
    other = write(tmp_path / "b.jsonl", [1, 1, 1, 1, 1])
    console = Console(width=200, file=io.StringIO())
    console.print(render_comparison([read_system(name) for name in (base, f"{base},{base}", other)]))
    rows = {line.split()[0]: line for line in console.file.getvalue().splitlines() if "%" in line}
    assert "40.00%" in rows["A"]
    assert "40.00% to 40.00%" in rows["B"]
    assert "+0.00%" in rows["B"]
    assert "50.0%" in rows["B"]
    assert "-20.00%" in rows["C"]
    assert "100.0%" in rows["C"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty; give what asr evaluate --hypotheses wrote"),
        ("{", "a.jsonl:1: no scored hypothesis with id, words, errors"),
        ('{"id": "u0", "text": "x"}', "a.jsonl:1: no scored hypothesis"),
        ('{"id": 1, "words": 1, "errors": 1}', "a.jsonl:1: id must be text"),
        ('{"id": "u0", "words": 0, "errors": 1}', "holds no reference words"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path, text, said):
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=said):
        read_system(str(tmp_path / "a.jsonl"))


def test_other_utterances_are_refused(tmp_path):
    base, other = write(tmp_path / "a.jsonl", [0] * 5), write(tmp_path / "b.jsonl", [0] * 4, WORDS[:4])
    with pytest.raises(ManifestError, match=r"b\.jsonl: not the utterances of .*a\.jsonl; score both"):
        read_system(f"{base},{other}")
    with pytest.raises(ManifestError, match=r"b\.jsonl: not the utterances of .*a\.jsonl; score both"):
        compare_systems(read_system(base), read_system(other))
    with pytest.raises(ManifestError, match=r"missing\.jsonl: cannot be read"):
        read_system(str(tmp_path / "missing.jsonl"))

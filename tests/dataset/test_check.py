import io
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asr.audio import load
from asr.config import FeatureConfig, TextConfig, TokenizerConfig
from asr.dataset.check import HISTOGRAM_SECONDS, Subwords, check, output_frames, render
from asr.dataset.manifest import Manifest
from asr.errors import AudioError, ManifestError
from asr.text import CharTokenizer, Normalizer, build_tokenizer, required_frames

NORMALIZER = Normalizer(TextConfig())
LEARNED = build_tokenizer(TokenizerConfig(kind="bpe", vocabulary_size=10), ["a no none non one no one none"] * 20)


def collapsed(path: Sequence[int]) -> tuple[int, ...]:
    """CTC's own definition: merge equal neighbours, then take out blanks."""
    return tuple(token for token, _ in itertools.groupby(path) if token)


def manifest(folder: Path, *lines: dict[str, object] | str) -> Path:
    """A manifest beside one second of audio, a.wav."""
    soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
    path = folder / "m.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def line(text: str, duration: float = 1.0, audio: str = "a.wav", **more: object) -> dict[str, object]:
    return {"audio_filepath": audio, "duration": duration, "text": text, **more}


@given(st.lists(st.integers(1, 2), max_size=4))
def test_required_frames_against_every_path(tokens: list[int]) -> None:
    shortest = next(
        frames
        for frames in range(9)
        if any(collapsed(path) == tuple(tokens) for path in itertools.product((0, 1, 2), repeat=frames))
    )
    assert required_frames(tokens) == shortest


@pytest.mark.parametrize(
    ("seconds", "subsampling", "frames"), [(0.0, 4, 1), (1.0, 1, 101), (1.0, 4, 26), (0.999, 2, 50)]
)
def test_output_frames(seconds: float, subsampling: int, frames: int) -> None:
    assert output_frames(seconds, FeatureConfig(), subsampling) == frames


def test_a_good_manifest(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        line("Hello, hello World", speaker="s1"),
        line("hello", duration=0.5, offset=0.5, speaker="s2"),
        line("...", duration=0.5, speaker="s1"),
    )
    seen: list[int] = []
    report = check(path, NORMALIZER, CharTokenizer("helowrd "), progress=seen.append)
    assert seen == [1, 2, 3]
    assert report.problems == ()
    assert (report.utterances, report.seconds, len(report.contents.speakers)) == (3, 2.0, 2)
    assert (report.words, report.distinct_words, report.empty_texts) == (4, 2, 1)
    assert report.histogram == (2, 1, 0, 0, 0, 0, 0, 0)
    assert report.characters == {"l": 7, "o": 4, "h": 3, "e": 3, " ": 2, "w": 1, "r": 1, "d": 1}
    assert report.outside == {}
    assert report.normalization == NORMALIZER.describe()


def test_every_bad_line_is_listed(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    path = manifest(
        tmp_path,
        line("fine"),
        "{",
        line("gone", audio="gone.wav"),
        "",
        line("no audio", audio="text.wav"),
        line("long", duration=1.5),
        line("late", offset=0.5),
        line("rounded", duration=1.004),
        line("abcdefgh", duration=0.2),
        line("aabb", duration=0.2),
        line("aabbc", duration=0.25),
        {"duration": 1.0},
    )
    report = check(path, NORMALIZER, subsampling=4)
    lines = {int(problem.removeprefix(f"{path}:").split(":")[0]): problem for problem in report.problems}
    assert len(report.problems) == len(lines)
    assert list(lines) == [2, 3, 5, 6, 7, 9, 12]
    assert "not JSON" in lines[2]
    assert "gone.wav" in lines[3]
    assert "text.wav" in lines[5]
    assert "0.50 s past the end" in lines[6]
    assert "0.50 s past the end" in lines[7]
    assert "8 tokens need 8 frames for CTC, and the audio gives 6" in lines[9]
    assert "audio_filepath is missing" in lines[12]
    for problem in report.problems:
        assert "; " in problem
        assert "\n" not in problem
    assert report.utterances == 9


def test_stretches_that_hold_nothing(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        line("a", duration=3e-5),
        line("b", duration=4e-5),
        line("", duration=0.04, offset=0.99),
        line("", duration=0.04, offset=1.0),
    )
    first, second = check(path, NORMALIZER).problems
    assert first.startswith(f"{path}:1: duration 3e-05 s is less than a sample at 16000 Hz; ")
    assert second.startswith(f"{path}:4: ends 0.04 s past the end")
    assert len(check(path, NORMALIZER, features=FeatureConfig(sample_rate=8000)).problems) == 3
    for utterance in Manifest(path):
        if utterance.line in (1, 4):
            with pytest.raises(AudioError):
                load(utterance.audio_filepath, 16000, utterance.offset, utterance.duration)
        else:
            assert load(utterance.audio_filepath, 16000, utterance.offset, utterance.duration).numel()


def test_repeats_need_a_blank_between(tmp_path: Path) -> None:
    path = manifest(tmp_path, line("aabbcc", duration=0.3), line("abcabc", duration=0.3))
    (problem,) = check(path, NORMALIZER, subsampling=4).problems
    assert problem.startswith(f"{path}:1: 6 tokens need 9 frames")
    assert not check(path, NORMALIZER, subsampling=2).problems


def test_subwords_need_no_frame_for_each_character(tmp_path: Path) -> None:
    path = manifest(tmp_path, line("eight", duration=0.15), line("one two", 0.05), line("no no no", duration=0.15))
    (problem, *more) = [problem.removeprefix(f"{path}:") for problem in check(path, NORMALIZER, subsampling=4).problems]
    assert problem.startswith("1: 5 tokens need 5 frames for CTC, and the audio gives 4")
    assert len(more) == 2
    (problem,) = [
        problem.removeprefix(f"{path}:") for problem in check(path, NORMALIZER, Subwords(), subsampling=4).problems
    ]
    assert problem.startswith("3: 3 tokens need 5 frames for CTC, and the audio gives 4")


@given(st.lists(st.sampled_from(["a", "no", "none", "non", "one"]), max_size=6).map(" ".join))
def test_subwords_never_need_fewer_frames_than_said(text: str) -> None:
    assert required_frames(Subwords.encode(text)) <= required_frames(LEARNED.encode(text))


def test_what_training_leaves_out_is_told_and_no_problem(tmp_path: Path) -> None:
    lines = [line("a", duration=0.05), line("b", duration=0.1), "", line("c", duration=1.0), line("d", duration=0.99)]
    path = manifest(tmp_path, *lines)
    report = check(path, NORMALIZER, limits=(0.1, 0.99))
    assert report.problems == ()
    assert report.left_out == {1: 0.05, 4: 1.0}
    console = Console(width=150, file=io.StringIO(), record=True)
    console.print(render(report))
    assert "2, shorter or longer than data.min_seconds..max_seconds: line 1 (0.05 s), 4 (1 s)" in console.export_text()
    assert check(path, NORMALIZER).left_out == {}


@pytest.mark.parametrize("vocabulary", ["abc ", CharTokenizer("abc ")], ids=["characters", "tokenizer"])
def test_characters_outside_the_vocabulary(tmp_path: Path, vocabulary: CharTokenizer | str) -> None:
    report = check(manifest(tmp_path, line("cab"), line("Zé é"), line("zap")), NORMALIZER, vocabulary)
    assert report.outside == {"z": 2, "é": 2, "p": 1}
    assert [problem.split(":")[1] for problem in report.problems] == ["2", "3"]
    assert "'z' 'é'; map them" in report.problems[0]


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest"):
        check(tmp_path / "m.jsonl", NORMALIZER)
    report = check(manifest(tmp_path), NORMALIZER)
    assert report.problems == (f"{tmp_path}/m.jsonl: no utterances; write one a line",)
    Console(file=io.StringIO()).print(render(report))


def test_rendering_shows_the_numbers(tmp_path: Path) -> None:
    keeping = Normalizer(TextConfig(punctuation="keep"))
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(render(check(manifest(tmp_path, *[line("a [b] c")] * 36), keeping)))
    text = console.export_text()
    for expected in (
        "36",
        "0.01",
        "108 (3 different)",
        "not named",
        "'a' 36 '[' 36 'b' 36 ']' 36",
        "1 to 2",
        "30 and more",
    ):
        assert expected in text
    assert keeping.describe() in text


def test_histogram_covers_every_duration() -> None:
    assert HISTOGRAM_SECONDS[0] == 0.0
    assert math.isinf(HISTOGRAM_SECONDS[-1])

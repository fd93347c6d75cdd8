"""What programs and people read of an evaluation."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from asr.errors import AsrError
from asr.evaluation import Evaluation, Speed, hypothesis_lines, render, score, to_json, write_hypotheses, write_json
from asr.evaluation.calibration import reliability

REFERENCES = ["call four one", "set a timer", "stop"]
HYPOTHESES = ["call for one oh", "set timer", "stop"]
EVALUATION = Evaluation(
    rates=score(REFERENCES, HYPOTHESES, ids=["u1", "u2", "u3"]),
    wer_interval=(0.1, 0.6),
    speed=Speed(audio_seconds=20.0, seconds=0.5),
    normalization="NFC, lower case",
    decoding={"search": "beam", "beam_size": 50, "lm": None, "lexicon": "words.txt", "hotwords": 0},
    calibration=reliability(np.array([0.75, 0.25]), np.array([True, False])),
    uncalibrated=reliability(np.array([0.5, 0.5]), np.array([False, False])),
)


def shown(evaluation, **options):
    console = Console(width=100, color_system=None, record=True, file=io.StringIO())
    console.print(render(evaluation, **options))
    return console.export_text()


def test_json_holds_fractions_under_the_promised_names():
    assert to_json(EVALUATION) == {
        "wer": pytest.approx(3 / 7),
        "cer": pytest.approx((1 + 3 + 2) / 28),
        "wer_interval": [0.1, 0.6],
        "utterances": 3,
        "reference_words": 7,
        "substitutions": 1,
        "deletions": 1,
        "insertions": 1,
        "audio_seconds": 20.0,
        "real_time_factor": 0.025,
        "normalization": "NFC, lower case",
        "decoding": {"search": "beam", "beam_size": 50, "lm": None, "lexicon": "words.txt", "hotwords": 0},
        "calibration_error": 0.25,
        "calibration_error_uncalibrated": 0.5,
        "oracle_wer": None,
    }


def test_a_system_without_confidences_has_no_calibration_error():
    silent = Evaluation(EVALUATION.rates, (0.0, 1.0), Speed(1.0, 1.0), "none")
    assert (to_json(silent)["calibration_error"], to_json(silent)["calibration_error_uncalibrated"]) == (None, None)
    assert "unknown: no words with confidences" in shown(silent)


def test_files_read_back(tmp_path):
    write_json(tmp_path / "new" / "evaluation.json", EVALUATION)
    assert json.loads((tmp_path / "new" / "evaluation.json").read_text()) == to_json(EVALUATION)
    write_hypotheses(tmp_path / "hypotheses.jsonl", EVALUATION)
    lines = [json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_text().splitlines()]
    assert lines == list(hypothesis_lines(EVALUATION))
    assert lines[0] == {
        "id": "u1",
        "reference": "call four one",
        "hypothesis": "call for one oh",
        "words": 3,
        "errors": 2,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 1,
    }


def test_readings_and_what_the_best_of_them_reach_are_told():
    ranked = replace(
        EVALUATION, readings=(("call for one oh", "call four one"), ("set timer",), ("stop",)), oracle_wer=1 / 7
    )
    assert [line["readings"] for line in hypothesis_lines(ranked)] == [list(each) for each in ranked.readings]
    assert to_json(ranked)["oracle_wer"] == 1 / 7
    assert "14.29%  (if of 2 readings the right one were chosen)" in shown(ranked)
    assert "oracle" not in shown(EVALUATION)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "hypotheses.jsonl"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_hypotheses(path, Evaluation(score(["a"], ["\ud800"]), (0.0, 1.0), Speed(1.0, 1.0), "none"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_json, write_hypotheses])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, write):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file/new", tmp_path / "folder"):
        with pytest.raises(AsrError, match=rf"^{place}: cannot be written \([^\n]*\); choose another place$"):
            write(place, EVALUATION)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_the_table_names_numbers_interval_and_normalisation():
    text = shown(EVALUATION)
    assert "42.86%  (95% interval 10.00% to 60.00%)" in text
    assert "NFC, lower case" in text
    assert "1 substitutions, 1 deletions, 1 insertions" in text
    assert "0.0250  (40 times real time)" in text
    assert "search beam, beam_size 50, lexicon words.txt, hotwords 0\n" in text.replace("  ", "").replace(" \n", "\n")
    assert "25.00%  (of word confidences; 50.00% uncalibrated; about 34.55% would be chance)" in text
    assert "not calibrated" in shown(replace(EVALUATION, uncalibrated=EVALUATION.calibration))


def test_a_weight_of_nothing_is_shown_and_what_is_not_there_is_not():
    weightless = replace(EVALUATION, decoding={"search": "beam", "lm": "lm", "lm_weight": 0.0, "lexicon": None})
    assert "search beam, lm lm, lm_weight 0.0 " in shown(weightless)
    assert "lexicon" not in shown(weightless)


def test_the_worst_utterances_come_first_and_aligned():
    lines = [line.rstrip() for line in shown(EVALUATION).splitlines()]
    first = lines.index("u1: 2 errors in 3 words")
    assert lines[first + 1 : first + 3] == ["  REF call four one *", "  HYP call for  one oh"]
    assert lines[first + 3 : first + 6] == ["u2: 1 errors in 3 words", "  REF set a timer", "  HYP set * timer"]
    assert not any(line.startswith("u3") for line in lines)
    assert "u2" not in shown(EVALUATION, worst=1)


def test_a_long_alignment_is_cut_into_rows_that_fit():
    words = " ".join(f"word{number}" for number in range(40))
    long = Evaluation(score([words], [words.replace("word7 ", "")]), (0.0, 1.0), Speed(1.0, 1.0), "none")
    lines = shown(long, confused=0).splitlines()
    said = [line.removeprefix("  REF") for line in lines if line.startswith("  REF ")]
    heard = [line.removeprefix("  HYP") for line in lines if line.startswith("  HYP ")]
    assert len(said) == len(heard) > 1
    assert "".join(said).split() == words.split()
    assert "".join(heard).split() == words.replace("word7 ", "* ").split()
    assert max(map(len, lines)) <= 100


def test_confusions_are_named():
    text = shown(EVALUATION)
    assert "Most confused words: four as for (1)" in text


def test_markup_in_texts_is_printed_not_obeyed():
    odd = Evaluation(score(["[red]x[/red] a"], ["[b]"], ids=["[i]"]), (0.0, 1.0), Speed(1.0, 1.0), "[none]")
    text = shown(odd)
    assert all(piece in text for piece in ("[red]x[/red]", "[b]", "[i]: 2 errors", "[none]"))


def test_a_perfect_result_shows_no_errors():
    perfect = Evaluation(score(["a"], ["a"]), (0.0, 0.0), Speed(1.0, 1.0), "none")
    assert "most" not in shown(perfect).lower()

"""From audio to word error rate: a language of tones is learned, scored and transcribed."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from tones import SAMPLE_RATE, SPLITS, sentence, speak

UNHEARD = 4321


def test_training_says_how_well_it_hears(trained) -> None:
    result = json.loads((trained.run / "evaluation.json").read_text(encoding="utf-8"))
    assert set(result) == {
        "wer",
        "cer",
        "wer_interval",
        "utterances",
        "reference_words",
        "substitutions",
        "deletions",
        "insertions",
        "audio_seconds",
        "real_time_factor",
        "normalization",
        "decoding",
        "calibration_error",
        "calibration_error_uncalibrated",
        "oracle_wer",
    }
    assert result["wer"] <= 0.05
    assert result["utterances"] == SPLITS["test"]
    low, high = result["wer_interval"]
    assert low <= result["wer"] <= high
    assert re.search(rf"WER +{100 * result['wer']:.2f}%", trained.output)
    assert result["normalization"] in trained.output, "the normalisation is named beside the number"


def test_training_leaves_what_it_should(trained) -> None:
    left = {path.name for path in trained.run.iterdir()}
    assert {"model", "last.ckpt", "evaluation.json", "curves.png", "tensorboard"} <= left
    bundle = {path.name for path in (trained.run / "model").iterdir()}
    assert bundle == {"model.safetensors", "config.json", "tokenizer.json", "README.md"}


def test_training_is_not_repeated_by_mistake(trained, asr_command) -> None:
    weights = (trained.run / "model/model.safetensors").read_bytes()
    status, _, errors = asr_command("train", trained.recipe, "--run", trained.run)
    assert status == 1
    assert "holds a training already" in errors
    assert (trained.run / "model/model.safetensors").read_bytes() == weights


def test_training_is_verified_where_the_recipe_states_a_rate(trained, asr_command) -> None:
    again = ("train", trained.recipe, "--run", trained.run, "--resume", "--verify")
    status, _, errors = asr_command(*again)
    assert status == 1
    assert "states no error rate to verify; add a table [stated]" in errors
    status, _, errors = asr_command(*again, "--set", "stated.wer=[0.0, 0.06]")
    assert status == 0, errors
    assert "verified: WER" in errors
    status, _, errors = asr_command(*again, "--set", "stated.wer=[0.9, 1.0]")
    assert status == 1
    assert "the recipe states 90.00% to 100.00%" in errors


def test_evaluate_repeats_the_score(trained, asr_command, tmp_path: Path) -> None:
    rates, texts = tmp_path / "rates.json", tmp_path / "texts.jsonl"
    test = trained.corpus / "test.jsonl"
    status, output, _ = asr_command("evaluate", trained.run / "model", test, "--json", rates, "--hypotheses", texts)
    assert status == 0
    first, second = (json.loads(path.read_text()) for path in (trained.run / "evaluation.json", rates))
    assert {**first, "real_time_factor": 0} == {**second, "real_time_factor": 0}
    assert f"{first['wer']:.2%}" in output
    lines = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines()]
    wanted = [json.loads(line)["text"] for line in test.read_text(encoding="utf-8").splitlines()]
    assert [line["reference"] for line in lines] == wanted
    assert sum(line["errors"] for line in lines) == round(first["wer"] * first["reference_words"])


def test_what_the_model_cannot_write_is_told_where_it_is_counted(trained, asr_command, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (trained.corpus / "test.jsonl").read_text(encoding="utf-8").splitlines()[:2]]
    strange = tmp_path / "strange.jsonl"
    for line, text in zip(lines, ("dad", "für dad"), strict=True):
        line |= {"audio_filepath": str(trained.corpus / line["audio_filepath"]), "text": text, "id": text}
    strange.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    status, _, errors = asr_command("evaluate", trained.run / "model", strange)
    assert status == 0
    assert f"{strange}: all these are counted as errors: transcripts: " in errors
    assert "'ü' (U+00FC LATIN SMALL LETTER U WITH DIAERESIS) 1x (first in für dad)" in errors


def test_transcribe_writes_what_was_said_and_when(trained, asr_command, tmp_path: Path) -> None:
    spoken = speak(sentence(UNHEARD), UNHEARD)
    soundfile.write(tmp_path / "talk.flac", spoken.waveform, SAMPLE_RATE)
    assert asr_command("transcribe", trained.run / "model", tmp_path / "talk.flac") == (0, spoken.text + "\n", "")
    status, output, _ = asr_command("transcribe", trained.run / "model", tmp_path / "talk.flac", "--format", "json")
    assert status == 0
    transcript = json.loads(output)
    assert transcript["text"] == spoken.text
    words = [word for segment in transcript["segments"] for word in segment["words"]]
    for word, (start, end, text) in zip(words, spoken.words, strict=True):
        assert word["word"] == text
        assert word["start"] == pytest.approx(start, abs=0.15)
        assert word["end"] == pytest.approx(end, abs=0.15)
        assert 0 < word["probability"] <= 1


@pytest.mark.parametrize("name", ["txt", "json", "srt", "vtt", "tsv"])
def test_transcripts_go_into_files(trained, asr_command, tmp_path: Path, name: str) -> None:
    recordings = [trained.corpus / f"wav/test/{number}.wav" for number in range(3)]
    status, output, _ = asr_command(
        "transcribe", trained.run / "model", *recordings, "--format", name, "--output", tmp_path
    )
    assert (status, output) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.{name}" for number in range(3)]
    said = json.loads((trained.corpus / "test.jsonl").read_text(encoding="utf-8").splitlines()[0])["text"]
    assert said.split()[0] in (tmp_path / f"0.{name}").read_text(encoding="utf-8")


def test_info_says_what_the_model_is(trained, asr_command) -> None:
    status, output, _ = asr_command("info", trained.run / "model")
    facts = dict(line.split(maxsplit=1) for line in output.splitlines())
    assert status == 0
    assert all(repr(letter) in facts["vocabulary"] for letter in "abcd ")
    assert (facts["model.layers"], facts["model.units"], facts["features.sample_rate"]) == ("1", "64", "16000")
    assert int(facts["parameters"].replace(",", "")) > 10_000
    assert any(name.startswith("provenance.") for name in facts)


def test_interrupted_training_goes_on(trained, tmp_path: Path) -> None:
    """Ctrl-C saves and says how to go on; doing so ends with the very model that no interruption gives."""
    command = [sys.executable, "-m", "asr", "train", trained.recipe, "--run", tmp_path / "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("epoch 3/"):
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "--resume" in said
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/" not in done.stderr, "what was done is not done again"
    weights = [folder / "model/model.safetensors" for folder in (tmp_path / "run", trained.run)]
    assert weights[0].read_bytes() == weights[1].read_bytes()

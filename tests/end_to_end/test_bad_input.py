"""Whatever is wrong with the input: one line that names it, a non-zero exit status, and nothing lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import SAMPLE_RATE, sentence, speak

SPOKEN = speak(sentence(99), 99)


def wav(path: Path, waveform: np.ndarray = SPOKEN.waveform, **how: str) -> None:
    soundfile.write(path, waveform, SAMPLE_RATE, **how)


def missing(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.touch()


def truncated(path: Path) -> None:
    wav(path)
    path.write_bytes(path.read_bytes()[:30])


def zero_length(path: Path) -> None:
    wav(path, np.zeros(0, np.float32))


def nan(path: Path) -> None:
    broken = SPOKEN.waveform.copy()
    broken[1000] = np.nan
    wav(path, broken, subtype="FLOAT")


def wrongly_named(path: Path) -> None:
    path.write_text("This is a letter, not a recording.\n" * 50, encoding="utf-8")


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [missing, empty, truncated, zero_length, nan, wrongly_named, folder])
def test_unreadable_audio_is_named(trained, asr_command, tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "talk.wav"
    make(path)
    status, output, errors = asr_command("transcribe", trained.run / "model", path)
    assert (status, output) == (1, "")
    assert errors.startswith(f"asr: {path}: ")
    assert errors.count("\n") == 1
    assert ";" in errors, "a remedy"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: wav(path, subtype="PCM_U8"),
        lambda path: wav(path, subtype="PCM_24"),
        lambda path: wav(path, np.tile(SPOKEN.waveform[:, None], 8)),
        lambda path: wav(path, format="FLAC"),
    ],
    ids=["8-bit", "24-bit", "8-channel", "flac-named-wav"],
)
def test_odd_audio_is_read(trained, asr_command, tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "talk.wav")
    status, output, errors = asr_command("transcribe", trained.run / "model", tmp_path / "talk.wav")
    assert (status, output) == (0, SPOKEN.text + "\n"), errors


def test_one_broken_file_of_ten_leaves_nine(trained, asr_command, tmp_path: Path) -> None:
    files = [trained.corpus / f"wav/test/{number}.wav" for number in range(9)]
    broken = tmp_path / "broken.wav"
    broken.touch()
    status, output, errors = asr_command("transcribe", trained.run / "model", *files[:4], broken, *files[4:])
    assert status == 1
    assert [line.partition(": ")[0] for line in output.splitlines()] == [str(path) for path in files]
    assert errors.startswith(f"asr: {broken}: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"audio_filepath": "wav/test/0.wav", ',
        '{"audio_filepath": "wav/test/0.wav", "duration": 1.0}',
        '{"audio_filepath": "wav/test/0.wav", "duration": 0.5, "text": "a", "offset": -1.0}',
        '{"audio_filepath": "wav/test/0.wav", "duration": 500.0, "text": "a"}',
        '{"audio_filepath": "wav/test/0.wav", "duration": "long", "text": "a"}',
        '{"audio_filepath": "wav/test/none.wav", "duration": 1.0, "text": "a"}',
    ],
    ids=["broken", "missing-field", "negative-offset", "past-the-end", "wrong-type", "no-such-file"],
)
def test_wrong_manifest_line_is_named(trained, asr_command, line: str) -> None:
    good = (trained.corpus / "test.jsonl").read_text(encoding="utf-8").splitlines()
    manifest = trained.corpus / "wrong.jsonl"
    manifest.write_text("\n".join([*good[:2], line, *good[3:]]) + "\n", encoding="utf-8")
    for command in (["check", manifest], ["evaluate", trained.run / "model", manifest]):
        status, output, errors = asr_command(*command)
        assert status == 1, command
        assert str(manifest) in output + errors
        assert ":3" in errors + output or "line 3" in errors + output
        assert "Traceback" not in errors


def test_good_manifests_pass_the_check(trained, asr_command) -> None:
    status, output, errors = asr_command("check", *(trained.corpus / f"{name}.jsonl" for name in ("train", "test")))
    assert status == 0, errors
    assert "160" in output


def test_wrong_recipe_is_named(trained, asr_command, tmp_path: Path) -> None:
    source = trained.recipe.read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    for text, said in [
        (source.replace("units", "unit"), f"{wrong}:14: unknown key model.unit"),
        (source.replace("epochs = 8", "epochs = -1"), f"{wrong}:19: training.epochs"),
    ]:
        wrong.write_text(text, encoding="utf-8")
        status, _, errors = asr_command("train", wrong, "--run", tmp_path / "run")
        assert status == 1
        assert errors.startswith(f"asr: {said}")
        assert errors.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_recipe_without_its_test_set_stops_before_training(trained, asr_command, tmp_path: Path) -> None:
    status, _, errors = asr_command("train", trained.recipe, "--run", tmp_path / "run", "--set", "data.test=none.jsonl")
    assert status == 1
    assert "none.jsonl" in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_incomplete_bundle_is_named(trained, asr_command, tmp_path: Path, name: str) -> None:
    bundle = shutil.copytree(trained.run / "model", tmp_path / "model")
    (bundle / name).unlink()
    for command in (["info", bundle], ["transcribe", bundle, trained.corpus / "wav/test/0.wav"]):
        status, output, errors = asr_command(*command)
        assert (status, output) == (1, "")
        assert name in errors
        assert errors.count("\n") == 1


def test_bundle_of_a_newer_version_is_named(trained, asr_command, tmp_path: Path) -> None:
    bundle = shutil.copytree(trained.run / "model", tmp_path / "model")
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    config["format_version"] += 1
    (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
    status, _, errors = asr_command("info", bundle)
    assert status == 1
    assert errors.startswith(f"asr: {bundle / 'config.json'}: bundle format 2")
    assert errors.count("\n") == 1

"""The command line keeps its promises: examples that work, one line for an error, an exit status."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import asr.cli
from asr import runs
from asr.errors import AudioError, ConfigError
from asr.transcribe_cli import Format
from asr.transcription import FORMATS

GROUP = typer.main.get_command(asr.cli.app)
GROUPS = {name: command for name, command in GROUP.commands.items() if isinstance(command, TyperGroup)}
COMMANDS = {name: command for name, command in GROUP.commands.items() if name not in GROUPS} | {
    f"{group} {name}": command for group in GROUPS for name, command in GROUPS[group].commands.items()
}


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(asr.cli.app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_ends_with_an_example_that_parses(name: str) -> None:
    words = name.split()
    status, help_text, _ = invoke(*words, "--help")
    *_, heading, example = help_text.rstrip().splitlines()
    assert (status, heading.strip()) == (0, "Example:")
    program, *arguments = shlex.split(example)
    assert (program, arguments[: len(words)]) == ("asr", words)
    assert COMMANDS[name].make_context(name, arguments[len(words) :]).params


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_says_what_every_option_is_for(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help or parameter.name == "help", f"{name}: {parameter.name} has no help"


def test_formats_are_those_of_the_transcripts() -> None:
    assert [str(each) for each in Format] == list(FORMATS)


def test_error_is_one_line_and_status_1(tmp_path: Path) -> None:
    for arguments in (["train", tmp_path / "none.toml"], ["info", tmp_path / "none"]):
        status, output, errors = invoke(*arguments)
        assert (status, output) == (1, "")
        assert re.fullmatch(rf"asr: {tmp_path}/none\S*: no such .*; .*\n", errors)


def test_wrong_usage_is_status_2() -> None:
    assert invoke("transcribe")[0] == 2
    assert invoke("nonsense")[0] == 2


def test_interruption_is_status_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt("saved; go on with --resume")

    monkeypatch.setattr("asr.config.load_recipe", stop)
    status, output, errors = invoke("train", tmp_path / "any.toml")
    assert (status, output) == (130, "")
    assert errors == "\nasr: saved; go on with --resume\n"


def test_interruption_without_a_word_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.config.load_recipe", stop)
    assert invoke("train", tmp_path / "any.toml") == (130, "", "\nasr: stopped\n")
    monkeypatch.setattr("asr.training.train_language_model", stop)
    (tmp_path / "text.txt").write_text("a b\n", encoding="utf-8")
    said = "\nasr: stopped; the same command with --resume goes on\n"
    assert invoke("lm", "train-rnn", tmp_path / "text.txt", "--out", tmp_path / "rnn") == (130, "", said)


def test_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("asr.config.load_recipe", fail)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(asr.cli.app, ["train", str(tmp_path)], catch_exceptions=False)


@pytest.mark.parametrize(("policy", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_leave_their_cores_unless_told_otherwise(policy: str | None, found: str) -> None:
    code = """
import os, sys, asr.cli
asr.cli.app = lambda prog_name: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
asr.cli.main()
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if policy is None else {"OMP_WAIT_POLICY": policy}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [found, "False"]


def test_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "asr", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: asr ")
    assert not done.stderr


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        ("recipes/an4/default.toml", "runs/an4"),
        ("recipes/an4/streaming.toml", "runs/an4-streaming"),
        ("recipes/an4/cells/gru.toml", "runs/an4-cells-gru"),
        ("recipes/default.toml", "runs/default"),
        ("my.toml", "runs/my"),
        ("experiments/default.toml", "runs/default"),
    ],
)
def test_run_is_named_for_its_recipe(recipe: str, folder: str) -> None:
    assert runs.folder(Path(recipe)) == Path(folder)


def test_several_transcripts_are_not_mixed(tmp_path: Path) -> None:
    status, _, errors = invoke("transcribe", tmp_path, "a.wav", "b.wav", "--format", "srt")
    assert status == 1
    assert "give --output FOLDER" in errors
    status, _, errors = invoke("transcribe", tmp_path, "a/x.wav", "b/x.mp3", "--output", tmp_path / "texts")
    assert status == 1
    assert "two recordings would be written here" in errors


class StandIn:
    """Recognises every file but the broken one, whatever is in it."""

    @classmethod
    def load(cls, *_: object) -> "StandIn":
        return cls()

    def transcribe_files(self, paths, _batch_seconds, _voice):
        from asr.transcript import Transcript

        for path in paths:
            broken = "broken" in path.name
            yield path, AudioError(f"{path}: empty; give audio") if broken else Transcript(f"said {path.stem}", (), 1.0)


@pytest.mark.parametrize("count", [1, 10])
def test_broken_recording_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int) -> None:
    monkeypatch.setattr("asr.transcription.recognizer.Recognizer", StandIn)
    files = ["broken.wav", *(f"{number}.wav" for number in range(1, count))]
    status, output, errors = invoke("transcribe", "model", *files)
    assert status == 1
    assert output.splitlines() == [f"{number}.wav: said {number}" for number in range(1, count)]
    assert errors == "asr: broken.wav: empty; give audio\n"
    status, output, _ = invoke("transcribe", "model", *files, "--output", tmp_path / "texts")
    assert (status, output) == (1, "")
    assert len(list((tmp_path / "texts").iterdir())) == count - 1


def test_one_transcript_is_printed_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.transcription.recognizer.Recognizer", StandIn)
    assert invoke("transcribe", "model", "a.wav") == (0, "said a\n", "")


def written(folder: Path) -> dict[str, Path]:
    """A manifest, a file that is no folder, and a folder that is no file; there is no model."""
    found = {name: folder / name for name in ("talks.jsonl", "file", "folder", "model")}
    line = {"audio_filepath": "talk.wav", "duration": 1.0, "text": "a"}
    found["talks.jsonl"].write_text(json.dumps(line) + "\n")
    found["file"].touch()
    found["folder"].mkdir()
    return found


@pytest.mark.parametrize(
    "command",
    [
        "evaluate model talks.jsonl --json",
        "evaluate model talks.jsonl --hypotheses",
        "label model talks.jsonl --out",
        "label model a.wav --phrases talks.jsonl --out",
        "tune model talks.jsonl --lm model --picture",
        "inspect augment recipe.toml talks.jsonl --picture",
        "inspect gradients --audio talks.jsonl model --picture",
    ],
)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/new", "its folder cannot be made"),
        ("folder", "is a folder; name a file"),
        ("talks.jsonl", "would replace another file of this command"),
        ("folder/../talks.jsonl", "would replace another file of this command"),
    ],
)
def test_where_nothing_can_be_written_no_work_is_begun(tmp_path: Path, command: str, place: str, said: str) -> None:
    manifest = (files := written(tmp_path))["talks.jsonl"].read_text()
    words = [str(files.get(word, word)) for word in command.split()]
    status, output, errors = invoke(*words, tmp_path / place)
    assert (status, output) == (1, "")
    assert errors.startswith(f"asr: {words[-1]} {tmp_path / place}: {said}"), "not that there is no model"
    assert errors.count("\n") == 1
    assert files["talks.jsonl"].read_text() == manifest


@pytest.mark.parametrize(
    "command", ["tune model dev.jsonl --lm lm", "inspect augment a.toml a.jsonl", "inspect gradients"]
)
def test_a_picture_in_no_format_is_not_begun(tmp_path: Path, command: str) -> None:
    picture = tmp_path / "curves.nonsense"
    status, output, errors = invoke(*command.split(), "--picture", picture)
    assert (status, output) == (1, "")
    assert errors.startswith(f"asr: {picture}: nonsense is no format of pictures; take ")
    assert errors.count("\n") == 1


def test_transcripts_that_cannot_be_written_are_not_begun(tmp_path: Path) -> None:
    files = written(tmp_path)
    status, _, errors = invoke("transcribe", files["model"], "a.wav", "--output", files["file"])
    assert status == 1
    assert errors.startswith(f"asr: --output {files['file']}/a.txt: its folder cannot be made")
    (files["folder"] / "a.txt").mkdir()
    status, _, errors = invoke("transcribe", files["model"], "a.wav", "--output", files["folder"])
    assert (status, errors) == (1, f"asr: --output {files['folder']}/a.txt: is a folder; name a file\n")


@pytest.mark.parametrize("option", ["--phrases", "--lexicon", "--hotwords", "--lm", "--rescore"])
def test_lists_that_are_read_are_not_replaced(tmp_path: Path, option: str) -> None:
    files = written(tmp_path)
    model, talks, words = files["model"], files["talks.jsonl"], tmp_path / "a.txt"
    words.write_text("one:1\n", encoding="utf-8")
    beam = () if option == "--phrases" else ("--beam", 4)
    for command in (
        ("evaluate", model, talks, option, words, *beam, "--json", words),
        ("transcribe", model, tmp_path / "a.wav", option, words, *beam, "--output", tmp_path),
    ):
        status, _, errors = invoke(*command)
        assert (status, words.read_text(encoding="utf-8")) == (1, "one:1\n")
        assert errors.endswith(f" {words}: would replace another file of this command; name a new one\n")


def test_rates_and_utterances_are_not_written_over_each_other(tmp_path: Path) -> None:
    files, out = written(tmp_path), tmp_path / "out"
    status, _, errors = invoke("evaluate", files["model"], files["talks.jsonl"], "--json", out, "--hypotheses", out)
    assert status == 1
    assert errors.startswith(f"asr: --hypotheses {out}: would replace another file of this command")


def test_a_picture_of_no_language_model_is_refused(tmp_path: Path) -> None:
    status, _, errors = invoke("tune", tmp_path, "dev.jsonl", "--picture", "tuning.svg")
    assert (status, errors.split(";")[0]) == (1, "asr: --picture tuning.svg: shows how a language model is weighed")


def test_a_transcript_that_cannot_be_written_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Disturbed(StandIn):
        def transcribe_files(self, *arguments):
            (tmp_path / "1.txt").mkdir()
            yield from super().transcribe_files(*arguments)

    monkeypatch.setattr("asr.transcription.recognizer.Recognizer", Disturbed)
    status, output, errors = invoke("transcribe", "model", "0.wav", "1.wav", "2.wav", "--output", tmp_path)
    assert (status, output) == (1, "")
    assert re.fullmatch(rf"asr: {tmp_path}/1\.txt: cannot be written \(.*\); choose another place\n", errors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt"]
    assert (tmp_path / "2.txt").read_text() == "said 2\n"


def test_a_result_that_cannot_be_written_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asr.evaluation import Evaluation, Speed, score

    def evaluate(*_: object) -> Evaluation:
        (tmp_path / "rates.json").mkdir()
        return Evaluation(score(["a b"], ["a"]), (0.0, 1.0), Speed(1.0, 1.0), "none")

    monkeypatch.setattr("asr.cli._evaluate", evaluate)
    talks = written(tmp_path)["talks.jsonl"]
    status, output, errors = invoke("evaluate", "model", talks, "--json", tmp_path / "rates.json")
    assert status == 1
    assert "50.00%" in output
    assert re.fullmatch(rf"asr: {tmp_path}/rates\.json: cannot be written \(.*\); choose another place\n", errors)


def test_training_is_neither_lost_nor_repeated(tmp_path: Path) -> None:
    assert runs.goes_on(tmp_path, resume=True, overwrite=False) is False, "nothing to go on with"
    (tmp_path / "notes.txt").write_text("mine")
    assert runs.goes_on(tmp_path, resume=False, overwrite=False) is False
    (tmp_path / "last.ckpt").touch()
    (tmp_path / "model").mkdir()
    assert runs.goes_on(tmp_path, resume=True, overwrite=False) is True
    with pytest.raises(asr.errors.ConfigError, match=r"holds a training already; go on with it \(--resume\)"):
        runs.goes_on(tmp_path, resume=False, overwrite=False)
    assert runs.goes_on(tmp_path, resume=False, overwrite=True) is False
    assert (tmp_path / "model").exists(), "the new training may not come to begin"
    runs.begin_anew(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"], "only what training wrote is removed"
    (tmp_path / "model").mkdir()
    with pytest.raises(asr.errors.ConfigError, match=r"holds a model, but no last\.ckpt to go on from"):
        runs.goes_on(tmp_path, resume=True, overwrite=False)


def test_a_recipe_stands_for_its_test_set(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[data]\ntrain = "a.jsonl"\ntest = "t.jsonl"\n')
    assert runs.scored(path) == tmp_path / "t.jsonl"
    assert runs.scored(tmp_path / "t.jsonl") == tmp_path / "t.jsonl"
    path.write_text('[data]\ntrain = "a.jsonl"\n')
    with pytest.raises(ConfigError, match=r"r\.toml: names no test set"):
        runs.scored(path)


def test_check_says_what_manifests_share(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    parts = {"train": [(0.0, "one", "s"), (1.0, "two", "t")], "dev": [(1.5, "two", "u"), (0.0, "six", "s")]}
    for name, utterances in parts.items():
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(
                json.dumps({"audio_filepath": "a.wav", "duration": 0.5, "offset": at, "text": text, "speaker": speaker})
                + "\n"
                for at, text, speaker in utterances
            )
        )
    status, output, errors = invoke("check", tmp_path / "train.jsonl", tmp_path / "dev.jsonl")
    assert (status, errors) == (0, "")
    (row,) = (line for line in output.splitlines() if " in " in line and "dev.jsonl" in line)
    assert re.findall(r"\d of \d", row) == ["1 of 2", "1 of 2", "1 of 2"]


def test_training_says_before_it_begins_that_it_is_scored_on_what_it_learns(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 1.0, "text": "one"}\n')
    recipe = tmp_path / "r.toml"
    recipe.write_text('[data]\ntrain = "m.jsonl"\ndev = "m.jsonl"\n')
    status, _, errors = invoke("train", recipe, "--run", tmp_path / "run", "--from", tmp_path / "none")
    assert status == 1
    assert "m.jsonl: holds the audio of 1 training utterances" in errors


def test_check_takes_what_the_recipe_says_of_tokens_and_lengths(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    (tmp_path / "m.jsonl").write_text(
        "".join(
            json.dumps({"audio_filepath": "a.wav", "duration": seconds, "text": "seven"}) + "\n"
            for seconds in (0.1, 2.0)
        )
    )
    recipe = tmp_path / "a.toml"
    recipe.write_text('[data]\ntrain = "m.jsonl"\nmax_seconds = 1.0\n[tokenizer]\nkind = "bpe"\n')
    status, output, errors = invoke("check", tmp_path / "m.jsonl", "--recipe", recipe)
    assert (status, errors) == (0, "")
    assert "line 2 (2 s)" in output
    recipe.write_text('[data]\ntrain = "m.jsonl"\n')
    status, _, errors = invoke("check", tmp_path / "m.jsonl", "--recipe", recipe)
    assert status == 1
    assert f"{tmp_path}/m.jsonl:1: 5 tokens need 5 frames" in errors

"""The README is true: its commands run, as they are printed, on a corpus small enough for a test."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from tones import SAMPLE_RATE, speak, write_corpus

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# `make` reads ARGS from the environment too: the recipes stay as they are, only smaller.
SMALL = """
--set training.epochs=1 --set training.workers=0 --set training.batch_seconds=20
--set model.units=8 --set model.layers=1 --set model.channels=4
""".replace("\n", " ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _joined(block: str) -> str:
    return re.sub(r"\\\n\s*", "", block)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in _joined(block).splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as the README's reader has it, installed, with tones for every corpus and recording it speaks of."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv/.installed").touch()
    for corpus in ("data/synthetic", "data/an4", "data/fsdd/connected", "mine"):
        write_corpus(folder / corpus)
    for name in ("talk.wav", "answer.wav"):
        soundfile.write(folder / name, speak("abba dad cab").waveform, SAMPLE_RATE)
    [recipe] = blocks("toml")
    (folder / recipe.splitlines()[0].removeprefix("# ")).write_text(recipe, encoding="utf-8")
    return folder


def test_commands_run_in_order(clone: Path, trained) -> None:
    """All of them, in one shell, except those that test this repository itself."""
    script = ["set -eux"]
    for command in commands():
        if command.startswith("make train"):
            command = f"ARGS='{SMALL}' {command}"
        elif command.startswith("make test"):
            command = command.replace("make", "make -n", 1)
        elif command.startswith("asr train"):
            command += f" {SMALL}"
        elif command.startswith("asr label"):  # a model so small has nothing to say
            command = command.replace("runs/mine/model", str(trained.run / "model")) + " --sure 0"
        elif command.startswith("asr tune"):  # nor can a language model help it
            script.append(f"rm -r runs/mine/model; cp -r {trained.run / 'model'} runs/mine")
        script.append(command)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=clone, env={**os.environ, "ARGS": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for left in ("runs/synthetic/model", "runs/synthetic/evaluation.json", "runs/an4/model", "runs/fsdd/model"):
        assert (clone / left).exists()
    for left in ("runs/mine/model", "subtitles/talk.srt", "evaluation.json", "hypotheses.jsonl"):
        assert (clone / left).exists()
    [program] = blocks("python")
    done = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_of_make_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {command.split()[1] for command in commands() if command.startswith("make ")} <= targets


def test_manifest_line_is_one(tmp_path: Path) -> None:
    from asr.dataset import Manifest

    [line] = blocks("json")
    (tmp_path / "train.jsonl").write_text(line, encoding="utf-8")
    [utterance] = Manifest(tmp_path / "train.jsonl")
    assert (utterance.text, utterance.speaker) == ("turn on the light", "anna")


def test_files_named_exist() -> None:
    for name in re.findall(r"`((?:asr|tests|recipes|data)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name

"""What is not needed is not loaded. Modules are counted, not milliseconds, which vary."""

import subprocess
import sys

import pytest
from source import PACKAGE

HEAVY = {
    "accelerate",
    "av",
    "jiwer",
    "librosa",
    "matplotlib",
    "numba",
    "numpy",
    "pydantic",
    "scipy",
    "sentencepiece",
    "soundfile",
    "tensorboard",
    "torch",
    "torchaudio",
}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def loaded_by(code: str) -> set[str]:
    """Top-level packages in memory after running `code` in a new interpreter."""
    report = "; import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("module", ["asr", "asr.errors", "asr.transcript", *(f"asr.{room}" for room in ROOMS)])
def test_import_is_light(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["transcribe", "--help"]])
def test_help_is_light(arguments: list[str]) -> None:
    code = f"import asr.cli, sys; sys.argv = ['asr', *{arguments}]\ntry: asr.cli.main()\nexcept SystemExit: pass\npass"
    assert not loaded_by(code) & HEAVY - {"pydantic"}, "typer may need it to read options"

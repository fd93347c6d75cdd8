"""One tiny corpus and one tiny recogniser, made once, through the command line, as a user would."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tones import RECIPE, write_corpus
from typer.testing import CliRunner

from asr.cli import app


@dataclass(frozen=True)
class Trained:
    """What `asr train` said and left: `run` is the run folder."""

    corpus: Path
    recipe: Path
    run: Path
    output: str
    errors: str


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder)
    recipe, run = folder / "tones.toml", folder / "run"
    recipe.write_text(RECIPE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "asr", "train", recipe, "--run", run], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Trained(folder, recipe, run, done.stdout, done.stderr)


@pytest.fixture
def asr_command() -> Callable[..., tuple[int, str, str]]:
    """Runs `asr` in this process: arguments in; exit status, stdout, stderr out."""

    def run(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run

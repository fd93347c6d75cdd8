"""What is published says nothing of the machine it was written on."""

import re
import subprocess
from pathlib import Path

import pytest
from source import ROOT

FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:work|root|home|opt|mnt|Users)/\w"  # a path that exists on one machine only
    r"|(?:pypi|pythonhosted|download\.pytorch|conda)\.org|index-url|find-links"  # the address of a registry
)


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines()]


def test_no_machine_and_no_registry() -> None:
    for path in tracked():
        if path == Path(__file__).resolve() or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            assert not FORBIDDEN.search(line), f"{path}:{number}: {line.strip()}"

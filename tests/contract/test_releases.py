"""torch and torchaudio must come from the same release."""

import re
import tomllib

import pytest
from source import ROOT

import asr


@pytest.mark.parametrize(("torch", "torchaudio"), [("2.11.0", "2.11.0"), ("2.11.1+cu130", "2.11.0+cpu")])
def test_tested_pair_is_taken(torch: str, torchaudio: str) -> None:
    asr.check_releases(torch, torchaudio)


@pytest.mark.parametrize(
    ("torch", "torchaudio"), [("2.10.0", "2.10.0"), ("2.11.0", "2.9.1"), ("2.12.0", "2.11.0"), ("2.1.1", "2.1.1")]
)
def test_other_pairs_are_refused(torch: str, torchaudio: str) -> None:
    with pytest.raises(ImportError, match=re.escape(f"found torch {torch} and torchaudio {torchaudio}; install")):
        asr.check_releases(torch, torchaudio)


def test_package_metadata_asks_for_the_tested_pair() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {f"torch=={asr.TORCH_RELEASE}.*", f"torchaudio=={asr.TORCH_RELEASE}.*"} <= set(wanted)


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[>=<]", need)[0].lower()
        for need in [
            *project["dependencies"],
            *(need for extra in ("synthetic", "dev", "bench") for need in extras[extra]),
        ]
    }
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert wanted <= set(pinned)
    for name, version in pinned.items():
        assert re.fullmatch(r"\d+(\.\d+)*", version), f"{name}: pin a release, without a local tag"

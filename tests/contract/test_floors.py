"""The house stands: imports go down only, and each optional package has one door."""

from pathlib import Path

import pytest
from source import MODULES, PREPARERS, imports, name_of

FLOORS = (
    ("errors", "machine_code", "rooms"),
    ("picture", "whole"),
    ("settings",),
    ("optimization",),
    ("config", "transcript"),
    ("audio", "text", "runs"),
    ("dataset", "model", "lm", "evaluation"),
    ("decoding",),
    ("training", "transcription"),
    ("serving",),
    ("console",),
    ("options",),
    ("compare_cli", "inspect_cli", "label_cli", "lm_cli", "transcribe_cli", "tune_cli"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONE_DOOR = (
    "av",
    "espeakng_loader",
    "fastapi",
    "uvicorn",
    "onnx",
    "onnxruntime",
    "sentencepiece",
    "accelerate",
    "jiwer",
)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    home = name_of(path).split(".")[1:2]
    for name in imports(path):
        package, *rest = name.split(".")
        if package != "asr" or not home or not rest or rest[0] in {"__version__", "check_releases"}:
            continue
        assert home[0] in FLOOR, f"{name_of(path)} is a room without a floor"
        assert rest[0] in FLOOR, f"{name_of(path)} imports {name}, which has no floor"
        assert rest[0] == home[0] or FLOOR[rest[0]] < FLOOR[home[0]], (
            f"{name_of(path)} reaches up or sideways to {name}"
        )


@pytest.mark.parametrize("package", ONE_DOOR)
def test_package_has_one_door(package: str) -> None:
    doors = [str(path) for path in [*MODULES, *PREPARERS] if any(n.split(".")[0] == package for n in imports(path))]
    assert len(doors) <= 1, f"{package} is imported in {', '.join(doors)}; one module is enough"

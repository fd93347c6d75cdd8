"""Compiled code goes when any source that is compiled into it changes, wherever numba keeps it, and only then."""

import importlib
import os
import sys
from pathlib import Path

import numba
import pytest
from source import MODULES, imports

from asr.machine_code import discard_stale

CALLER = """
import numba
from world.sounds.inner import volume
from world.deeper import UNUSED

@numba.njit(cache=True)
def double(x):
    return 2 * volume(x)
"""
INNER = """
import numba
from world.constants import LOUD

@numba.njit(cache=True)
def volume(x):
    return LOUD * x
"""


@pytest.fixture(params=["beside the sources", "elsewhere"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that numba writes in."""
    folder = tmp_path / "compiled" if request.param == "elsewhere" else tmp_path / "world/sounds"
    named = str(folder) if request.param == "elsewhere" else ""
    monkeypatch.setattr(numba.config, "CACHE_DIR", named)
    monkeypatch.setenv("NUMBA_CACHE_DIR", named)
    return folder


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    room = tmp_path / "world/sounds"
    room.mkdir(parents=True)
    (room / "outer.py").write_text(CALLER)
    (room / "inner.py").write_text(INNER)
    (room / "other.py").write_text("")
    (room.parent / "constants.py").write_text("LOUD = 3\n")
    (room.parent / "deeper").mkdir()
    (room.parent / "deeper/__init__.py").write_text("UNUSED = 1\n")
    for path in room.parent.rglob("*.py"):
        os.utime(path, (1e9, 1e9))
    monkeypatch.syspath_prepend(tmp_path)
    return room


def run(room: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """What the function answers in a process that has loaded nothing of the world yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "world"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return int(importlib.import_module("world.sounds.outer").double(1))


def compiled(cache: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}


@pytest.mark.parametrize(
    ("changed", "content"),
    [("sounds/inner.py", INNER.replace("LOUD * x", "50 * x")), ("constants.py", "LOUD = 50\n")],
)
def test_what_others_changed_is_compiled_anew(
    room: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, changed: str, content: str
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # Python itself may miss a change within a second
    assert run(room, monkeypatch) == 6
    assert compiled(cache)
    (room.parent / changed).write_text(content)
    now = max(compiled(cache).values()) + 10**9
    os.utime(room.parent / changed, ns=(now, now))
    assert run(room, monkeypatch) == 6, "numba does not notice; if it does one day, all of this can go"
    discard_stale(room)
    assert run(room, monkeypatch) == 100


def test_what_is_fresh_stays(room: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(room, monkeypatch)
    before = compiled(cache)
    (room / "other.py").write_text("CHANGED = True\n")
    os.utime(room / "other.py", (4e9, 4e9))
    discard_stale(room)
    assert compiled(cache) == before


def test_every_package_that_is_imported_counts(room: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(room, monkeypatch)
    os.utime(room.parent / "deeper/__init__.py", (4e9, 4e9))
    discard_stale(room)
    assert {path.name.partition(".")[0] for path in compiled(cache)} == {"inner"}


def test_nothing_compiled_is_nothing_to_do(room: Path, cache: Path) -> None:
    discard_stale(room)
    assert not compiled(cache)


def test_rooms_with_compiled_code_look_after_it() -> None:
    compiling = [path for path in MODULES if {"numba", "asr.decoding.compilation"} & set(imports(path))]
    assert {path.parent.name for path in compiling} == {"lm", "decoding", "model"}
    for room in {path.parent for path in compiling}:
        assert "\ndiscard_stale(Path(__file__).parent)\n" in (room / "__init__.py").read_text(encoding="utf-8")
    for path in compiling:
        assert "\nfrom asr import" not in path.read_text(encoding="utf-8"), "names no module, so its time is not known"

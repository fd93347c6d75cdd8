"""Who asks is told of a compilation, once."""

from types import SimpleNamespace

import numba
import pytest
from numba.core import event

from asr.decoding import compilation


@pytest.fixture
def announcer(monkeypatch: pytest.MonkeyPatch):
    """One that knows of nothing yet, as in a new process."""
    fresh = compilation._Announcer()
    monkeypatch.setattr(compilation, "_announcer", fresh)
    yield fresh
    event.unregister("numba:compile", fresh)


def function(module: str):
    """One that has to be compiled."""

    def successor(x):
        return x + 1

    successor.__module__ = module
    return numba.njit(successor)


def test_the_search_is_announced_once(announcer) -> None:
    told: list[str] = []
    compilation.on_compilation(told.append)
    assert function("asr.decoding.prefix")(1) == 2
    assert function("asr.decoding.fusion")(1) == 2
    [line] = told
    assert line.startswith("compiling the search, once: about")


def test_others_and_what_is_compiled_already_are_not(announcer) -> None:
    compiled = function("asr.decoding.prefix")
    compiled(1)
    told: list[str] = []
    compilation.on_compilation(told.append)
    compiled(1)
    function("somebody.else")(1)
    assert not told


def test_the_last_to_ask_is_told(announcer) -> None:
    first: list[str] = []
    last: list[str] = []
    compilation.on_compilation(first.append)
    compilation.on_compilation(last.append)
    function("asr.decoding.prefix")(1)
    assert (len(first), len(last)) == (0, 1)


def test_the_place_is_named(announcer) -> None:
    told: list[str] = []
    compilation.on_compilation(told.append)
    dispatcher = SimpleNamespace(
        py_func=SimpleNamespace(__module__="asr.decoding.prefix"), stats=SimpleNamespace(cache_path="/somewhere")
    )
    announcer.on_start(SimpleNamespace(data={"dispatcher": dispatcher}))
    assert told[0].endswith("; kept in /somewhere")

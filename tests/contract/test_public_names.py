"""What a room offers exists, is documented, and is found in the README."""

import importlib
import inspect
import re

import pytest
from source import MODULES, PACKAGE, ROOT, name_of

import asr

ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def readme_tree() -> dict[str, str]:
    """Path to purpose, from the drawing of asr/ in the README."""
    drawing = re.search(r"```\nasr/.*?```", README, re.DOTALL)
    assert drawing, "the README draws no tree"
    found, room = {}, ""
    for line in drawing[0].splitlines()[2:-1]:
        indent, name, purpose = re.fullmatch(r"( *)(\S+) *(.*)", line).groups()
        room = room if len(indent) > 2 else ""
        found[room + name] = purpose
        if name.endswith("/"):
            room = name
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_room_offers_what_it_says(room: str) -> None:
    module = importlib.import_module(f"asr.{room}")
    assert module.__doc__
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"asr.{room}.{name} has no documentation"


@pytest.mark.parametrize("room", ROOMS)
def test_room_refuses_other_names(room: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(f"asr.{room}").nonsense


def test_package_offers_its_rooms() -> None:
    plain = {"config", "errors", "transcript"}
    assert set(asr.ROOMS) == plain | set(ROOMS)
    for room in asr.ROOMS:
        assert getattr(asr, room).__name__ == f"asr.{room}"
        assert room in dir(asr)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = asr.nonsense


def test_readme_draws_the_tree_as_it_is() -> None:
    present = {str(path.relative_to(PACKAGE)) for path in MODULES if not path.name.startswith("__")}
    drawn = readme_tree()
    assert {name for name in drawn if not name.endswith("/")} == present
    assert {name.rstrip("/") for name in drawn if name.endswith("/")} == set(ROOMS)
    for name, purpose in drawn.items():
        assert purpose, f"the README does not say what {name} is for"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is(path) -> None:
    assert (importlib.import_module(name_of(path)).__doc__ or "") if path.name != "__main__.py" else True

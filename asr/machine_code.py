"""Compiled code that is out of date, removed before anything runs it.

numba keeps compiled functions on disk and compiles one anew when its own file changes, but not when another file does
whose functions or constants were compiled into it. So whatever is older than a source it may depend on has to go: the
file of the function, or one that this imports from its package, directly or not. What another process removes or writes
meanwhile is its own affair: at worst a function is compiled twice.

Where numba keeps its files is `__pycache__` beside the sources, or a folder in `NUMBA_CACHE_DIR`. Where neither can be
written, numba takes a folder of the user's that is not looked into here: empty it after changing an installation that
is read-only.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path


def discard_stale(room: Path) -> None:
    """Remove the compiled code of a room that is older than its sources.

    Args:
        room: a folder of modules inside a package.
    """
    newest: dict[str, int] = {}
    for path in _cache(room).glob("*.nb[ic]"):
        module = path.name.partition(".")[0]  # module.function-line.py311.nbi
        if module not in newest:
            newest[module] = max(map(_time, _sources(room / f"{module}.py", room.parent)), default=0)
        if _time(path) < newest[module]:
            with contextlib.suppress(OSError):
                path.unlink()


def _cache(room: Path) -> Path:
    """The folder in which numba keeps what it compiles of a room."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if not named:
        return room / "__pycache__"
    place = str(room.absolute()).encode()
    return Path(named, f"{room.name}_{hashlib.sha1(place, usedforsecurity=False).hexdigest()}")


def _sources(module: Path, package: Path) -> set[Path]:
    """A module and those it imports at its top, directly or not, as far as they belong to the package."""
    statement = re.compile(rf"^from {package.name}\.([\w.]+) import", re.MULTILINE)
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            for name in statement.findall(path.read_text(encoding="utf-8")):
                place = package.joinpath(*name.split("."))
                waiting += [place.with_suffix(".py"), place / "__init__.py"]
    return found


def _time(path: Path) -> int:
    """When a file was last changed, in nanoseconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

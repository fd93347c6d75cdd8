"""How the loops of the search are compiled: without Python's lock, and cached on disk.

Numba counts references to arrays, atomically, wherever it takes one out of a tuple or hands it on, which took two
thirds of the search's time. Compiled without its run-time, functions only borrow the arrays they are given, and can
make none.

Compiling takes seconds, once for a search without language model, lexicon and hotwords and once for one with any. Who
asks for it is told when it begins, by numba's own events.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., Any])


def borrowing(function: Function) -> Function:
    """Compile a function that makes no arrays."""
    return _compiled(function, _nrt=False)


def inlined(function: Function) -> Function:
    """Compile a function that makes no arrays, into each of those that call it: a call costs more than it does."""
    return _compiled(function, _nrt=False, inline="always")


def allocating(function: Function) -> Function:
    """Compile a function that may make arrays."""
    return _compiled(function)


def _compiled(function: Function, **options: Any) -> Function:
    return cast(Function, numba.njit(cache=True, nogil=True, **options)(function))


def on_compilation(tell: Callable[[str], None]) -> None:
    """Have `tell` called, once in this process, when some of the search has to be compiled; not if all is on disk.

    Args:
        tell: takes a line for people; it replaces the one given before.
    """
    if _announcer.tell is None and not _announcer.is_done:
        event.register("numba:compile", _announcer)  # type: ignore[no-untyped-call]
    _announcer.tell = tell


class _Announcer(event.Listener):
    tell: Callable[[str], None] | None = None
    is_done = False

    def on_start(self, event: Any) -> None:
        """A function that was not on disk is about to be compiled."""
        dispatcher = event.data["dispatcher"]
        if self.tell is None or self.is_done or not dispatcher.py_func.__module__.startswith("asr.decoding."):
            return
        self.is_done = True
        self.tell(f"compiling the search, once: about 10 s; kept in {dispatcher.stats.cache_path}")

    def on_end(self, event: Any) -> None:
        """It has been compiled."""


_announcer = _Announcer()

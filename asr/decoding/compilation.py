"""How the loops of the search are compiled: without Python's lock, and cached on disk.

Numba counts references to arrays, atomically, wherever it takes one out of a tuple or hands it on, which took two
thirds of the search's time. Compiled without its run-time, functions only borrow the arrays they are given, and can
make none.

Numba compiles a file anew when that file changes, not when one changes whose functions it calls: after an edit here,
delete `__pycache__`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def borrowing(function: Function) -> Function:
    """Compile a function that makes no arrays."""
    options: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
    return cast(Function, numba.njit(**options)(function))


def allocating(function: Function) -> Function:
    """Compile a function that may make arrays."""
    options: dict[str, Any] = {"cache": True, "nogil": True}
    return cast(Function, numba.njit(**options)(function))

"""Rooms of the library: packages that load a module when one of its names is first asked for."""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """The class of a package that says in `_HOME` which module each of its public names comes from.

    A function may be called like its module: importing `asr.lm.load` binds that module to the package as `load`, which
    is then replaced by the function.
    """

    _HOME: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        if name in self._HOME:
            return getattr(importlib.import_module(self._HOME[name]), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        public = name in self._HOME and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if public else value)

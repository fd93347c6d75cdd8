"""One idea a module: short modules, short functions."""

import ast
from pathlib import Path

import pytest
from source import MODULES, PREPARERS, ROOT

LONGEST_MODULE, LONGEST_FUNCTION = 300, 60


@pytest.mark.parametrize("path", [*MODULES, *PREPARERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_module_and_functions_are_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"

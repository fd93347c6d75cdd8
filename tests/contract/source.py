"""The source of the package, as the contract tests read it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "asr"
MODULES = sorted(PACKAGE.rglob("*.py"))
PREPARERS = sorted(ROOT.glob("data/*/prepare.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module: asr/audio/load.py is asr.audio.load."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that a module imports, those behind TYPE_CHECKING and inside functions too.

    `from asr import text` gives asr.text. A string such as "asr.audio.load" counts: that is how rooms load lazily.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name, not relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"asr(\.\w+)+", str(node.value)):
            yield str(node.value)

"""The preparers as the tests run them."""

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def preparer(corpus: str) -> ModuleType:
    """The module data/<corpus>/prepare.py."""
    path = ROOT / "data" / corpus / "prepare.py"
    spec = importlib.util.spec_from_file_location(f"prepare_{corpus}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def real(corpus: str) -> Path:
    """The folder of the real corpus; the test is skipped where there is none."""
    folder = Path(os.environ.get("ASR_CORPORA", "")) / corpus
    if "ASR_CORPORA" not in os.environ or not folder.is_dir():
        pytest.skip(f"ASR_CORPORA names no folder with {corpus}/")
    return folder

"""What is written whole: beside its place, then renamed, so that nobody ever sees half of it."""

import os
import shutil
import tempfile
from pathlib import Path

from asr.errors import AsrError


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, complete or not at all; makes its folder if there is none.

    Raises:
        AsrError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise AsrError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, if there is one, or leave everything as it is.

    A folder cannot be replaced in one step, so the old one steps aside first; whatever then goes wrong brings it back.

    Raises:
        OSError: it cannot be done.
    """
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent)) / folder.name
    try:
        if folder.exists():
            folder.replace(aside)
        fresh.replace(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.replace(folder)
        shutil.rmtree(aside.parent, ignore_errors=True)

"""Files that are written whole: beside their place, then renamed, so that nobody ever sees half of one."""

import os
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

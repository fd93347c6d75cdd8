"""Whole files of a language model: texts that may be compressed, and writing that is complete or not at all."""

import gzip
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asr.errors import LanguageModelError
from asr.whole import replace_folder

GZIP = b"\x1f\x8b"
"""How a gzip file begins; the name does not count."""


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed if it is a gzip file.

    Raises:
        LanguageModelError: it is missing, cannot be read, or its compression is damaged.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP) else content
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such file; check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LanguageModelError(f"{path}: damaged or cut off gzip file ({error}); copy it again") from None
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read ({error.strerror}); give a file") from None


def write_bytes(path: Path, pieces: Iterable[bytes | memoryview], compress: bool = False) -> None:
    """Write a file, complete or not at all, making its folder if needed.

    Raises:
        LanguageModelError: the file cannot be written.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                if compress:
                    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # no name and no time: the same bytes
                        for piece in pieces:
                            packed.write(piece)
                else:
                    file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of `path`, complete or not at all.

    Raises:
        LanguageModelError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            fresh.chmod(0o755)
            yield fresh
            replace_folder(fresh, path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be written ({error.strerror}); choose another place") from None

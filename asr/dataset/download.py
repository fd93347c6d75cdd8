"""Archives from their publishers: fetched with what is already there kept, unpacked complete or not at all."""

import gzip
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from asr.errors import CorpusError

TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1 << 18
BARREN_ATTEMPTS = 3
"""So many answers in a row that bring nothing, and the download gives up."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar archive that a publisher offers. `md5` is hexadecimal; None where the publisher gives none."""

    url: str
    name: str
    """The file it is kept in while it is not yet unpacked."""
    md5: str | None = None


def github_archive(repository: str, commit: str, name: str) -> Archive:
    """A repository of GitHub, "owner/name", as it was at a commit; kept in `name`.tar.gz."""
    return Archive(f"https://github.com/{repository}/archive/{commit}.tar.gz", f"{name}.tar.gz")


def fetch(archive: Archive, folder: Path) -> Path:
    """Download an archive into `folder`, going on from what an interrupted download left in its `.part` file.

    Returns:
        The file, complete; its checksum is right where one is known.

    Raises:
        CorpusError: the publisher cannot be reached or refuses, the connection broke too often (what has come is kept
            for the next attempt), or the checksum is wrong (nothing is kept).
    """
    done, part = folder / archive.name, folder / f"{archive.name}.part"
    if done.is_file():
        return done
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            _complete(archive, part, progress)
        if archive.md5 and _md5(part) != archive.md5:
            part.unlink()
            raise CorpusError(f"{archive.url}: what came has the wrong checksum and was deleted; run again")
        part.replace(done)
    except urllib.error.HTTPError as error:
        raise CorpusError(f"{archive.url}: the publisher answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(f"{archive.url}: cannot be downloaded ({reason})") from None
    return done


def unpack(archives: Sequence[Path], folder: Path) -> None:
    """Unpack tar archives on top of each other into `folder`, which comes to be only once all of it is there.

    The archives are deleted at the end, and so is a damaged one.

    Raises:
        CorpusError: an archive is damaged, or there is no room.
    """
    temporary = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for path in archives:
            try:
                with tarfile.open(path) as tar:
                    tar.extractall(temporary, filter="data")  # which refuses paths and links that lead out of it
                    _read_on(tar)
            except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                path.unlink()
                raise CorpusError(f"{path}: damaged ({error}) and deleted; run again to download it again") from None
            except OSError as error:
                raise CorpusError(f"{path}: cannot be unpacked ({error}); free some space, then run again") from None
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for path in archives:
        path.unlink()


def _read_on(tar: tarfile.TarFile) -> None:
    """Read to the end of the file, where gzip has its checksum: tar stops sooner, and at whatever it cannot read."""
    while tar.fileobj is not None and tar.fileobj.read(BLOCK_BYTES):
        pass


def _complete(archive: Archive, part: Path, progress: Progress) -> None:
    """Ask, and ask again for the rest when the connection breaks, until the `.part` file is whole."""
    task = progress.add_task(archive.name, total=None)
    barren = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _ask(archive.url, part, before, progress, task):
                return
            broken: Exception = OSError("the connection broke before the end; run again to go on")
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            broken = error
        came = part.exists() and part.stat().st_size > before
        barren = 0 if came else barren + 1
        if barren == BARREN_ATTEMPTS:
            raise broken


def _ask(url: str, part: Path, start: int, progress: Progress, task: TaskID) -> bool:
    """One request for the bytes from `start`; True once the `.part` file is whole.

    A server may ignore the range, and then sends everything: status 200, not 206 (RFC 9110, section 14.2).
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        # Nothing lies beyond `start`: either that is all, or the file has changed and must come anew.
        if error.headers.get("Content-Range", "").endswith(f"/{start}"):
            return True
        part.unlink()
        return False
    with answer:
        partial = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        if partial and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise http.client.HTTPException("the server sent other bytes than it was asked for")
        start = start if partial else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        progress.update(task, completed=start, total=total)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while block := answer.read(BLOCK_BYTES):
                file.write(block)
                progress.advance(task, len(block))
            return total is None or file.tell() == total


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

"""Downloads from a small server on this machine, which breaks off, ignores ranges, or refuses."""

import hashlib
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.dataset.download import Archive, fetch, github_archive, unpack
from asr.errors import CorpusError

CONTENT = os.urandom(700_000)


class Server(ThreadingHTTPServer):
    """Serves `content`; each of `breaks` cuts one answer off after so many bytes."""

    def __init__(self, content: bytes = CONTENT) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.breaks, self.ranges, self.starts = content, list[int](), True, list[int]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/corpus.tar"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        if self.path != "/corpus.tar":
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and server.ranges else 0
        server.starts.append(start)
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.breaks.pop(0)] if server.breaks else rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_whole(server: Server, tmp_path: Path) -> None:
    archive = Archive(server.url, "a.tar", md5=hashlib.md5(CONTENT).hexdigest())
    assert fetch(archive, tmp_path / "new").read_bytes() == CONTENT
    assert fetch(archive, tmp_path / "new").read_bytes() == CONTENT
    assert server.starts == [0]  # the second time nothing was asked for
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.tar"]


def test_broken_connections_are_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.breaks = [300_000, 100_000]
    assert fetch(Archive(server.url, "a.tar"), tmp_path).read_bytes() == CONTENT
    assert server.starts == [0, 300_000, 400_000]


def test_what_an_interrupted_run_left_is_kept(server: Server, tmp_path: Path) -> None:
    server.breaks = [500_000, 0, 0, 0]
    with pytest.raises(CorpusError, match=r"corpus\.tar: cannot be downloaded .*run again to go on"):
        fetch(Archive(server.url, "a.tar"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.part"]
    assert fetch(Archive(server.url, "a.tar"), tmp_path).read_bytes() == CONTENT
    assert server.starts[-1] == 500_000


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, [300_000]
    assert fetch(Archive(server.url, "a.tar"), tmp_path).read_bytes() == CONTENT
    assert server.starts == [0, 0]


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"], ids=["whole", "too long"])
def test_a_part_with_nothing_beyond_it(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "a.tar.part").write_bytes(left)
    assert fetch(Archive(server.url, "a.tar"), tmp_path).read_bytes() == CONTENT


def test_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="wrong checksum"):
        fetch(Archive(server.url, "a.tar", md5="0" * 32), tmp_path)
    assert not list(tmp_path.iterdir())


def test_refused_and_unreachable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.tar: the publisher answers 404"):
        fetch(Archive(server.url.replace("corpus", "none"), "a.tar"), tmp_path)
    with pytest.raises(CorpusError, match="cannot be downloaded"):
        fetch(Archive("http://127.0.0.1:1/a.tar", "a.tar"), tmp_path)


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_archives_unpack_on_top_of_each_other(tmp_path: Path) -> None:
    one = tar(tmp_path / "1.tar.gz", {"speech/train/a.wav": b"a", "speech/readme": b"r"})
    two = tar(tmp_path / "2.tar.gz", {"speech/dev/b.wav": b"b", "speech/readme": b"r"})
    unpack([one, two], tmp_path / "audio")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"audio/speech/train/a.wav", "audio/speech/dev/b.wav", "audio/speech/readme"}


@pytest.mark.parametrize("cut", [0, 20, 60], ids=["empty", "header", "middle"])
def test_a_damaged_archive_leaves_no_folder(tmp_path: Path, cut: int) -> None:
    whole = tar(tmp_path / "1.tar.gz", {"a.wav": os.urandom(1000)})
    damaged = tmp_path / "2.tar.gz"
    damaged.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(CorpusError, match=r"2\.tar\.gz: damaged"):
        unpack([whole, damaged], tmp_path / "audio")
    assert [path.name for path in tmp_path.iterdir()] == ["1.tar.gz"]


@settings(deadline=None)
@given(place=st.integers(0, 8 * 5000), cut=st.integers(0, 20))
def test_no_damage_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, place: int, cut: int) -> None:
    """A wrong bit, or some bytes less; but in gzip's header, which only says when, how and of what it was made."""
    folder = tmp_path_factory.mktemp("archives")
    damaged = tar(folder / "1.tar.gz", {f"{number}.wav": os.urandom(1000) for number in range(3)})
    content = bytearray(damaged.read_bytes())
    header = 10 + len(b"1.tar\0")
    if cut:
        del content[-cut:]
    else:
        place = 8 * header + place % (8 * (len(content) - header))
        content[place // 8] ^= 1 << place % 8
    damaged.write_bytes(content)
    with pytest.raises(CorpusError, match=r"1\.tar\.gz: damaged"):
        unpack([damaged], folder / "audio")
    assert not list(folder.iterdir())


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="damaged"):
        unpack([tar(tmp_path / "1.tar.gz", {"../escaped": b"x"})], tmp_path / "audio")
    assert not list(tmp_path.iterdir())


def test_an_archive_of_github_is_of_one_commit() -> None:
    expected = Archive("https://github.com/owner/speech/archive/f7312713.tar.gz", "voice.tar.gz")
    assert github_archive("owner/speech", "f7312713", "voice") == expected

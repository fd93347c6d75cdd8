import gc
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.dataset.manifest import Manifest, Utterance, read_lines, write_manifest
from asr.errors import ManifestError

RIGHT = {"audio_filepath": "wav/a.wav", "duration": 3.25, "text": "grüß dich"}


def written(folder: Path, *lines: Any, name: str = "m.jsonl") -> Path:
    """A manifest of these lines; what is not text or bytes is written as JSON."""
    path = folder / name
    rows = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
    path.write_bytes(b"\n".join(rows))
    return path


def test_fields_and_defaults(tmp_path: Path) -> None:
    full = {
        "audio_filepath": "/x/b.flac",
        "duration": 1,
        "text": "",
        "offset": 2.5,
        "speaker": 7,
        "id": "u",
        "lang": "de",
    }
    path = written(tmp_path, RIGHT, b"", b" \r", full, RIGHT | {"offset": 12.5})
    manifest = Manifest(path)
    assert manifest.path == path
    assert list(manifest) == [
        Utterance(tmp_path / "wav/a.wav", 3.25, "grüß dich", 0.0, None, "a", 1),
        Utterance(Path("/x/b.flac"), 1.0, "", 2.5, "7", "u", 4),
        Utterance(tmp_path / "wav/a.wav", 3.25, "grüß dich", 12.5, None, "a-12.500", 5),
    ]
    assert manifest.durations.dtype == np.float32
    assert manifest.durations.tolist() == [3.25, 1.0, 3.25]
    assert [manifest.where(index) for index in range(3)] == [f"{path}:{line}" for line in (1, 4, 5)]
    assert manifest[-1].line == 5
    with pytest.raises(IndexError):
        manifest[3]


def test_relative_paths_are_relative_to_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, RIGHT)
    monkeypatch.chdir(tmp_path)
    manifest = Manifest("m.jsonl")
    monkeypatch.chdir("/")
    assert manifest[0].audio_filepath == tmp_path / "wav/a.wav"


def test_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\r\n".join([json.dumps(RIGHT).encode()] * 2) + b"\r\n")
    assert [utterance.line for utterance in Manifest(path)] == [1, 2]


def test_byte_order_mark_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for first in (b"", b"\r\n"):
        path.write_bytes(b"\xef\xbb\xbf" + first + b"\r\n".join([json.dumps(RIGHT).encode()] * 2))
        assert [utterance.line for utterance in Manifest(path)] == [1 + bool(first), 2 + bool(first)]
        assert list(read_lines(path)) == list(Manifest(path))
    path.write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(ManifestError, match="no utterances"):
        Manifest(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON: .*write one utterance a line"),
        (b"\xef\xbb\xbf{}", "not JSON: .*BOM"),
        (b'{"text": "\xff"}', "byte 11 is not UTF-8; save the manifest as UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        ({"duration": 1.0, "text": ""}, "audio_filepath is missing; add it"),
        ({"audio_filepath": "a", "text": ""}, "duration is missing"),
        ({"audio_filepath": "a", "duration": 1.0}, "text is missing"),
        (RIGHT | {"audio_filepath": ""}, 'audio_filepath is ""; write the path'),
        (RIGHT | {"audio_filepath": 3}, "audio_filepath is 3"),
        (RIGHT | {"audio_filepath": "a\0"}, "audio_filepath is"),
        (RIGHT | {"duration": 0}, "duration is 0; write seconds, a number greater than 0"),
        (RIGHT | {"duration": -1.5}, "duration is -1.5"),
        (RIGHT | {"duration": True}, "duration is true"),
        (RIGHT | {"duration": "1.0"}, 'duration is "1.0"'),
        (RIGHT | {"duration": float("nan")}, "duration is NaN"),
        (RIGHT | {"duration": float("inf")}, "duration is Infinity"),
        (RIGHT | {"duration": 10**400}, "duration is 1000"),
        (RIGHT | {"text": None}, "text is null; write the transcript"),
        (b'{"audio_filepath": "a", "duration": 1, "text": "\\ud800"}', "text is .*valid Unicode"),
        (RIGHT | {"offset": -0.1}, "offset is -0.1; write seconds from the start"),
        (RIGHT | {"offset": None}, "offset is null"),
        (RIGHT | {"speaker": ["s"]}, r'speaker is \["s"\]; write a string'),
        (RIGHT | {"id": 1.5}, "id is 1.5; write a string"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: Any, message: str) -> None:
    path = written(tmp_path, RIGHT, b"", line, RIGHT)
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)
    first, wrong, last = read_lines(path)
    assert isinstance(first, Utterance)
    assert str(wrong) == str(caught.value)
    assert isinstance(last, Utterance)


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_no_utterances(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(ManifestError, match=r"m\.jsonl: no utterances; "):
        Manifest(tmp_path / "m.jsonl")


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest; check"):
        Manifest(tmp_path / "m.jsonl")
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest(tmp_path)


def test_several_files_are_one_manifest(tmp_path: Path) -> None:
    first = written(tmp_path, RIGHT, RIGHT | {"duration": 2.0}, name="a.jsonl")
    (tmp_path / "sub").mkdir()
    second = written(tmp_path / "sub", b"", RIGHT | {"duration": 4.0}, name="b.jsonl")
    manifest = Manifest(first, second)
    assert manifest.paths == (first, second)
    assert manifest.durations.tolist() == [3.25, 2.0, 4.0]
    assert manifest[2] == Manifest(second)[0]
    assert manifest[2].audio_filepath == tmp_path / "sub/wav/a.wav"
    assert manifest.where(2) == f"{second}:2"


def test_selections(tmp_path: Path) -> None:
    manifest = Manifest(written(tmp_path, *(RIGHT | {"duration": seconds} for seconds in (1, 2, 3, 4))))
    assert list(manifest.select(manifest.durations > 2)) == [manifest[2], manifest[3]]
    assert list(manifest.select([3, 0])) == [manifest[3], manifest[0]]
    assert manifest.select([3, 0]).durations.tolist() == [4.0, 1.0]
    assert manifest.select([3, 0]).where(0).endswith(":4")
    assert list(manifest[1:3]) == [manifest[1], manifest[2]]
    assert len(manifest.select([])) == 0


def test_pickled_small_and_opened_again(tmp_path: Path) -> None:
    path = written(tmp_path, *[RIGHT | {"text": "word " * 1000}] * 50)
    manifest = Manifest(path)
    pickled = pickle.dumps(manifest)
    assert len(pickled) < path.stat().st_size / 50
    assert list(pickle.loads(pickled)) == list(manifest)


def test_files_are_left_closed(tmp_path: Path) -> None:
    path = written(tmp_path, RIGHT)
    opened = Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("open files can be listed on Linux only")
    manifest = Manifest(path)
    assert manifest[0].text
    del manifest
    gc.collect()
    assert str(path) not in {str(link.readlink()) for link in opened.iterdir() if link.is_symlink()}


@settings(max_examples=50)
@given(
    st.lists(
        st.builds(
            Utterance,
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)
            .filter(lambda name: name not in (".", ".."))
            .map(Path),
            st.floats(1e-3, 1e6),
            st.text(),
            st.floats(0.0, 1e6),
            st.none() | st.text(min_size=1),
            st.text(min_size=1),
        ),
        min_size=1,
    )
)
def test_written_is_read(tmp_path_factory: pytest.TempPathFactory, utterances: list[Utterance]) -> None:
    folder = tmp_path_factory.mktemp("written")
    placed = [
        Utterance(folder / u.audio_filepath, u.duration, u.text, u.offset, u.speaker, u.id, line)
        for line, u in enumerate(utterances, start=1)
    ]
    write_manifest(folder / "m.jsonl", placed)
    assert list(Manifest(folder / "m.jsonl")) == placed


def test_paths_are_written_relative_where_possible(tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "new" / "m.jsonl",
        [Utterance(tmp_path / "new/wav/ü.wav", 1.5, "Ü"), Utterance(tmp_path / "b.wav", 2.0, "b", speaker="s")],
    )
    assert (tmp_path / "new" / "m.jsonl").read_text(encoding="utf-8") == (
        '{"audio_filepath": "wav/ü.wav", "duration": 1.5, "text": "Ü"}\n'
        f'{{"audio_filepath": "{tmp_path}/b.wav", "duration": 2.0, "text": "b", "speaker": "s"}}\n'
    )


def test_recording_whose_name_is_not_unicode(tmp_path: Path) -> None:
    audio = tmp_path / os.fsdecode(b"caf\xe9.wav")
    with pytest.raises(ManifestError, match=rf"{tmp_path}/caf\\udce9\.wav: name.* is not Unicode; rename"):
        write_manifest(tmp_path / "m.jsonl", [Utterance(audio, 1.0, "a")])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_writing_leaves_the_old_manifest_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, RIGHT)

    def failing() -> Any:
        yield Utterance(Path("a.wav"), 1.0, "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(path, failing())
    assert len(Manifest(path)) == 1
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ManifestError, match="cannot be written"):
        write_manifest(path / "m.jsonl", [])

"""Manifests: JSON Lines, one utterance a line, compatible with NeMo's.

    {"audio_filepath": "wav/a.wav", "duration": 3.2, "text": "hello", "offset": 0.0, "speaker": "s1", "id": "a"}

Only the first three fields are required; further ones are allowed and ignored; blank lines are skipped. A relative path
is relative to the manifest's folder. The default id is the audio file's stem, with the offset where there is one.

A million lines must open in seconds and stay out of memory: opening checks every line, and keeps only where it begins
and how long its audio is (16 bytes an utterance); the file is mapped, and a line parsed when it is asked for.
"""

import json
import mmap
import os
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from asr.errors import ManifestError

EXAMPLE = '{"audio_filepath": "wav/a.wav", "duration": 3.2, "text": "hello"}'
LONGEST_SECONDS = 1e9
"""A time beyond this is a mistake, as are infinity and not-a-number."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a manifest. Times are seconds; `line` counts from 1, and is 0 for an utterance not read from one."""

    audio_filepath: Path
    """Absolute when it was read from a manifest."""
    duration: float
    text: str
    offset: float = 0.0
    """Where in the audio file the utterance begins."""
    speaker: str | None = None
    id: str = ""
    line: int = 0


class Manifest(Sequence[Utterance]):
    """The utterances of one or several manifest files, in order. Indexing parses one line.

    `durations` is a float32 array of seconds, shape `(utterances,)`. Pickling leaves the files behind and opens them
    again, which is what a data loader's processes need.

    Args:
        path: a JSON Lines file.
        more: further ones, whose utterances follow.

    Raises:
        ManifestError: a file is missing or has no utterance, or a line is wrong; the first one is named.
    """

    def __init__(self, path: Path | str, *more: Path | str) -> None:
        self.paths = tuple(Path(name) for name in (path, *more))
        self._folders = tuple(name.parent.absolute() for name in self.paths)
        begins, lines, durations = array("q"), array("l"), array("f")
        files, self._maps = array("l"), [_map(name) for name in self.paths]
        for file, (name, mapped) in enumerate(zip(self.paths, self._maps, strict=True)):
            before = len(begins)
            for number, begin, raw in _lines(mapped):
                durations.append(_fields(raw, name, number)["duration"])
                begins.append(begin)
                lines.append(number)
            files.extend([file] * (len(begins) - before))
            if len(begins) == before:
                raise ManifestError(f"{name}: no utterances; write one a line, e.g. {EXAMPLE}")
        self.durations: npt.NDArray[np.float32] = np.array(durations, dtype=np.float32)
        self._files = np.array(files, dtype=np.int16)
        self._begins = np.array(begins, dtype=np.int64)
        self._lines = np.array(lines, dtype=np.int32)

    @property
    def path(self) -> Path:
        """The manifest file, the first one if there are several."""
        return self.paths[0]

    def where(self, index: int) -> str:
        """File and line of an utterance, as errors name them: `train.jsonl:17`."""
        return f"{self.paths[self._files[index]]}:{self._lines[index]}"

    def select(self, indices: npt.ArrayLike) -> "Manifest":
        """Only the utterances with these indices (or where this mask, one value an utterance, is true), in this order.

        The new manifest shares the mapped files with this one.
        """
        chosen = np.asarray(indices)
        if chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)  # also what makes an empty list an index
        selection = object.__new__(Manifest)
        selection.paths, selection._folders, selection._maps = self.paths, self._folders, self._maps
        selection.durations, selection._files = self.durations[chosen], self._files[chosen]
        selection._begins, selection._lines = self._begins[chosen], self._lines[chosen]
        return selection

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> "Manifest": ...
    def __getitem__(self, index: int | slice) -> "Utterance | Manifest":
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        file, begin, number = self._files[index], int(self._begins[index]), int(self._lines[index])
        mapped = self._maps[file]
        end = mapped.find(b"\n", begin)
        raw = mapped[begin : end if end >= 0 else len(mapped)]
        return _utterance(_fields(raw, self.paths[file], number), self._folders[file], number)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _maps=[_map(path) for path in state["paths"]])


def read_lines(path: Path) -> Iterator[Utterance | ManifestError]:
    """Every line of a manifest that is not blank: its utterance, or what is wrong with it.

    Raises:
        ManifestError: the file cannot be read at all.
    """
    folder = path.parent.absolute()
    for number, _, raw in _lines(_map(path)):
        try:
            yield _utterance(_fields(raw, path, number), folder, number)
        except ManifestError as error:
            yield error


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write a manifest, complete or not at all. Audio below its folder is named relative to it, other absolutely.

    Raises:
        ManifestError: the file cannot be written, or a recording's name is not Unicode, which a manifest cannot hold.
    """
    path = Path(path)
    folder = path.parent.absolute()
    temporary = folder / f".{path.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                for utterance in utterances:
                    file.write(_line(utterance, folder))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def _map(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return b""  # which cannot be mapped
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; check the path, or prepare the corpus first") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); give a JSON Lines file") from None


def _lines(mapped: mmap.mmap | bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number (from 1), first byte and content of each line that is not blank."""
    begin = len(BOM_UTF8) if mapped[: len(BOM_UTF8)] == BOM_UTF8 else 0  # which programs on Windows put first
    number = 0
    while begin < len(mapped):
        end = mapped.find(b"\n", begin) + 1 or len(mapped)
        number += 1
        raw = mapped[begin:end]
        if not raw.isspace():
            yield number, begin, raw
        begin = end


def _fields(raw: bytes, path: Path, number: int) -> dict[str, Any]:
    """The fields of a line; the known ones have the right types and possible values."""
    try:
        fields = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise _error(path, number, f"byte {error.start + 1} is not UTF-8; save the manifest as UTF-8") from None
    except json.JSONDecodeError as error:
        what = f"not JSON: {error.msg} at character {error.pos + 1}"
        raise _error(path, number, f"{what}; write one utterance a line, e.g. {EXAMPLE}") from None
    except (ValueError, RecursionError):  # a number with thousands of digits, thousands of brackets
        raise _error(path, number, f"not JSON that can be read; write one utterance a line, e.g. {EXAMPLE}") from None
    if not isinstance(fields, dict):
        raise _error(path, number, f"not a JSON object; write one utterance a line, e.g. {EXAMPLE}")
    for name, required, is_right, remedy in _CHECKS:
        if name not in fields:
            if required:
                raise _error(path, number, f"field {name} is missing; add it, e.g. {EXAMPLE}")
        elif not is_right(fields[name]):
            raise _error(path, number, f"{name} is {json.dumps(fields[name])[:80]}; write {remedy}")
    return fields


def _error(path: Path, number: int, what: str) -> ManifestError:
    return ManifestError(f"{path}:{number}: {what}")


def is_text(value: Any) -> bool:
    """Whether it is text that can be written to a file, which what Python makes of other bytes cannot."""
    if type(value) is not str:
        return False
    # A lone surrogate can be escaped in JSON, but never written to a file again.
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def shown(path: Path) -> str:
    """A name that can be written, whatever bytes it is made of."""
    return str(path).encode(errors="backslashreplace").decode()


def _is_path(value: Any) -> bool:
    return is_text(value) and value != "" and "\0" not in value


def _is_duration(value: Any) -> bool:
    return type(value) in (float, int) and 0 < value < LONGEST_SECONDS


def _is_offset(value: Any) -> bool:
    return type(value) in (float, int) and 0 <= value < LONGEST_SECONDS


def _is_name(value: Any) -> bool:
    return value is None or type(value) is int or is_text(value)


_CHECKS: tuple[tuple[str, bool, Callable[[Any], bool], str], ...] = (
    ("audio_filepath", True, _is_path, "the path of an audio file"),
    ("duration", True, _is_duration, "seconds, a number greater than 0"),
    ("text", True, is_text, "the transcript, a string of valid Unicode"),
    ("offset", False, _is_offset, "seconds from the start of the file, a number not less than 0"),
    ("speaker", False, _is_name, "a string"),
    ("id", False, _is_name, "a string"),
)


def _utterance(fields: dict[str, Any], folder: Path, number: int) -> Utterance:
    path = folder / fields["audio_filepath"]
    offset = float(fields.get("offset", 0.0))
    speaker, name = fields.get("speaker"), fields.get("id")
    return Utterance(
        audio_filepath=path,
        duration=float(fields["duration"]),
        text=fields["text"],
        offset=offset,
        speaker=None if speaker is None else str(speaker),
        id=str(name) if name is not None else path.stem + (f"-{offset:.3f}" if offset else ""),
        line=number,
    )


def _line(utterance: Utterance, folder: Path) -> str:
    line = json.dumps(_record(utterance, folder), ensure_ascii=False) + "\n"
    if not is_text(line):  # Python reads the bytes of a file's name that are not UTF-8 as lone surrogates
        name = shown(utterance.audio_filepath)
        raise ManifestError(f"{name}: name, text, speaker or id is not Unicode; rename the recording, or correct them")
    return line


def _record(utterance: Utterance, folder: Path) -> dict[str, Any]:
    """The fields of an utterance as they are written; those that have their default value are left out."""
    audio = utterance.audio_filepath.absolute()
    optional = {"offset": utterance.offset, "speaker": utterance.speaker, "id": utterance.id}
    return {
        "audio_filepath": str(audio.relative_to(folder) if audio.is_relative_to(folder) else audio),
        "duration": utterance.duration,
        "text": utterance.text,
    } | {name: value for name, value in optional.items() if value}

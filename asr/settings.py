"""Settings: frozen, validated, read from TOML, where a file may be based on another. An unknown key is an error."""

import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from asr.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


def _least_first(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the least comes first, then the greatest; exchange them")
    return limits


LeastFirst = AfterValidator(_least_first)
"""Of a pair of numbers, beside its type."""
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""One name may stand for a list of one."""


class Settings(BaseModel):
    """Base of every table: immutable, and strict about keys and numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True, slots=True)
class _File:
    """A TOML file as it was read."""

    path: Path
    source: str
    values: dict[str, Any]


def read_settings(
    kind: type[SettingsT],
    path: Path | str | None,
    overrides: Sequence[str] = (),
    files: Mapping[str, Collection[str]] = MappingProxyType({}),
    own: Collection[str] = (),
) -> SettingsT:
    """Read and validate a TOML file as settings of class `kind`; without a file, the overrides are all there is.

    A file may begin with `base = "other.toml"`: then it says only what differs from that file, key by key.

    Args:
        kind: the class.
        path: a TOML file.
        overrides: `table.key=value` each, put in the place of what the file says.
        files: tables with keys that name files, relative to the TOML file that says so; they become relative to here,
            as those in `overrides` are.
        own: tables that hold for the TOML file that has them, and not for those based on it.

    Raises:
        ConfigError: as `load_recipe`.
    """
    sources = _read_with_bases(Path(path)) if path is not None else [_File(Path("settings"), "", {})]
    values: dict[str, Any] = {}
    for source in reversed(sources):
        kept = {name: value for name, value in values.items() if name not in own}
        values = _merge(kept, _place(source, files))
    for override in overrides:
        _apply(values, override, files)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, kind, sources, overrides)) from None


def _read_with_bases(path: Path) -> list[_File]:
    """The file, the file it is based on, and so on."""
    files: list[_File] = []
    while True:
        file = _read(path)
        base = file.values.pop("base", None)
        files.append(file)
        if base is None:
            return files
        where = f"{path}:{_line_of(['base'], file.source)}: base"
        if not isinstance(base, str):
            raise ConfigError(f"{where}: {base!r} is not the name of a recipe; give one, e.g. base = 'default.toml'")
        path = path.parent / base
        if not path.is_file():
            raise ConfigError(f"{where}: no such recipe {path}; names are relative to the file that says them")
        if any(path.resolve() == earlier.path.resolve() for earlier in files):
            raise ConfigError(f"{where}: {path} is based on this file itself; remove one of the two")


def _read(path: Path) -> _File:
    try:
        source = path.read_text(encoding="utf-8-sig")
        return _File(path, source, tomllib.loads(source))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe; see the folder recipes/ for examples") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a recipe ({error}); give a TOML file") from None


def _place(file: _File, names: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """What the file says, its folder put before names of files."""
    placed = dict(file.values)
    for table, keys in names.items():
        if isinstance(settings := placed.get(table), dict):
            placed[table] = {
                key: _beside(file.path, value) if key in keys else value for key, value in settings.items()
            }
    return placed


def _beside(path: Path, value: Any) -> Any:
    """Names of files that lie beside `path`, none for an empty one; what is no name is left to validation."""
    if isinstance(value, list):
        return [_beside(path, name) for name in value]
    if not isinstance(value, str):
        return value
    return str(path.parent / value) if value else None  # an absolute name stays as it is


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """What is said above goes before what is said below; tables are merged, lists are not."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def parse_settings(kind: type[SettingsT], values: Any, where: str) -> SettingsT:
    """Validate `values` as settings of class `kind`; errors are told as `where: key: what`.

    Raises:
        ConfigError: a key is unknown or a value impossible.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, kind, [_File(Path(where), "", {})], ())) from None


def _apply(values: dict[str, Any], override: str, files: Mapping[str, Collection[str]]) -> None:
    """Put what an override says among the values."""
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set {override}: not a setting; write table.key=value, e.g. training.epochs=10")
    table = values
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {name} is a value, not a table; write table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    is_file = len(names) == 2 and names[1] in files.get(names[0], ())
    table[names[-1]] = _beside(Path("here"), value) if is_file else value


def _explain(error: ValidationError, kind: type[Settings], files: Sequence[_File], overrides: Sequence[str]) -> str:
    """One line for the first problem: file, line of the key, what is wrong, what is possible."""
    first = error.errors()[0]
    names = [str(part) for part in first["loc"] if isinstance(part, str)]
    key = ".".join(names)
    lines = ((file.path, _line_of(names, file.source)) for file in files)
    where = next((f"{path}:{line}" for path, line in lines if line), str(files[0].path))
    if any(override.split("=")[0].strip() == key for override in overrides):
        where = f"--set {key}"
    if first["type"] == "extra_forbidden":
        known = ", ".join(_known(kind, names[:-1]))
        return f"{where}: unknown key {key}; known keys here: {known}"
    if first["type"] == "missing":
        return f"{where}: {key} is required; add it"
    got = "" if isinstance(first["input"], dict) else f" (got {json.dumps(first['input'], default=str)})"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {key or 'recipe'}: {message}{got}"


def _known(kind: type[Settings], names: Sequence[str]) -> list[str]:
    fields = kind.model_fields
    for name in names:
        annotation = fields[name].annotation if name in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, Settings)):
            return []
        fields = annotation.model_fields
    return sorted(fields)


def _line_of(names: Sequence[str], source: str) -> int | None:
    """The line (from 1) on which a key is set, or else its table opens."""
    if not names:
        return None
    table, wanted, opened = "", ".".join(names[:-1]), None
    for number, line in enumerate(source.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]+", line):
            table = header[1]
            if table in (wanted, ".".join(names)):
                opened = number
        elif table == wanted and re.match(rf"\s*[\"']?{re.escape(names[-1])}[\"']?\s*[=.]", line):
            return number
    return opened

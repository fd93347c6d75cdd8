"""Pictures are written complete or not at all."""

import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from asr.errors import ConfigError
from asr.picture import check_format, save_picture


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a", b"\x89PNG")])
def test_the_ending_says_in_which_format(tmp_path: Path, name: str, begins: bytes) -> None:
    save_picture(Figure(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.png", "a.PDF", "a"])
def test_a_known_format_passes(name: str) -> None:
    check_format(Path(name))


@pytest.mark.parametrize("name", ["a.nonsense", "missing/a.png"])
def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written as a picture .*; name another"):
        save_picture(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_take_each_others_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Figure):
        def savefig(self, *arguments: object, **options: object) -> None:
            super().savefig(*arguments, **options)  # type: ignore[arg-type]
            with monkeypatch.context() as other_process:
                other_process.setattr(os, "getpid", lambda: 1)
                save_picture(Figure(), tmp_path / "a.png")

    save_picture(Interrupted(), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

"""Pictures are written complete or not at all."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from asr.errors import ConfigError
from asr.picture import save_picture


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a", b"\x89PNG")])
def test_the_ending_says_in_which_format(tmp_path: Path, name: str, begins: bytes) -> None:
    save_picture(Figure(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.nonsense", "missing/a.png"])
def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written as a picture .*; name another"):
        save_picture(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())

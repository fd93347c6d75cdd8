"""Texts are written whole or not at all."""

from pathlib import Path

import pytest

from asr.errors import AsrError
from asr.whole import write_text


def test_a_text_is_written_complete_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "new/talk.txt", "ünïcode\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "new/talk.txt", "half\ud800")
    [found] = (tmp_path / "new").iterdir()
    assert (found.name, found.read_text(encoding="utf-8")) == ("talk.txt", "ünïcode\n")
    with pytest.raises(AsrError, match=r"talk\.txt/no: cannot be written \(.*\); choose another place"):
        write_text(tmp_path / "new/talk.txt/no", "lost")

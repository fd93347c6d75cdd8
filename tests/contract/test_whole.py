"""What is written whole is there as before or as after, whatever happens meanwhile."""

from pathlib import Path

import pytest

from asr.errors import AsrError
from asr.whole import replace_folder, write_text


def test_a_text_is_written_complete_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "new/talk.txt", "ünïcode\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "new/talk.txt", "half\ud800")
    [found] = (tmp_path / "new").iterdir()
    assert (found.name, found.read_text(encoding="utf-8")) == ("talk.txt", "ünïcode\n")
    with pytest.raises(AsrError, match=r"talk\.txt/no: cannot be written \(.*\); choose another place"):
        write_text(tmp_path / "new/talk.txt/no", "lost")


def folders(tmp_path: Path) -> tuple[Path, Path]:
    fresh, old = tmp_path / "fresh", tmp_path / "old"
    for folder in (fresh, old):
        folder.mkdir()
        (folder / "says").write_text(folder.name, encoding="utf-8")
    return fresh, old


def test_a_folder_takes_the_place_of_another_or_of_none(tmp_path: Path) -> None:
    fresh, old = folders(tmp_path)
    replace_folder(fresh, old)
    assert (old / "says").read_text(encoding="utf-8") == "fresh"
    replace_folder(old, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
@pytest.mark.parametrize("step", [1, 2])
def test_between_the_steps_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException]
) -> None:
    fresh, old = folders(tmp_path)
    steps, replace = iter(range(1, 9)), Path.replace

    def stop(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(error):
        replace_folder(fresh, old)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "old"]
    assert (old / "says").read_text(encoding="utf-8") == "old"

"""Books: a small one in each of their layouts, then the real ones."""

import gzip
from pathlib import Path

import pytest
from preparers import preparer, real

from asr.errors import CorpusError

text = preparer("text")
BOOK = """Title, by the Project Gutenberg
***START**THE SMALL PRINT!**
Legal words.
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

CHAPTER I

Mr. Brown was
well-known--to _all_ of them. "Was he?" said
Mrs. Brown.

He was
End of The Project Gutenberg Etext of Title
More legal words.
"""
SENTENCES = ["CHAPTER I", "Mr. Brown was well known to all of them.", '"Was he?" said Mrs. Brown.', "He was"]


def test_a_book_becomes_sentences() -> None:
    assert list(text.sentences(BOOK)) == SENTENCES
    assert list(text.sentences(BOOK.replace("\n", "\r\n"))) == SENTENCES


def test_newer_marks_and_none() -> None:
    marks = "*** START OF THE PROJECT GUTENBERG EBOOK X ***", "*** END OF THE PROJECT ***", "*END*THE SMALL PRINT"
    newer = "Licence.\n{}\nOne. Two!\n{}\nMore.\n{}\n".format(*marks)
    assert list(text.sentences(newer)) == ["One.", "Two!"]
    assert list(text.sentences("One. Two!\n\nthree")) == ["One.", "Two!", "three"]


def test_books_are_written_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(BOOK.encode()))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("Caf\u00e9.".encode("latin-1")))
    text.prepare(tmp_path, tmp_path)
    assert (tmp_path / "books.txt").read_text(encoding="utf-8").splitlines() == [*SENTENCES, "Caf\u00e9."]
    assert "2 books, 5 sentences" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(BOOK.encode())[:-9])
    with pytest.raises(CorpusError, match=r"a\.txt\.gz: cannot be read"):
        text.prepare(tmp_path, tmp_path)


def test_so_is_one_with_a_wrong_byte_and_a_folder_is_made(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(BOOK.encode()))
    (tmp_path / "a.txt.gz").write_bytes(packed)
    text.prepare(tmp_path, tmp_path / "new")
    assert (tmp_path / "new/books.txt").is_file()
    packed[12] ^= 0xFF
    (tmp_path / "a.txt.gz").write_bytes(packed)
    with pytest.raises(CorpusError, match=r"a\.txt\.gz: cannot be read"):
        text.prepare(tmp_path, tmp_path)


def test_without_books_it_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ASR_CORPORA", raising=False)
    monkeypatch.setattr("sys.argv", ["prepare.py"])
    assert text.main() == 1
    assert "give their folder with --source DIR, or set ASR_CORPORA" in capsys.readouterr().err


def test_the_real_ones(tmp_path: Path) -> None:
    text.prepare(real("text"), tmp_path)
    lines = (tmp_path / "books.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 41943
    assert not any("small print" in line.lower() for line in lines)

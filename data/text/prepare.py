"""Write English books as sentences, a line each, for language models. See README.md beside this file."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from asr.dataset.corpus import VARIABLE, Corpus, locate, parser, report
from asr.errors import CorpusError, LanguageModelError
from asr.lm.files import read_bytes, write_bytes

HERE = Path(__file__).resolve().parent
CORPUS = Corpus(name="text", marker="austen-emma.txt.gz", archives=())

BOOKS = "books.txt"
BEGIN = re.compile(r"^.*(?:\*END\*THE SMALL PRINT|\*\*\* ?START OF TH).*$", re.MULTILINE)
END = re.compile(r"^(?:End of (?:the )?Project Gutenberg|\*\*\* ?END OF TH).*$", re.MULTILINE | re.IGNORECASE)
"""The lines between which the publisher has put the book."""
SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?][\"')\]]*\s+(?=[\"'(\[]*[A-Z])")


def sentences(book: str) -> Iterator[str]:
    """The sentences of a book as Project Gutenberg has it, without their line breaks, dashes and marks of emphasis."""
    inside = book[begin.end() :] if (begin := BEGIN.search(book)) else book
    if end := END.search(inside):
        inside = inside[: end.start()]
    for paragraph in re.split(r"\n\s*\n", inside.replace("\r", "")):
        words = " ".join(re.sub(r"[-_*]", " ", paragraph).split())
        first = 0
        for mark in SENTENCE_END.finditer(words):
            yield words[first : mark.end()].rstrip()
            first = mark.end()
        if words[first:]:
            yield words[first:]


def read(path: Path) -> str:
    """A book; the older ones are not in UTF-8."""
    try:
        raw = read_bytes(path)
    except LanguageModelError as error:
        raise CorpusError(f"{path}: cannot be read ({error}); get a fresh copy") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def prepare(source: Path, out: Path) -> None:
    """Write the sentences of all books, whole or not at all."""
    books = {path: list(sentences(read(path))) for path in sorted(source.glob("*.txt.gz"))}
    lines = [sentence for book in books.values() for sentence in book]
    write_bytes(out / BOOKS, (f"{line}\n".encode() for line in lines))
    words = sum(len(line.split()) for line in lines)
    print(f"{out / BOOKS}: {len(books)} books, {len(lines)} sentences, {words} words")


def main() -> int:
    """Run from the command line. Returns the exit status."""
    arguments = parser(__doc__ or "", HERE)
    arguments.add_argument("--source", type=Path, help=f"folder of the books (default: ${VARIABLE}/{CORPUS.name})")
    options = arguments.parse_args()

    def work() -> None:
        source = locate(CORPUS, options.source)
        if source is None:
            raise CorpusError(
                "text: the books are not here, and there is no archive of them to download; give their folder with "
                f"--source DIR, or set {VARIABLE} to the folder that holds {CORPUS.name}/"
            )
        prepare(source, options.out.absolute())

    return report(work)


if __name__ == "__main__":
    sys.exit(main())

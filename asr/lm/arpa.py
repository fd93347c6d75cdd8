r"""ARPA files: the text form of n-gram models that every toolkit reads and writes.

    \data\
    ngram 1=7422
    ngram 2=64996

    \1-grams:
    -1.8934984 the -0.4129219
    ...
    \end\

A line is the base-10 logarithm of the probability, the words, and except in the highest order that of the back-off
weight, which may be left out when it is 0. Blanks and tabs, and both kinds of line ends, are taken alike.
"""

import codecs
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.errors import LanguageModelError
from asr.lm import scan
from asr.lm.build import Builder
from asr.lm.files import read_bytes, write_bytes
from asr.lm.ngram import ABSENT_LOG10, NgramModel
from asr.lm.vocabulary import BEGIN, END, MARKS, UNKNOWN, Vocabulary

ROWS = 1 << 16
"""N-grams written at a time."""
PROBLEMS = {
    scan.TOO_MANY: "more {order}-grams than the header promises; correct it, or copy the file again",
    scan.NOT_A_NUMBER: "{field!r} is not a number; write: log10 probability, {order} word(s), log10 back-off",
    scan.POSITIVE: "the log10 probability is {field}, a probability above 1; write a number not greater than 0",
    scan.TOO_FEW: "fewer than {order} words; write: log10 probability, {order} word(s), log10 back-off",
    scan.UNKNOWN_WORD: "the word {field!r} is not among the 1-grams; add it there, or leave this line out",
    scan.BACKOFF: "a back-off weight in the highest order, where nothing backs off; leave it out",
    scan.TOO_MUCH: "something behind the back-off weight, {field!r}; write one n-gram a line",
}


class _Reader:
    """One file being read: its bytes, and where in them reading has come to."""

    def __init__(self, path: Path) -> None:
        self.path, self.raw = path, _in_lower_case(read_bytes(path).removeprefix(codecs.BOM_UTF8))
        self.text = np.frombuffer(self.raw, np.uint8)
        self.counts = self._header()
        self.section = 0
        """Where the lines of the current section begin."""

    def error(self, position: int, what: str) -> LanguageModelError:
        line = self.raw.count(b"\n", 0, position) + 1
        return LanguageModelError(f"{self.path}:{line}: {what}")

    def error_in_row(self, row: int, what: str) -> LanguageModelError:
        """An error in the row-th n-gram of the current section, counted from 0."""
        lines = re.compile(rb"[^\n]*\S[^\n]*").finditer(self.raw, self.section)
        return self.error(next(itertools.islice(lines, row, None)).start(), what)

    def _header(self) -> list[int]:
        begin = re.search(rb"^\\data\\[ \t\r]*$", self.raw, re.M)
        if begin is None:
            what = r"no line \data\, so not an ARPA file; give one, or what `asr lm train` wrote"
            raise LanguageModelError(f"{self.path}: {what}")
        self.position = begin.end()
        counts: list[int] = []
        while line := re.compile(rb"\s*ngram\s+(\d+)\s*=\s*(\d+)[ \t\r]*$", re.M).match(self.raw, self.position):
            counts.append(int(line[2]))
            if int(line[1]) != len(counts):
                raise self.error(
                    line.start(1), f"expected the number of {len(counts)}-grams; list all orders from 1 on"
                )
            if counts[-1] > len(self.raw):
                raise self.error(line.start(1), "promises more n-grams than the file has bytes; copy it again")
            self.position = line.end()
        if not counts:
            raise self.error(self.position, "no line such as `ngram 1=1000` follows; copy the file again")
        return counts

    def open_section(self, order: int) -> None:
        """Go on to the lines of the n-grams of an order."""
        heading = re.compile(rb"\s*\\%d-grams:[ \t\r]*$" % order, re.M).match(self.raw, self.position)
        if heading is None:
            self._unexpected(rf"\{order}-grams:")
        else:
            self.section = self.position = heading.end()

    def close(self) -> None:
        """Expect the mark of the end."""
        if re.compile(rb"\s*\\end\\(\s|$)").match(self.raw, self.position) is None:
            self._unexpected("\\end\\")

    def _unexpected(self, expected: str) -> None:
        position = self.position + len(re.compile(rb"\s*").match(self.raw, self.position)[0])  # type: ignore[index]
        if position == len(self.raw):
            raise self.error(position, f"the file ends before {expected}; it is cut off, copy it again")
        raise self.error(position, f"expected {expected}; copy the file again")

    def advance(self, order: int, rows: int, position: int, problem: int) -> None:
        """Take what scanning a section has come to.

        Raises:
            LanguageModelError: a line is wrong, or there are fewer than promised.
        """
        self.position = position
        if problem:
            field = re.compile(rb"\S*").match(self.raw, position)[0].decode(errors="replace")  # type: ignore[index]
            raise self.error(position, PROBLEMS[problem].format(order=order, field=field))
        promised = self.counts[order - 1]
        if rows < promised:
            what = f"{rows} {order}-grams, but the header promises {promised}"
            raise self.error(position, f"{what}; the file is cut off or was edited, copy it again")


def _in_lower_case(raw: bytes) -> bytes:
    """A file that writes <unk> in capitals, as some programs do, in small letters."""
    mark = MARKS[UNKNOWN - 1]
    if mark.upper() not in raw:  # found out far sooner than by an expression
        return raw
    small, large = (re.compile(rb"(?<=[ \t])%s(?=\s)" % each) for each in (mark, mark.upper()))
    return raw if small.search(raw) else large.sub(mark, raw)


def read_arpa(path: Path | str) -> NgramModel:
    """Read an ARPA file, plain or gzip.

    <UNK> is <unk>, as in KenLM, and a model without gets the one of KenLM, see `NgramModel`. N-grams may be there
    whose suffix was pruned.

    Raises:
        LanguageModelError: the file is missing, cut off, or a line is wrong; names file, line and remedy.
    """
    reader = _Reader(Path(path))
    vocabulary, log10_prob, log10_backoff, has_unknown = _read_unigrams(reader)
    counts = [len(vocabulary), *reader.counts[1:]]
    builder = Builder(counts)
    ids = np.arange(1, len(vocabulary) + 1, dtype=np.int32)
    builder.add(np.zeros_like(ids), ids, log10_prob, log10_backoff)
    letters, ends, table = vocabulary.letters, vocabulary.ends, vocabulary.table
    for order, count in enumerate(counts[1:], start=2):
        reader.open_section(order)
        words, numbers = np.empty((count, order), np.int32), np.empty((count, 2), np.float32)
        highest = order == len(counts)
        found = scan.ngrams(reader.text, reader.position, highest, letters, ends, table, words, numbers)
        reader.advance(order, *found)
        contexts = builder.contexts(words[:, :-1])
        if (contexts < 0).any():
            row = int((contexts < 0).argmax())
            context = " ".join(vocabulary.word(int(word)) for word in words[row, :-1])
            what = f"its context {context!r} is not among the {order - 1}-grams; add it there, or leave this line out"
            raise reader.error_in_row(row, what)
        repeated = builder.add(contexts, words[:, -1], numbers[:, 0], numbers[:, 1])
        if len(repeated):
            raise reader.error_in_row(int(repeated.min()), "this n-gram is there twice; leave one out")
    reader.close()
    return NgramModel(tuple(counts), *builder.finish(), vocabulary, has_unknown)


def _read_unigrams(reader: _Reader) -> tuple[Vocabulary, NDArray[np.float32], NDArray[np.float32], bool]:
    """The words, and by their ids their log10 probabilities and back-offs; whether there is an <unk>."""
    reader.open_section(1)
    spans, numbers = np.empty((reader.counts[0], 2), np.int64), np.empty((reader.counts[0], 2), np.float32)
    found = scan.unigrams(reader.text, reader.position, len(reader.counts) == 1, spans, numbers)
    reader.advance(1, *found)
    rows: dict[bytes, int] = {}
    for row, (begin, end) in enumerate(spans.tolist()):
        word = reader.raw[begin:end]
        if rows.setdefault(word, row) != row:
            raise reader.error(begin, f"the word {word.decode(errors='replace')!r} is there twice; leave one out")
        try:
            word.decode()
        except UnicodeDecodeError:
            raise reader.error(begin, f"{word!r} is not UTF-8; convert the file to UTF-8") from None
    for mark in (MARKS[BEGIN - 1], MARKS[END - 1]):
        if mark not in rows:
            raise reader.error(reader.section, f"{mark.decode()} is not among the 1-grams; train with sentence ends")
    vocabulary = Vocabulary.of(rows)
    ids = np.empty(len(rows), np.int32)
    scan.identify(reader.text, spans, vocabulary.letters, vocabulary.ends, vocabulary.table, ids)
    log10_prob, log10_backoff = (
        np.full(len(vocabulary), ABSENT_LOG10, np.float32),
        np.zeros(len(vocabulary), np.float32),
    )
    log10_prob[ids - 1], log10_backoff[ids - 1] = numbers[:, 0], numbers[:, 1]
    return vocabulary, log10_prob, log10_backoff, MARKS[UNKNOWN - 1] in rows


def write_arpa(model: NgramModel, path: Path | str) -> None:
    """Write a model as an ARPA file, complete or not at all; gzip if the name ends in `.gz`.

    Numbers have as many digits as it takes to read back the very same float32.

    Raises:
        LanguageModelError: the file cannot be written.
    """
    path = Path(path)
    write_bytes(path, _pieces(model), compress=path.suffix == ".gz")


def _pieces(model: NgramModel) -> Iterator[bytes]:
    first = 0 if model.has_unknown else 1
    counts = [model.counts[0] - first, *model.counts[1:]]
    lines = [f"ngram {order}={count}" for order, count in enumerate(counts, start=1)]
    yield "\n".join(["\\data\\", *lines, ""]).encode()
    names = ["", *model.vocabulary]
    for order, (words, log10_prob, log10_backoff) in enumerate(model.ngrams(), start=1):
        yield f"\n\\{order}-grams:\n".encode()
        for begin in range(first if order == 1 else 0, len(words), ROWS):
            part = slice(begin, begin + ROWS)
            spelled = (" ".join([names[word] for word in row]) for row in words[part].tolist())
            columns = [log10_prob[part].astype(str).tolist(), spelled]
            if order < model.order:
                columns.append(log10_backoff[part].astype(str).tolist())
            yield ("\n".join(map("\t".join, zip(*columns, strict=True))) + "\n").encode()
    yield b"\n\\end\\\n"

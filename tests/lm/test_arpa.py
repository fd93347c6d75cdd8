"""ARPA files: every freedom the format leaves, and every way to break it."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.lm import load, read_arpa, write_arpa
from asr.lm.scan import number

RIGHT = """made by hand

\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1.5 <unk>
-99\t<s>\t-0.5
-1.0 </s>
-0.75 grüß -0.25

\\2-grams:
-0.25 <s> grüß
-1e-1 grüß </s>

\\end\\
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.arpa"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_is_read(tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, RIGHT))
    (words, prob, backoff), (pairs, pair_prob, none) = model.ngrams()
    assert words.tolist() == [[1], [2], [3], [4]]
    assert prob.tolist() == [-1.5, -99.0, -1.0, -0.75]
    assert backoff.tolist() == [0.0, -0.5, 0.0, -0.25]
    assert pairs.tolist() == [[2, 4], [4, 3]]
    assert pair_prob.tolist() == [-0.25, np.float32(-0.1)]
    assert none.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n-", "\n\n  -"),
        lambda text: text.replace("-0.25 <s> grüß", "-.25   <s>  grüß \t 0.0 "),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("ngram 1=4", "ngram  1 = 4"),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_freedoms_of_the_format(tmp_path: Path, change) -> None:
    expected, changed = tmp_path / "expected", tmp_path / "changed"
    write_arpa(read_arpa(written(tmp_path, RIGHT)), expected)
    write_arpa(load(written(tmp_path, change(RIGHT))), changed)
    assert changed.read_text() == expected.read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\data\\", "data", r": no line \\data\\, so not an ARPA file"),
        ("ngram 1=4\nngram 2=2", "", ":3: no line such as `ngram 1=1000` follows"),
        ("ngram 2", "ngram 3", ":5: expected the number of 2-grams"),
        ("\\1-grams", "1-grams", r":7: expected \\1-grams:; copy"),
        ("\\2-grams", "\\3-grams", r":13: expected \\2-grams:"),
        ("\\end\\", "", r":18: the file ends before \\end\\; it is cut off"),
        ("\\end\\", "\\ende", r":17: expected \\end\\"),
        ("1=4", "1=5", ":13: 4 1-grams, but the header promises 5"),
        ("1=4", "1=3", ":11: more 1-grams than the header promises"),
        ("2=2", "2=1", ":15: more 2-grams than the header promises"),
        ("-1.5 <unk>", "<unk>", ":8: '<unk>' is not a number; write: log10 probability, 1 word"),
        ("-1.5", "1.5", ":8: the log10 probability is 1.5, a probability above 1"),
        ("-1.5", "nan", ":8: 'nan' is not a number"),
        ("-1.5", "-1.5.0", ":8: '-1.5.0' is not a number"),
        ("-1.5 <unk>", "-1.5", ":8: fewer than 1 words"),
        ("grüß -0.25", "grüß Gott -0.25", ":11: 'Gott' is not a number"),
        ("grüß -0.25", "grüß -0.25 x", ":11: something behind the back-off weight, 'x'"),
        ("-1e-1 grüß </s>", "-1e-1 grüß", ":15: fewer than 2 words"),
        ("-1e-1 grüß", "-1e-1 dich", ":15: the word 'dich' is not among the 1-grams; add it there"),
        ("grüß </s>", "grüß </s> -1", ":15: a back-off weight in the highest order"),
        ("-1e-1 grüß </s>", "-1e-1 <s> grüß", ":15: this n-gram is there twice; leave one out"),
        ("<unk>", "grüß", ":11: the word 'grüß' is there twice"),
        ("-99\t<s>\t-0.5\n", "-1 x\n", ":7: <s> is not among the 1-grams; train with sentence ends"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RIGHT
    with pytest.raises(LanguageModelError, match=rf"m\.arpa{said}") as caught:
        read_arpa(written(tmp_path, RIGHT.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_context_that_is_missing_is_named(tmp_path: Path) -> None:
    text = RIGHT.replace("ngram 2=2", "ngram 2=2\nngram 3=1")
    text = text.replace("\\end\\", "\\3-grams:\n-1 <unk> grüß </s>\n\n\\end\\")
    with pytest.raises(LanguageModelError, match=r"m\.arpa:19: its context '<unk> grüß' is not among the 2-grams"):
        read_arpa(written(tmp_path, text))


@pytest.mark.parametrize("text", [RIGHT.replace("<unk>", "<UNK>"), "\ufeff" + RIGHT])
def test_what_other_programs_write_is_read_alike(tmp_path: Path, text: str) -> None:
    other, right = (read_arpa(written(tmp_path, each)) for each in (text, RIGHT))
    assert other.has_unknown
    assert list(other.vocabulary) == list(right.vocabulary)
    for mine, expected in zip(other.ngrams(), right.ngrams(), strict=True):
        assert [each.tolist() for each in mine] == [each.tolist() for each in expected]


def test_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"m\.arpa: no line \\data"):
        read_arpa(written(tmp_path, b""))
    with pytest.raises(LanguageModelError, match="damaged or cut off gzip file"):
        read_arpa(written(tmp_path, gzip.compress(RIGHT.encode())[:-20]))
    with pytest.raises(LanguageModelError, match="damaged or cut off gzip file"):
        read_arpa(written(tmp_path, b"\x1f\x8bnonsense"))
    with pytest.raises(LanguageModelError, match=r"m\.arpa:11: b'gr\\xfc\\xdf' is not UTF-8; convert"):
        read_arpa(written(tmp_path, RIGHT.encode("latin-1")))
    for count in ("999999999999", "9" * 30):
        with pytest.raises(LanguageModelError, match=r"m\.arpa:4: promises more n-grams than the file has bytes"):
            read_arpa(written(tmp_path, RIGHT.replace("ngram 1=4", f"ngram 1={count}")))
    with pytest.raises(LanguageModelError, match="cannot be read"):
        read_arpa(tmp_path)
    with pytest.raises(LanguageModelError, match="none: no such file"):
        read_arpa(tmp_path / "none")


def scanned(text: str) -> tuple[float, bool]:
    value, right = number(np.frombuffer(text.encode(), np.uint8), 0, len(text.encode()))
    return float(value), bool(right)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_written_numbers_are_read_exactly(value: float) -> None:
    for text in (str(np.float32(value)), f"{value:.9g}", f"{value:.9e}"):
        assert np.float32(scanned(text)[0]) == np.float32(value)
        assert scanned(text)[1]


@given(st.text("0123456789.eE+- ", max_size=8))
def test_numbers_are_those_that_python_takes(text: str) -> None:
    try:
        expected = float("x" if " " in text else text)
    except ValueError:
        assert not scanned(text)[1]
    else:
        value, right = scanned(text)
        assert right or expected in (float("inf"), -float("inf"))
        if right:
            assert value == pytest.approx(expected, rel=1e-13)


@given(st.binary(max_size=300))
def test_nonsense_is_an_error_and_nothing_worse(tmp_path_factory: pytest.TempPathFactory, nonsense: bytes) -> None:
    folder = tmp_path_factory.mktemp("arpa")
    for text in (nonsense, RIGHT.encode()[:150] + nonsense, RIGHT.encode().replace(b"-0.75", nonsense)):
        try:
            read_arpa(written(folder, text))
        except LanguageModelError as error:
            assert str(folder / "m.arpa") in str(error)  # noqa: PT017

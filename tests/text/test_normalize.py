# ruff: noqa: RUF001  (look-alike characters are what is tested)
import string
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.config import TextConfig
from asr.text.normalize import Normalizer

CONFIGS = [
    TextConfig(),
    TextConfig(case="upper"),
    TextConfig(case="keep", punctuation="keep"),
    TextConfig(keep=""),
    TextConfig(keep="'-’=", drop="x\u0301\u0307ä"),
    TextConfig(drop="'"),
    TextConfig(drop="-'", keep="’"),
    TextConfig(drop="'-", punctuation="keep"),
]
TRICKY = st.text(
    st.sampled_from("aAäÄßxX İIıiΣσς'’‘ʼ＇-‐‑–—.,=\u0301\u0308\u0307\u0338\u0345\u00a0\t\n№√\u00ad\u200b\u200d\x00")
)


def reference(text: str) -> str:
    """The default settings on ASCII letters, digits and marks, spelled out another way."""
    words = []
    for word in "".join(c if c in string.ascii_letters + string.digits + "'-" else " " for c in text).split():
        clean = "".join(
            character if character != "-" or "-" not in (word[:i][-1:] or "-", word[i + 1 :][:1] or "-") else " "
            for i, character in enumerate(word)
        )
        words += clean.lower().split()
    return " ".join(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\tWORLD!\n", "hello world"),
        ("Don’t — stop", "don't stop"),
        ("dogs’ ‘quoted’ ʼtis", "dogs quoted 'tis"),
        ("'cause rock 'n' roll", "'cause rock 'n' roll"),
        ("twenty-five non‐stop A‑B", "twenty-five non-stop a-b"),
        ("- dash --verbose a--b end-", "dash verbose a b end"),
        ("3–4 a_b 50% €", "3 4 a b 50"),
        ("Größe u\u0308ber STRASSE", "größe über strasse"),
        ("İI", "i\u0307i"),
        ("हिन्दी-में", "हिन्दी-में"),
        ("fuß\u00adball \ufeffzero\u200bwidth \u202adirected\u202c", "fußball zerowidth directed"),
        ("nul\x00 bell\x07 new\x85line tab\tend", "nul bell new line tab end"),
        ("e\u200b\u0301", "é"),
        ("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_default(text: str, expected: str) -> None:
    assert Normalizer(TextConfig())(text) == expected


def test_turkish_is_two_replacements() -> None:
    assert Normalizer(TextConfig(replace={"I": "ı", "İ": "i"}))("DİYARBAKIR") == "diyarbakır"


def test_replacements_come_first_in_order_and_see_case() -> None:
    normalizer = Normalizer(TextConfig(replace={"Dr.": "doctor", "&": " and ", "and": "und"}))
    assert normalizer("Dr. A&B dr.") == "doctor a und b dr"


def test_what_nobody_sees_is_gone_before_replacements_unless_they_name_it() -> None:
    assert Normalizer(TextConfig(replace={"ab": "c"}))("a\u00adb") == "c"
    assert Normalizer(TextConfig(replace={"\u200b": " "}))("a\u200bb\u00adc") == "a bc"
    assert Normalizer(TextConfig(punctuation="keep", keep="\u00ad"))("a\u200bb\u00adc") == "ab\u00adc"


def test_replacements_match_decomposed_text() -> None:
    assert Normalizer(TextConfig(replace={"é": "e"}))("cafe\u0301") == "cafe"


def test_drop_sees_characters_after_the_change_of_case() -> None:
    assert Normalizer(TextConfig(drop="\u0307h"))("İHa") == "ia"


def test_dropping_until_nothing_is_left_to_drop() -> None:
    assert Normalizer(TextConfig(drop="xé"))("ex\u0301a") == "a"


def test_apostrophe_not_kept_is_a_space() -> None:
    assert Normalizer(TextConfig(keep=""))("don't don’t donʼt") == "don t don t donʼt"


def test_kept_hyphen_stays_everywhere() -> None:
    assert Normalizer(TextConfig(keep="-"))("- a- b‐c") == "- a- b-c"


def test_punctuation_kept() -> None:
    assert Normalizer(TextConfig(punctuation="keep", case="keep"))("“Hi” - it’s  me.") == "“Hi” - it’s me."


@pytest.mark.parametrize("config", CONFIGS)
@given(text=TRICKY | st.text())
@example("ΑΣ'Σ. a’-b")
def test_twice_is_once(config: TextConfig, text: str) -> None:
    normalizer = Normalizer(config)
    once = normalizer(text)
    assert normalizer(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    assert "  " not in once


@pytest.mark.parametrize("apostrophe", "'’＇ʼ")
@pytest.mark.parametrize("hyphen", "-‐‑")
def test_what_looks_like_a_deleted_mark_is_deleted(apostrophe: str, hyphen: str) -> None:
    normalizer = Normalizer(TextConfig(drop="'-"))
    assert normalizer(f"Don{apostrophe}t co{hyphen}operate") == "dont cooperate"
    assert normalizer.describe() == "NFC, lower case, deleted ' -, punctuation dropped"


@given(st.text(string.printable))
def test_ascii_against_the_rule_spelled_out(text: str) -> None:
    assert Normalizer(TextConfig())(text) == reference(text)


@given(st.text())
def test_canonically_equal_texts_become_equal(text: str) -> None:
    normalizer = Normalizer(TextConfig())
    assert normalizer(unicodedata.normalize("NFD", text)) == normalizer(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (TextConfig(), "NFC, lower case, punctuation dropped except ' and hyphens inside words"),
        (TextConfig(keep=""), "NFC, lower case, punctuation dropped except hyphens inside words"),
        (TextConfig(keep="'-", case="upper"), "NFC, upper case, punctuation dropped except ' -"),
        (
            TextConfig(replace={"&": " and "}, drop="\u0301q", case="keep", punctuation="keep"),
            "NFC, replaced '&' by ' and ', case kept, deleted U+0301 q, punctuation kept",
        ),
    ],
)
def test_describe(config: TextConfig, line: str) -> None:
    assert Normalizer(config).describe() == line

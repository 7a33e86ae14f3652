"""Text from uploads, as a mail or a log line may show it."""

import unicodedata

import pytest

from imagepipeline.printable import printable


@pytest.mark.parametrize(
    "text", ["", "photo.jpg", "Ä ñ 写真 🏔", "a\u3000b\u00a0c", "back\\slash", "👨\u200d👩\u200d👧"]
)
def test_text_that_prints_stays_unchanged(text: str) -> None:
    assert printable(text, 100) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc\0", "a%0Ab%0D%09c%00"),
        ("\x1b[31mred\x9b", "%1B[31mred%C2%9B"),
        ("a\u2028b\u2029c\x85d", "a%E2%80%A8b%E2%80%A9c%C2%85d"),
        ("gpj.\u202eexe\u2066", "gpj.%E2%80%AEexe%E2%81%A6"),
        ("zero\u200bwidth\ufeff", "zero%E2%80%8Bwidth%EF%BB%BF"),
        ("\ud800 alone", "%ED%A0%80 alone"),
        ("\U000e0041", "%F3%A0%81%81"),
    ],
)
def test_characters_that_do_not_print_are_escaped(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


def test_no_control_format_or_line_separator_of_unicode_passes_but_joiners() -> None:
    unprintable = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    characters = "".join(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in unprintable)

    shown = printable(characters, 20_000_000)

    assert set(characters) & set(shown) == {"\u200c", "\u200d"}


def test_a_long_text_ends_with_an_ellipsis_at_the_limit() -> None:
    assert printable("a" * 20, 20) == "a" * 20
    assert printable("a" * 21, 20) == "a" * 19 + "…"


def test_no_escape_is_cut() -> None:
    assert printable("abc\n\n\n", 9) == "abc%0A…"


def test_without_a_limit_a_key_is_shown_whole_however_many_escapes_it_needs() -> None:
    assert printable("\0" * 1024) == "%00" * 1024

"""Text from uploads, as a mail or a log line may show it."""

import unicodedata

import pytest

from imagepipeline.printable import printable


@pytest.mark.parametrize("text", ["", "photo.jpg", "Ä ñ 写真 🏔", "a\u3000b\u00a0c", "back\\slash"])
def test_text_that_prints_stays_unchanged(text: str) -> None:
    assert printable(text, 100) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\ud800 alone", r"\ud800 alone"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_characters_that_do_not_print_are_escaped(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


def test_no_control_format_or_line_separator_of_unicode_passes() -> None:
    shown = printable("".join(map(chr, range(0x110000))), 20_000_000)

    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_a_long_text_ends_with_an_ellipsis_at_the_limit() -> None:
    assert printable("a" * 20, 20) == "a" * 20
    assert printable("a" * 21, 20) == "a" * 19 + "…"


def test_no_escape_is_cut() -> None:
    assert printable("abc\n\n\n", 7) == "abc\\n…"

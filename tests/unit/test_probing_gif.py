"""GIF headers."""

import io
import struct

import pytest
from PIL import Image

from imagepipeline.errors import DamagedImage
from imagepipeline.probing import probe, probe_whole
from tests.unit.samples import CountingSource, encoded


def gif(screen: tuple[int, int], place: tuple[int, int, int, int], flags: int = 0) -> bytes:
    """A GIF of one picture without a colour table."""
    picture = b"," + struct.pack("<HHHHB", *place, flags) + b"\2\2\x4c\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0) + picture + b";"


def test_a_small_screen_does_not_hide_a_large_picture() -> None:
    data = gif((1, 1), (5, 6, 3000, 2000))
    assert Image.open(io.BytesIO(data)).size == (3005, 2006)

    header = probe(CountingSource(data))

    assert (header.width, header.height) == (3005, 2006)


def test_a_picture_smaller_than_its_screen_is_as_large_as_the_screen() -> None:
    header = probe(CountingSource(gif((100, 80), (5, 6, 3, 2))))

    assert (header.width, header.height) == (100, 80)


def test_interlacing_is_recognised() -> None:
    assert probe(CountingSource(gif((9, 9), (0, 0, 9, 9), flags=0x40))).progressive


def test_extensions_before_the_picture_are_skipped() -> None:
    data = encoded("GIF", comment=b"x" * 1000, duration=100)

    assert probe(CountingSource(data)).width == 40


def test_pictures_with_their_own_colour_tables_are_counted() -> None:
    assert probe_whole(encoded("GIF", "RGB", frames=7)).frames == 7


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gif((9, 9), (0, 0, 0, 9)), "0x9"),
        (b"GIF89a" + bytes(7) + b";", "no picture"),
        (b"GIF89a" + bytes(7) + b"\x99" + bytes(20), "no block begins at byte"),
        (b"GIF89a\1\0\1\0", "ends at byte 10"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))

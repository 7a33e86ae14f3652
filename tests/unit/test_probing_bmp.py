"""BMP headers."""

import struct

import pytest

from imagepipeline.errors import DamagedImage, UnsupportedFormat
from imagepipeline.probing import probe
from tests.unit.samples import CountingSource, encoded


def bmp(width: int = 8, height: int = 4, bits: int = 24, compression: int = 0, header_bytes: int = 40) -> bytes:
    """A BMP of `header_bytes` of header and black pixels, without palette."""
    info = struct.pack("<IiiHHI", header_bytes, width, height, 1, bits, compression).ljust(header_bytes, b"\0")
    pixels = bytes((abs(width) * bits + 31) // 32 * 4 * min(abs(height), 1000))
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(pixels), 0, 0, 14 + len(info)) + info + pixels


@pytest.mark.parametrize("header_bytes", [40, 52, 56, 64, 108, 124])
def test_every_version_of_the_header_is_read(header_bytes: int) -> None:
    header = probe(CountingSource(bmp(header_bytes=header_bytes)))

    assert (header.width, header.height, header.color_mode) == (8, 4, "RGB")


def test_the_oldest_header_has_sizes_of_16_bits() -> None:
    core = b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + struct.pack("<IHHHH", 12, 40_000, 2, 1, 24) + bytes(240_000)

    assert probe(CountingSource(core)).width == 40_000


def test_rows_from_the_top_have_a_negative_height() -> None:
    assert probe(CountingSource(bmp(height=-4))).height == 4


def test_alpha_needs_a_mask() -> None:
    with_mask = bytearray(bmp(bits=32, compression=3, header_bytes=108))
    assert probe(CountingSource(bytes(with_mask))).color_mode == "RGB"

    with_mask[14 + 52 : 14 + 56] = b"\0\0\0\xff"

    assert probe(CountingSource(bytes(with_mask))).color_mode == "RGBA"


def test_one_bit_for_each_pixel_is_recognised() -> None:
    assert probe(CountingSource(encoded("BMP", "1"))).bit_depth == 1


def test_run_lengths_are_accepted() -> None:
    assert probe(CountingSource(bmp(bits=8, compression=1))).color_mode == "P"


@pytest.mark.parametrize(("bits", "compression"), [(24, 4), (0, 5), (2, 0), (24, 1), (32, 6)])
def test_what_the_decoder_cannot_read_is_unsupported(bits: int, compression: int) -> None:
    with pytest.raises(UnsupportedFormat, match=f"BMP of {bits} bits a pixel with compression {compression}"):
        probe(CountingSource(bmp(bits=bits, compression=compression)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (bmp(width=0), "0x4"),
        (bmp(width=-8), "-8x4"),
        (bmp(height=0), "8x0"),
        (bmp()[:-1], "pixels need 150 bytes"),
        (bmp(height=2_000_000_000), "pixels need"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))

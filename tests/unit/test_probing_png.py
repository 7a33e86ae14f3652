"""PNG headers."""

import pytest

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.probing import probe, probe_whole
from tests.unit.samples import CountingSource, encoded, png_chunk, png_header, png_with_chunks, raw_png


@pytest.mark.parametrize(
    ("bit_depth", "color_type", "mode"),
    [
        (1, 0, "1"), (2, 0, "L"), (4, 0, "L"), (8, 0, "L"), (16, 0, "I;16"),
        (8, 2, "RGB"), (16, 2, "RGB"),
        (1, 3, "P"), (2, 3, "P"), (4, 3, "P"), (8, 3, "P"),
        (8, 4, "LA"), (16, 4, "LA"),
        (8, 6, "RGBA"), (16, 6, "RGBA"),
    ],
)  # fmt: skip
def test_every_kind_of_png_is_known(bit_depth: int, color_type: int, mode: str) -> None:
    header = probe_whole(raw_png(40, 30, bit_depth, color_type))

    assert (header.bit_depth, header.color_mode, header.pixels) == (bit_depth, mode, 1200)


def test_interlacing_is_told() -> None:
    assert probe_whole(raw_png(40, 30, 8, 2, interlace=1)).progressive
    assert not probe_whole(raw_png(40, 30, 8, 2)).progressive


@pytest.mark.parametrize(("count", "frames"), [(0, 1), (7, 7), (2**31 - 1, 2**31 - 1), (2**31, 1)])
def test_a_number_of_frames_that_no_png_can_state_is_none(count: int, frames: int) -> None:
    animated = png_with_chunks(png_chunk(b"acTL", count.to_bytes(4) + bytes(4)))

    assert probe_whole(animated).frames == frames


def test_a_picture_behind_a_large_chunk_is_jumped_to() -> None:
    source = CountingSource(png_with_chunks(png_chunk(b"eXIf", bytes(20_000_000))))

    header = probe(source)

    assert header.width == 40
    assert len(source.reads) == 2
    assert source.bytes_read < 400_000


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (png_header(width=0) + encoded("PNG")[33:], "0x30"),
        (png_header(height=2**31) + encoded("PNG")[33:], "40x2147483648"),
        (png_header(bit_depth=3) + encoded("PNG")[33:], "colour type 2 with 3 bits"),
        (png_header(interlace=2) + encoded("PNG")[33:], "method does not exist"),
        (encoded("PNG")[:20] + b"\1" + encoded("PNG")[21:], "checksum"),
        (b"\x89PNG\r\n\x1a\n" + encoded("PNG")[33:] + bytes(20), "IHDR"),
        (png_header() + png_chunk(b"IEND", b""), "no picture"),
        (png_header() + bytes(100), "no chunk at byte 33"),
        (png_header(color_type=3) + encoded("PNG")[33:], "no palette"),
        (png_with_chunks(png_chunk(b"PLTE", bytes(4))), "palette has 4 bytes"),
        (png_header(), "ends at byte 33"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))


def test_a_picture_larger_than_any_compression_of_its_bytes_is_damaged() -> None:
    bomb = png_header(10_000, 10_000) + encoded("PNG")[33:]

    with pytest.raises(DamagedImage, match="too few for 10000x10000"):
        probe(CountingSource(bomb))


def test_the_densest_compression_there_is_passes() -> None:
    black = raw_png(5000, 5000, 8, 0)
    assert len(black) < 25_000_000 / 900

    assert probe_whole(black).pixels == 25_000_000


def test_a_png_packed_for_ios_is_unsupported() -> None:
    png = encoded("PNG")

    with pytest.raises(UnsupportedFormat, match="CgBI"):
        probe(CountingSource(png[:8] + png_chunk(b"CgBI", b"\x50\0\x20\2") + png[8:]))


def test_a_thousand_chunks_before_the_picture_are_enough() -> None:
    with pytest.raises(TooComplex, match="chunks"):
        probe(CountingSource(png_with_chunks(png_chunk(b"tEXt", b"a\0b") * 1000)))

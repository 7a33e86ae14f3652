"""PNG headers, and what a whole PNG holds."""

import io
import time
import zlib

import pytest
from PIL import Image

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.probing import png, probe, probe_whole
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
def test_every_kind_of_png_is_recognised(bit_depth: int, color_type: int, mode: str) -> None:
    header = probe_whole(raw_png(40, 30, bit_depth, color_type))

    assert (header.bit_depth, header.color_mode, header.pixels) == (bit_depth, mode, 1200)


def test_interlacing_is_recognised() -> None:
    assert probe_whole(raw_png(40, 30, 8, 2, interlace=1)).progressive
    assert not probe_whole(raw_png(40, 30, 8, 2)).progressive


@pytest.mark.parametrize(("count", "frames"), [(0, 1), (7, 7), (20_000, 1), (2**31, 1)])
def test_an_animation_has_no_more_frames_than_its_file_can_hold(count: int, frames: int) -> None:
    animated = png_with_chunks(png_chunk(b"acTL", count.to_bytes(4) + bytes(4)), png_chunk(b"fdAT", bytes(1000)))

    assert probe_whole(animated).frames == frames


def test_a_large_chunk_before_the_picture_is_skipped() -> None:
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


def test_more_than_a_thousand_chunks_before_the_picture_are_rejected() -> None:
    with pytest.raises(TooComplex, match="chunks"):
        probe(CountingSource(png_with_chunks(png_chunk(b"tEXt", b"a\0b") * 1000)))


# ------------------------------------------------------------------------------------------------------ the whole file


def broken_chunk(kind: bytes, content: bytes) -> bytes:
    return png_chunk(kind, content)[:-1] + b"?"


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf", b"tRNS", b"fcTL", b"abCd"])
def test_an_ancillary_chunk_with_a_wrong_checksum_is_left_out(kind: bytes) -> None:
    contents = png.read_contents(png_with_chunks(broken_chunk(kind, b"name\0\0" + zlib.compress(b"content"))))

    assert contents == (png.read_contents(encoded("PNG")).picture, None, None, None)
    Image.open(io.BytesIO(contents.picture)).load()


@pytest.mark.parametrize("kind", [b"PLTE", b"IDAT", b"ABCD"])
def test_a_critical_chunk_with_a_wrong_checksum_is_damage(kind: bytes) -> None:
    with pytest.raises(DamagedImage, match=f"the {kind.decode()} chunk at byte 33 fails its checksum"):
        png.read_contents(png_with_chunks(broken_chunk(kind, bytes(6))))


def test_pixels_after_another_chunk_are_left_out_as_viewers_do() -> None:
    data = encoded("PNG")
    end = data.index(b"IEND") - 4

    contents = png.read_contents(data[:end] + png_chunk(b"tEXt", b"a\0b") + png_chunk(b"IDAT", b"more") + data[end:])

    assert contents.picture == png.read_contents(data).picture


def test_a_profile_and_exif_are_found_anywhere() -> None:
    data = encoded("PNG")
    end = data.index(b"IEND") - 4
    profile = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(b"profile"))

    contents = png.read_contents(data[:33] + profile + data[33:end] + png_chunk(b"eXIf", b"II*\0") + data[end:])

    assert (contents.profile, contents.exif) == (b"profile", b"II*\0")


@pytest.mark.parametrize("keyword", [b"Raw profile type exif", b"Raw profile type APP1"])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt compressed"])
def test_exif_in_a_text_chunk_of_imagemagick_is_found(keyword: bytes, kind: bytes) -> None:
    text = b"\nexif\n      10\n" + b"457869660000\n49492a00\n"
    content = {
        b"tEXt": text,
        b"zTXt": b"\0" + zlib.compress(text),
        b"iTXt": b"\0\0en\0keyword\0" + text,
        b"iTXt compressed": b"\1\0\0\0" + zlib.compress(text),
    }[kind]

    assert png.read_contents(png_with_chunks(png_chunk(kind[:4], keyword + b"\0" + content))).exif == b"Exif\0\0II*\0"


@pytest.mark.parametrize("text", [b"", b"\nexif\n", b"\nexif\n4\nnot hexadecimal", b"\nexif\n4\n\xff\xff"])
def test_a_broken_text_chunk_of_imagemagick_is_no_exif(text: bytes) -> None:
    chunk = png_chunk(b"tEXt", b"Raw profile type exif\0" + text)

    assert png.read_contents(png_with_chunks(chunk)).exif is None


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("keyword", [b"name", b"Raw profile type exif"])
def test_compressed_chunks_cost_no_more_than_the_limit(kind: bytes, keyword: bytes) -> None:
    stream = zlib.compress(bytes(4_000_000))[:-4] + b"????"  # just under the limit, with a wrong checksum at its end
    bomb = png_with_chunks(png_chunk(kind, keyword + (b"\0\1\0\0\0" if kind == b"iTXt" else b"\0\0") + stream) * 2000)
    started = time.process_time()

    png.read_contents(bomb)

    assert time.process_time() - started < 1  # inflating all of them takes a dozen seconds


def test_a_profile_that_inflates_beyond_the_limit_is_cut_off() -> None:
    chunk = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(20_000_000)))

    assert len(png.read_contents(png_with_chunks(chunk)).profile or b"") == png.MAX_INFLATED_BYTES


def test_a_picture_cut_into_too_many_chunks_is_refused() -> None:
    data = raw_png(40, 30, 8, 2)
    end = data.index(b"IEND") - 4
    bomb = data[:end] + png_chunk(b"IDAT", b"") * 100_000 + data[end:]

    with pytest.raises(TooComplex, match="100,000 chunks"):
        png.read_contents(bomb)

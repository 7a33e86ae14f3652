"""JPEG headers."""

import io
import struct

import pytest
from PIL import Image

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.probing import probe, probe_whole
from imagepipeline.probing.jpeg import MAX_SCANS, count_scans
from imagepipeline.probing.ranges import KIB
from imagepipeline.rendering import decoding
from tests.unit.samples import CountingSource, encoded, jpeg_with_segments

ICC = b"\xe2ICC_PROFILE\0"


def sof(marker: int, precision: int = 8, height: int = 30, width: int = 40, components: int = 3) -> bytes:
    """A JPEG of nothing but a frame header and a scan header."""
    frame = struct.pack(">BHHB", precision, height, width, components) + b"".join(
        bytes((number, 0x11, 0)) for number in range(1, components + 1)
    )
    scan = bytes((components,)) + bytes(2 * components) + b"\0\x3f\0"
    return (
        b"\xff\xd8\xff"
        + bytes((marker,))
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xda"
        + struct.pack(">H", len(scan) + 2)
        + scan
    )


def test_a_picture_behind_a_large_profile_costs_few_requests() -> None:
    profile = [ICC + bytes((part, 7)) + bytes(60_000) for part in range(1, 8)]
    source = CountingSource(jpeg_with_segments(*profile, size=(640, 480)))

    header = probe(source)

    assert (header.width, header.height) == (640, 480)
    assert len(source.reads) <= 3
    assert source.bytes_read < 1100 * KIB


def test_the_size_is_not_that_of_the_embedded_thumbnail() -> None:
    thumbnail = encoded("JPEG", size=(16, 12))

    header = probe(CountingSource(jpeg_with_segments(b"\xe1Exif\0\0" + thumbnail, size=(640, 480))))

    assert (header.width, header.height) == (640, 480)


@pytest.mark.parametrize(("transform", "mode"), [(0, "CMYK"), (2, "YCCK")])
def test_adobes_marker_distinguishes_ycck(transform: int, mode: str) -> None:
    data = sof(0xC0, components=4)
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes((transform,))

    header = probe(CountingSource(data[:2] + adobe + data[2:]))

    assert header.color_mode == mode


@pytest.mark.parametrize("marker", [0xC2, 0xCA])
def test_a_progressive_picture_is_recognised(marker: int) -> None:
    assert probe(CountingSource(sof(marker))).progressive
    assert not probe(CountingSource(sof(0xC0))).progressive


def test_a_sequential_picture_in_several_scans_counts_as_progressive() -> None:
    data = sof(0xC0)
    scan_at = data.index(b"\xff\xda")

    header = probe(CountingSource(data[:scan_at] + b"\xff\xda\0\x08\1\1\0\0\x3f\0"))

    assert header.progressive


def test_arithmetic_coding_is_accepted() -> None:
    assert probe(CountingSource(sof(0xC9))).pixels == 1200


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xCB, 0xCF])
def test_lossless_and_hierarchical_coding_is_unsupported(marker: int) -> None:
    with pytest.raises(UnsupportedFormat, match="lossless or hierarchical"):
        probe(CountingSource(sof(marker)))


def test_12_bits_for_each_channel_are_unsupported() -> None:
    with pytest.raises(UnsupportedFormat, match="12 bits"):
        probe(CountingSource(sof(0xC1, precision=12)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (sof(0xC0, width=0), "0x30"),
        (sof(0xC0, height=0), "40x0"),
        (sof(0xC0, components=2), "2 colour channels"),
        (sof(0xC0)[:2] + sof(0xC0)[21:], "no frame header"),
        (b"\xff\xd8\xff\xd9", "ends before"),
        (b"\xff\xd8\xff\xe0\0\1", "invalid length 1"),
        (b"\xff\xd8\xff\xe0\0\2" + bytes(20_000), "belong to no segment"),
        (sof(0xC0).replace(b"\1\x11\0", b"\1\x51\0"), "sampling factors"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))


@pytest.mark.parametrize("stray", [b"\0\0", b"\xff\0", b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0"])
def test_stray_bytes_between_segments_are_skipped_as_decoders_do(stray: bytes) -> None:
    data = encoded("JPEG")
    strayed = data[:20] + stray + data[20:]

    assert probe(CountingSource(strayed)).width == 40


def test_a_second_frame_header_is_damage() -> None:
    data = sof(0xC0)

    with pytest.raises(DamagedImage, match="two frame headers"):
        probe(CountingSource(data[:21] + data[2:]))


def test_more_than_a_thousand_segments_are_rejected() -> None:
    with pytest.raises(TooComplex, match="segments"):
        probe(CountingSource(jpeg_with_segments(*[b"\xfe"] * 1001)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_scans_are_counted_as_pillow_wrote_them(mode: str) -> None:
    assert count_scans(encoded("JPEG", mode), 100) == 1
    assert count_scans(encoded("JPEG", mode, progressive=True), 100) > 5


def test_scans_of_a_thumbnail_or_an_appended_video_do_not_count() -> None:
    thumbnail = encoded("JPEG", progressive=True)
    plain = encoded("JPEG", progressive=True)

    motion_photo = jpeg_with_segments(b"\xe1Exif\0\0" + thumbnail, progressive=True) + b"\xff\xda\0\0" * 50_000

    assert count_scans(motion_photo, 1000) == count_scans(plain, 1000)


def test_an_end_marker_within_a_segment_hides_no_scans() -> None:
    jpeg = encoded("JPEG", progressive=True)
    last_scan = jpeg.rindex(b"\xff\xda")
    comment = b"\xff\xfe\0\6\xff\xd9\xff\xd9"

    many = jpeg[:last_scan] + comment + jpeg[last_scan:-2] * 5000 + b"\xff\xd9"

    assert count_scans(many, 2000) == 2000


def test_a_jpeg_of_ten_thousand_scans_is_rejected() -> None:
    jpeg = encoded("JPEG", progressive=True)
    bomb = jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 10_000 + b"\xff\xd9"
    Image.open(io.BytesIO(bomb)).verify()

    with pytest.raises(TooComplex, match=f"more than {MAX_SCANS} scans"):
        decoding.open_image(bomb, probe_whole(bomb))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "CMYK", "progressive": True}])
def test_an_ordinary_jpeg_passes(options: dict) -> None:
    jpeg = encoded("JPEG", **options)

    assert decoding.open_image(jpeg, probe_whole(jpeg)).size == (40, 30)

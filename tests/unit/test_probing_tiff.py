"""TIFF headers."""

import struct

import pytest

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.probing import probe, probe_whole
from tests.unit.samples import CountingSource, encoded

SHORT, LONG = 3, 4
PLAIN = ((256, LONG, 1, 40), (257, LONG, 1, 30), (262, SHORT, 1, 1), (273, LONG, 1, 8))


def tiff(*tags: tuple[int, int, int, int], order: str = "<", big: bool = False, at: int | None = None) -> bytes:
    """A TIFF of one directory at offset `at`; of tags with the same number the last one counts."""
    at = at or (16 if big else 8)
    entry, count, pointer = ("HHQQ", "Q", "Q") if big else ("HHII", "H", "I")
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start += struct.pack(order + "HHQ", 8, 0, at) if big else struct.pack(order + "I", at)
    entries = b""
    for tag, kind, values, value in {tag[0]: tag for tag in tags}.values():
        # A single value lies at the beginning of its field, whatever the byte order.
        unused = struct.calcsize("=" + pointer) - {SHORT: 2, LONG: 4}.get(kind, 0)
        shift = 8 * unused if order == ">" and values == 1 else 0
        entries += struct.pack(order + entry, tag, kind, values, value << shift)
    directory = struct.pack(order + count, len(entries) // struct.calcsize("=" + entry)) + entries
    return start.ljust(at, b"\0") + directory + struct.pack(order + pointer, 0) + bytes(1200)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_both_byte_orders_and_both_sizes_of_pointer_are_read(order: str, big: bool) -> None:
    header = probe(CountingSource(tiff(*PLAIN, (258, SHORT, 1, 8), order=order, big=big)))

    assert (header.width, header.height, header.bit_depth, header.color_mode) == (40, 30, 8, "L")


@pytest.mark.parametrize(
    ("tags", "mode"), [((), "RGBA"), (((338, SHORT, 1, 2),), "RGBA"), (((338, SHORT, 1, 0),), "RGB")]
)
def test_a_fourth_channel_is_alpha_unless_stated_otherwise(tags: tuple, mode: str) -> None:
    header = probe(CountingSource(tiff(*PLAIN, (262, SHORT, 1, 2), (277, SHORT, 1, 4), *tags)))

    assert header.color_mode == mode


def test_a_directory_at_the_end_costs_a_second_request() -> None:
    source = CountingSource(tiff(*PLAIN, at=30_000_000))

    assert probe(source).width == 40

    assert len(source.reads) == 2
    assert source.bytes_read < 400_000


def test_pages_that_point_at_one_another_are_counted_once() -> None:
    data = bytearray(encoded("TIFF", frames=3))
    first = struct.unpack("<I", data[4:8])[0]
    pointers, at = [], first
    while at:
        pointers.append(at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0])
        at = struct.unpack("<I", data[pointers[-1] : pointers[-1] + 4])[0]
    data[pointers[-1] : pointers[-1] + 4] = struct.pack("<I", first)

    assert probe_whole(bytes(data)).frames == 3


@pytest.mark.parametrize(
    "tags",
    [
        ((50706, 1, 4, 0x00000401),),  # DNGVersion
        ((262, SHORT, 1, 32803),),  # a colour filter array
        ((254, LONG, 1, 1), (330, LONG, 2, 8)),  # a preview, with the raw picture in a directory below
    ],
)
def test_a_camera_raw_file_is_distinguished_from_a_picture(tags: tuple) -> None:
    with pytest.raises(UnsupportedFormat, match="camera raw"):
        probe(CountingSource(tiff(*PLAIN, *tags)))


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ([(273, LONG, 600_000, 8)], "600,000 parts"),
        ([(700, 1, 4_000_000_000, 8)], "more bytes than the file has"),
        ([(700 + number, 1, 1000, 8) for number in range(900)], "more bytes than the file has"),
        ([(322, LONG, 1, 40_000), (323, LONG, 1, 40_000)], "tiles are far larger"),
        ([(1000 + number, LONG, 1, 0) for number in range(1000)], "1,004 tags"),
    ],
)
def test_a_directory_that_costs_more_than_its_picture_is_rejected(tags: list, problem: str) -> None:
    data = tiff(*PLAIN, *tags)
    if "parts" in problem:
        data += bytes(4 * 600_000)

    with pytest.raises(TooComplex, match=problem):
        probe(CountingSource(data))


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ([(262, SHORT, 1, 10)], "photometric interpretation 10"),
        ([(259, SHORT, 1, 50001)], "50001"),
        ([(339, SHORT, 1, 2)], "signed samples"),
        ([(258, SHORT, 1, 16), (339, SHORT, 1, 6)], "complex samples"),
        ([(277, SHORT, 1, 2), (284, SHORT, 1, 2), (338, SHORT, 1, 2)], "separate plane"),
    ],
)
def test_what_the_decoder_cannot_read_is_unsupported(tags: list, problem: str) -> None:
    with pytest.raises(UnsupportedFormat, match=problem):
        probe(CountingSource(tiff(*PLAIN, *tags)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (tiff((256, LONG, 1, 40)), "40x0"),
        (tiff((256, LONG, 1, 0), (257, LONG, 1, 30)), "0x30"),
        (tiff(), "empty"),
        (b"II*\0" + struct.pack("<I", 4_000_000_000) + bytes(100), "ends at byte 108"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))

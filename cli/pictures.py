"""Reading renditions without an imaging library: format, size, leftover metadata, and which way up a JPEG is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cli.samples import MARK

# EXIF in JPEG, AVIF, PNG and WebP, XMP, IPTC, and what the sample photo contains.
_METADATA = (b"Exif", b"eXIf", b"EXIF", b"http://ns.adobe.com/xap/", b"Photoshop 3.0", MARK)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the header of an image file says."""

    format: str  # "JPEG", "PNG", "WEBP" or "AVIF"
    width: int  # pixels
    height: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height} {self.format}"


def read(data: bytes) -> Picture:
    """The format and size of an image. Raises ValueError if it is in none of the pipeline's output formats."""
    try:
        if data.startswith(b"\xff\xd8"):
            frame = next(data for marker, data in _segments(data) if marker in (0xC0, 0xC1, 0xC2))
            height, width = struct.unpack_from(">xHH", frame)
            return Picture("JPEG", width, height)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return Picture("PNG", *struct.unpack_from(">II", data, 16))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return Picture("WEBP", *_webp_size(data))
        if data[4:12] == b"ftypavif":
            return Picture("AVIF", *struct.unpack_from(">II", data, data.index(b"ispe") + 8))
    except (struct.error, StopIteration, ValueError) as error:
        raise ValueError("its header is damaged") from error
    raise ValueError(f"it starts with {data[:12]!r}, which is none of JPEG, PNG, WebP and AVIF")


def metadata(data: bytes) -> list[str]:
    """Which signs of metadata an image file contains."""
    return [sign.decode() for sign in _METADATA if sign in data]


def corner_brightness(jpeg: bytes) -> int:
    """The brightness, 0 to 255, of the 8 by 8 pixels in the upper left corner of a JPEG.

    It is the first value in the first scan, of baseline and progressive files: the mean of the first block.
    """
    tables: dict[int, bytes] = {}
    quantum = 0
    for marker, data in _segments(jpeg):
        if marker == 0xDB:
            quantum = quantum or _first_quantum(data)
        elif marker == 0xC4:
            tables |= _dc_tables(data)
        elif marker == 0xDA:
            components = data[0]
            shift = data[2 * components + 3] & 15  # Al: how many low bits follow in later scans
            scan = jpeg[jpeg.index(b"\xff\xda" + struct.pack(">H", len(data) + 2)) + len(data) + 4 :][:16]
            difference = _first_difference(tables[data[2] >> 4], scan.replace(b"\xff\0", b"\xff"))
            return min(255, max(0, 128 + (difference << shift) * quantum // 8))
    raise ValueError("the JPEG has no scan")


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">xBH", jpeg, at)
        yield marker, jpeg[at + 4 : at + 2 + length]
        if marker == 0xDA:
            return
        at += 2 + length


def _first_quantum(tables: bytes) -> int:
    """The quantum of the mean in a quantization table. A file's first table is that of its brightness."""
    return tables[1] if tables[0] >> 4 == 0 else tables[1] << 8 | tables[2]


def _dc_tables(segment: bytes) -> dict[int, bytes]:
    """The Huffman tables for means in a segment, by number: 16 counts, then the symbols."""
    found = {}
    while segment:
        size = 17 + sum(segment[1:17])
        if segment[0] >> 4 == 0:
            found[segment[0]] = segment[1:size]
        segment = segment[size:]
    return found


def _first_difference(table: bytes, scan: bytes) -> int:
    """The first value of a scan, decoded with a Huffman table."""
    bits = "".join(f"{byte:08b}" for byte in scan)
    code, symbol = 0, 16
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            if bits[:length] == f"{code:0{length}b}":
                size = table[symbol]
                value = int(bits[length : length + size] or "0", 2)
                return value if not size or value >> (size - 1) else value - (1 << size) + 1
            code, symbol = code + 1, symbol + 1
        code <<= 1
    raise ValueError("the scan starts with no code of its table")


def _webp_size(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF

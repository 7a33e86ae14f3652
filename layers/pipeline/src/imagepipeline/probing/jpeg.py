"""JPEG headers (ITU-T T.81, annex B): the marker segments up to the first scan, and how many scans there are."""

import re
from collections.abc import Iterator

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import Ranges

# An ICC profile may take 255 segments, and an extended XMP packet about as many. Pillow keeps all of them.
MAX_SEGMENTS = 1000
MAX_STRAY_BYTES = 16_384  # between segments, in total

# libjpeg-turbo decodes a scan of 100 MP in about 0.1 s. Encoders write 10 scans, and optimisers up to 20.
MAX_SCANS = 100

_SOI, _EOI, _SOS, _APP14 = 0xD8, 0xD9, 0xDA, 0xEE
_TEM = 0x01
_STANDALONE = {_TEM, *range(0xD0, 0xD8)}  # TEM and RSTn: no length follows
# Within a scan, 0xFF is followed by 0x00 (a data byte) or RSTn (a restart). Any other marker ends the scan.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOFn, without DHT, JPG and DAC
_PROGRESSIVE = {0xC2, 0xCA}  # with Huffman and with arithmetic coding
_SEQUENTIAL = {0xC0, 0xC1, 0xC9}
_ARITHMETIC = {0xC9, 0xCA}
_COLOR_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_ADOBE_YCCK = 2


def read_header(file: Ranges) -> Header:
    """The header of a JPEG. `progressive` also means a sequential one that comes in several scans."""
    frame = None
    adobe_transform = 0
    for marker, position in _segments(file):
        length = int.from_bytes(file.take(position, 2))
        if marker in _FRAMES:
            if frame is not None:
                raise DamagedImage("JPEG", "it has two frame headers")
            frame = _read_frame(marker, file.take(position + 2, length - 2))
        elif marker == _APP14 and file.take(position + 2, length - 2).startswith(b"Adobe") and length >= 14:
            adobe_transform = file.take(position + 13, 1)[0]
        elif marker == _SOS:
            if frame is None:
                raise DamagedImage("JPEG", "no frame header (SOF) comes before its first scan")
            _refuse_missing_pixels(frame, file.size)
            return _header(frame, adobe_transform, components_in_scan=file.take(position + 2, 1)[0])
    raise TooComplex(f"the JPEG has more than {MAX_SEGMENTS:,} segments before its picture")


def refuse_many_scans(data: bytes) -> None:
    """Raise TooComplex for a whole file with more than `MAX_SCANS` scans."""
    if count_scans(data, MAX_SCANS + 1) > MAX_SCANS:
        raise TooComplex(f"the JPEG has more than {MAX_SCANS} scans")


def count_scans(data: bytes, stop_after: int) -> int:
    """The number of scans of a whole file, at most `stop_after`. Takes 20 ms for 30 MB.

    Segments are skipped by their length, and the search ends where the picture does, so an embedded thumbnail or a
    video after the picture does not count.
    """
    scans, position = 0, 2
    while scans < stop_after and (found := _MARKER.search(data, position)):
        marker, position = data[found.end() - 1], found.end()
        if marker == _EOI:
            break
        scans += marker == _SOS
        if marker not in (_SOI, _TEM):
            position += int.from_bytes(data[position : position + 2])
    return scans


def _segments(file: Ranges) -> Iterator[tuple[int, int]]:
    """The marker of each segment and the position of its length; at most `MAX_SEGMENTS`.

    Some cameras leave bytes between segments, which decoders skip. Any number of 0xFF may precede a marker.
    """
    position, strays, segments = 2, 0, 0
    while segments < MAX_SEGMENTS:
        first, marker = file.take(position, 2)
        if first != 0xFF or marker in (0x00, 0xFF):
            strays += 1
            if strays > MAX_STRAY_BYTES:
                raise DamagedImage("JPEG", f"{strays:,} bytes before byte {position:,} belong to no segment")
            position += 1
            continue
        segments += 1
        position += 2
        if marker in _STANDALONE:
            continue
        if marker in (_SOI, _EOI):
            raise DamagedImage("JPEG", "it ends before its first scan")
        length = int.from_bytes(file.take(position, 2))
        if length < 2:
            raise DamagedImage("JPEG", f"segment {marker:02X} has the invalid length {length}")
        yield marker, position
        position += length


def _read_frame(marker: int, segment: bytes) -> tuple[int, bytes]:
    """The marker and the content of a frame header, after checking both."""
    if marker not in _PROGRESSIVE | _SEQUENTIAL:
        raise UnsupportedFormat("a lossless or hierarchical JPEG", ACCEPTED)
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise DamagedImage("JPEG", "its frame header has the wrong length")
    if segment[0] != 8:
        raise UnsupportedFormat(f"a JPEG of {segment[0]} bits a channel", ACCEPTED)
    if segment[5] not in _COLOR_MODES:
        raise DamagedImage("JPEG", f"it has {segment[5]} colour channels")
    samplings = segment[7::3]
    if any(not (1 <= s >> 4 <= 4 and 1 <= s & 15 <= 4) for s in samplings):
        raise DamagedImage("JPEG", "the sampling factors of its channels are invalid")
    return marker, segment


def _refuse_missing_pixels(frame: tuple[int, bytes], file_bytes: int) -> None:
    """Raise DamagedImage for more pixels than the bytes can code: decoders would show what is missing in gray.

    A block of 8x8 pixels takes at least one Huffman code, or two in a sequential JPEG, and a code at least one bit.
    """
    marker, segment = frame
    height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
    codes = -(-width // 8) * -(-height // 8) * (1 if marker in _PROGRESSIVE else 2)
    if marker not in _ARITHMETIC and codes > 8 * file_bytes:
        raise DamagedImage("JPEG", f"{file_bytes:,} bytes are too few for {width}x{height} pixels")


def _header(frame: tuple[int, bytes], adobe_transform: int, components_in_scan: int) -> Header:
    marker, segment = frame
    height, width, components = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5]), segment[5]
    if not width or not height:
        raise DamagedImage("JPEG", f"its header says {width}x{height} pixels")
    is_ycck = components == 4 and adobe_transform == _ADOBE_YCCK
    return Header(
        format="JPEG",
        width=width,
        height=height,
        bit_depth=segment[0],
        color_mode="YCCK" if is_ycck else _COLOR_MODES[components],
        progressive=marker in _PROGRESSIVE or components_in_scan < components,
    )

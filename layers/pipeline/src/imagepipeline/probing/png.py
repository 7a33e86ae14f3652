"""PNG headers (W3C PNG, third edition): IHDR, and the chunks up to the first IDAT."""

import struct
from zlib import crc32

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import Ranges

MAX_CHUNKS_BEFORE_PICTURE = 1000  # of 1,777 real files the busiest had 14, the median 2
MAX_DEFLATE_RATIO = 1032  # zlib's manual: no stream inflates to more than that
MAX_SIDE = 2**31 - 1  # and of a chunk's length: PNG's four-byte integers stay below 2**31

_PALETTE = 3  # colour type
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_COLOR_MODES = {
    (0, 1): "1",
    (0, 2): "L",
    (0, 4): "L",
    (0, 8): "L",
    (0, 16): "I;16",
    (2, 8): "RGB",
    (2, 16): "RGB",
    (3, 1): "P",
    (3, 2): "P",
    (3, 4): "P",
    (3, 8): "P",
    (4, 8): "LA",
    (4, 16): "LA",
    (6, 8): "RGBA",
    (6, 16): "RGBA",
}


def read_header(file: Ranges) -> Header:
    """The header of a PNG; `frames` of an APNG are those its acTL chunk announces, `progressive` means interlaced."""
    length, kind = struct.unpack(">I4s", file.take(8, 8))
    if kind == b"CgBI":
        raise UnsupportedFormat("a PNG packed for iOS (CgBI), which is no longer a PNG", ACCEPTED)
    if kind != b"IHDR" or length != 13:
        raise DamagedImage("PNG", "it does not begin with an IHDR chunk of 13 bytes")
    ihdr = file.take(16, 13)
    if crc32(kind + ihdr) != int.from_bytes(file.take(29, 4)):
        raise DamagedImage("PNG", "the checksum of its IHDR chunk is wrong")
    width, height, bit_depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", ihdr)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise DamagedImage("PNG", f"its header says {width}x{height} pixels")
    if (color_type, bit_depth) not in _COLOR_MODES:
        raise DamagedImage("PNG", f"colour type {color_type} with {bit_depth} bits does not exist")
    if compression or filtering or interlace > 1:
        raise DamagedImage("PNG", "its compression, filter or interlace method does not exist")
    picture_bytes = (width * _CHANNELS[color_type] * bit_depth + 7) // 8 * height
    if picture_bytes > MAX_DEFLATE_RATIO * file.size:
        raise DamagedImage("PNG", f"{file.size:,} bytes are too few for {width}x{height} pixels")
    return Header(
        format="PNG",
        width=width,
        height=height,
        frames=_count_frames(file, needs_palette=color_type == _PALETTE),
        bit_depth=bit_depth,
        color_mode=_COLOR_MODES[color_type, bit_depth],
        progressive=interlace == 1,
    )


def _count_frames(file: Ranges, *, needs_palette: bool) -> int:
    """What acTL says, or 1. Walks to the first IDAT, which must be there, after PLTE if the colours need one."""
    frames, has_palette = 1, False
    position = 33
    for _ in range(MAX_CHUNKS_BEFORE_PICTURE):
        length, kind = struct.unpack(">I4s", file.take(position, 8))
        if not (kind.isalpha() and length <= MAX_SIDE):
            raise DamagedImage("PNG", f"there is no chunk at byte {position:,}")
        if kind == b"IDAT":
            if needs_palette and not has_palette:
                raise DamagedImage("PNG", "it has no palette (PLTE) for its colours")
            return frames
        if kind == b"IEND":
            raise DamagedImage("PNG", "it has no picture (IDAT) chunk")
        if kind == b"PLTE":
            if length % 3 or not 3 <= length <= 3 * 256:
                raise DamagedImage("PNG", f"its palette has {length:,} bytes")
            has_palette = True
        if kind == b"acTL" and length == 8:
            count = int.from_bytes(file.take(position + 8, 4))
            frames = count if 0 < count <= MAX_SIDE else 1  # no number in a PNG may be larger: decoders ignore it
        position += 12 + length
    raise TooComplex(f"the PNG has more than {MAX_CHUNKS_BEFORE_PICTURE:,} chunks before its picture")

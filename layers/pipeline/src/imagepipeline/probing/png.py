"""PNG (W3C PNG, third edition): the header, and what a whole file holds besides its pixels."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import InMemory, Ranges

MAX_CHUNKS_BEFORE_PICTURE = 1000  # of 1,777 real files the busiest had 14, the median 2
MAX_CHUNKS = 100_000  # libpng writes 8 KiB a chunk, so a picture of 100 MiB has 12,800
MAX_INFLATED_BYTES = 4 * 2**20  # of a compressed profile or EXIF block; large printer profiles have 2 MiB
MAX_DEFLATE_RATIO = 1032  # zlib's manual: no stream inflates to more than that
MAX_SIDE = 2**31 - 1  # the largest four-byte integer of PNG, which also limits a chunk's length

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES = 38 + 16  # the least that a frame of an animation takes: an fcTL chunk and an empty fdAT chunk
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
# ImageMagick and exiftool store EXIF under these keywords where there is no eXIf chunk.
_EXIF_KEYWORDS = (b"Raw profile type exif", b"Raw profile type APP1")


class Chunk(NamedTuple):
    """The type of a chunk, where its content starts in the file, and how many bytes that has."""

    kind: bytes
    start: int
    length: int


class Contents(NamedTuple):
    """The contents of a PNG, apart from its header."""

    picture: bytes  # a PNG of the pixels, the palette and the transparent colours alone
    profile: bytes | None  # ICC
    code_points: tuple[int, int] | None  # primaries and transfer function of a cICP chunk
    exif: bytes | None


def read_header(file: Ranges) -> Header:
    """The header of a PNG. `frames` of an APNG come from its acTL chunk; `progressive` means interlaced."""
    length, kind = struct.unpack(">I4s", file.take(8, 8))
    if kind == b"CgBI":
        raise UnsupportedFormat("a PNG optimised for iOS (CgBI), which only Apple's software reads", ACCEPTED)
    if kind != b"IHDR" or length != 13:
        raise DamagedImage("PNG", "it does not begin with an IHDR chunk of 13 bytes")
    ihdr = file.take(16, 13)
    if zlib.crc32(kind + ihdr) != int.from_bytes(file.take(29, 4)):
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


def read_contents(data: bytes) -> Contents:
    """The contents of a whole file. A decoder that reads only `picture` never meets text, profiles or animations.

    Broken ancillary chunks are left out, as viewers do. Raises DamagedImage if the file is truncated or a critical
    chunk fails its checksum, and TooComplex for too many chunks.
    """
    first: dict[bytes, bytes] = {}  # of each type, the content of the first intact chunk
    pixels: list[memoryview] = []
    raw_profile: bytes | None = None
    previous = b""
    file = memoryview(data)
    try:
        for chunk in _chunks(Ranges(InMemory(data), held=data), MAX_CHUNKS):
            content = file[chunk.start : chunk.start + chunk.length]
            if not _is_intact(file, chunk):
                continue
            if chunk.kind == b"IDAT":
                if not pixels or previous == b"IDAT":
                    pixels.append(content)
            elif chunk.kind in (b"tEXt", b"zTXt", b"iTXt"):
                if raw_profile is None and bytes(content[:80]).startswith(_EXIF_KEYWORDS):
                    raw_profile = _text(chunk.kind, bytes(content))
            elif chunk.kind in (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"cICP", b"eXIf"):
                first.setdefault(chunk.kind, bytes(content))
            previous = chunk.kind
    except EOFError:
        raise DamagedImage("PNG", f"it is truncated at byte {len(data):,}") from None
    exif = first.get(b"eXIf") or _exif_of(raw_profile)
    cicp = first.get(b"cICP", b"")
    return Contents(
        picture=_picture(first, pixels),
        profile=_inflated(first[b"iCCP"].partition(b"\0")[2][1:]) if b"iCCP" in first else None,
        code_points=(cicp[0], cicp[1]) if len(cicp) == 4 else None,
        exif=exif,
    )


def _chunks(file: Ranges, most: int) -> Iterator[Chunk]:
    """The chunks of a PNG up to its end (IEND). Only their headers are read.

    Raises DamagedImage where no chunk begins, and TooComplex if there are more than `most`.
    """
    position = len(_SIGNATURE)
    for _ in range(most):
        length, kind = struct.unpack(">I4s", file.take(position, 8))
        if not (kind.isalpha() and length <= MAX_SIDE):
            raise DamagedImage("PNG", f"there is no chunk at byte {position:,}")
        yield Chunk(kind, position + 8, length)
        if kind == b"IEND":
            return
        position += 12 + length
    raise TooComplex(f"the PNG has more than {most:,} chunks")


def _count_frames(file: Ranges, *, needs_palette: bool) -> int:
    """The frames that acTL announces, or 1. Raises DamagedImage unless a picture comes, after a palette if needed."""
    frames, has_palette = 1, False
    for chunk in _chunks(file, MAX_CHUNKS_BEFORE_PICTURE):
        if chunk.kind == b"IDAT":
            if needs_palette and not has_palette:
                raise DamagedImage("PNG", "it has no palette (PLTE) for its colours")
            return frames
        if chunk.kind == b"PLTE":
            if chunk.length % 3 or not 3 <= chunk.length <= 3 * 256:
                raise DamagedImage("PNG", f"its palette has {chunk.length:,} bytes")
            has_palette = True
        if chunk.kind == b"acTL" and chunk.length == 8:
            count = int.from_bytes(file.take(chunk.start, 4))
            frames = count if 0 < count * _FRAME_BYTES <= file.size else 1  # viewers ignore a broken animation
    raise DamagedImage("PNG", "it has no picture (IDAT) chunk")


def _is_intact(file: memoryview, chunk: Chunk) -> bool:
    """Whether a chunk's checksum is right. Raises DamagedImage if it is wrong in a chunk that every decoder needs."""
    end = chunk.start + chunk.length
    if len(file) < end + 4:
        raise EOFError
    if zlib.crc32(file[chunk.start - 4 : end]) == int.from_bytes(file[end : end + 4]):
        return True
    if chunk.kind[:1].isupper():
        raise DamagedImage("PNG", f"the {chunk.kind.decode()} chunk at byte {chunk.start - 8:,} fails its checksum")
    return False


def _picture(first: dict[bytes, bytes], pixels: list[memoryview]) -> bytes:
    """A PNG of its pixels in one chunk, whose checksum nobody reads, and of what defines their colours."""
    header, palette, transparent = first.get(b"IHDR", b""), first.get(b"PLTE", b""), first.get(b"tRNS", b"")
    color_type = header[9] if len(header) == 13 else 0
    may_have = {0: {2}, 2: {6}, _PALETTE: range(1, len(palette) // 3 + 1)}.get(color_type, ())
    parts = [_SIGNATURE, _chunk(b"IHDR", header)]
    if palette:
        parts.append(_chunk(b"PLTE", palette))
    if len(transparent) in may_have:
        parts.append(_chunk(b"tRNS", transparent))
    length = sum(map(len, pixels))
    return b"".join((*parts, struct.pack(">I4s", length, b"IDAT"), *pixels, bytes(4), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text(kind: bytes, content: bytes) -> bytes:
    """The text of a tEXt, zTXt or iTXt chunk; empty if it is broken."""
    text = content.partition(b"\0")[2]
    if kind == b"zTXt":
        return _inflated(text[1:])
    if kind == b"iTXt":
        is_compressed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]  # without language and translated keyword
        return _inflated(text) if is_compressed else text
    return text


def _inflated(stream: bytes) -> bytes:
    """What a zlib stream holds, up to the limit; empty if it is broken."""
    try:
        return zlib.decompressobj().decompress(stream, MAX_INFLATED_BYTES)
    except zlib.error:
        return b""


def _exif_of(raw_profile: bytes | None) -> bytes | None:
    """The EXIF block in ImageMagick's "raw profile": an empty line, a name, a length, then lines of hexadecimal."""
    lines = (raw_profile or b"").split(b"\n", 3)
    try:
        return bytes.fromhex(lines[3].decode("ascii"))
    except (IndexError, ValueError):
        return None

"""What the pipeline refuses for what it would cost, before memory or time is spent on it."""

import re
import zlib
from dataclasses import dataclass

from imagepipeline.errors import FileTooLarge, TooComplex, TooManyPixels
from imagepipeline.models import Header

MIB = 2**20
DEFAULT_MAX_PIXELS = 100_000_000

# The longest side a JPEG or a GIF can have. A PNG strip of 1x100,000,000 is within the pixels and helps nobody.
MAX_SIDE = 65_535

# Frames times pixels: a minute of full HD at 30 frames a second. Only the first frame is ever decoded, so this is no
# question of memory but of what is meant as a picture.
MAX_FRAME_PIXELS = 4_000_000_000

# Bytes a pixel at the peak, measured as resident memory while Pillow 13 and pillow-heif 1.8 decoded the costliest kind
# of each format at 20 MP: an animated WebP; an AVIF of 10 bits in 4:4:4 with alpha is reckoned from one of 8 bits (12).
# A HEIC of that kind took 21 at 58 MP, both processes together, and had 25 to itself with an earlier libheif. A bit
# depth that the header could understate makes no difference here.
_BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 18, "HEIC": 25}
# A progressive JPEG keeps two bytes a channel of the whole picture, however small it is drafted: CMYK took 12.1.
_BYTES_PER_PIXEL_PROGRESSIVE_JPEG = 13
# All others: the picture, and the copy that a colour conversion makes.
_BYTES_PER_PIXEL_OTHERS = 4 + 4
# Of the 1769 MiB of the function that decodes; the rest is for the interpreter (60), the file and the renditions.
DECODING_BYTES = 1450 * MIB

# A scan of 100 MP takes libjpeg-turbo about 0.1 s; encoders write 10, the most ambitious optimisers under 20.
MAX_SCANS = 100
# libpng writes 8 KiB a chunk, so that 100 MiB have 12,800; Pillow spends microseconds on each.
MAX_PNG_CHUNKS = 100_000
# What one compressed chunk (iCCP, zTXt, iTXt) and all of them may inflate to: as much as Pillow takes of text.
MAX_INFLATED_CHUNK_BYTES = 1 * MIB
MAX_INFLATED_BYTES = 64 * MIB

# In a scan 0xFF is followed by 0x00 (a data byte) or RSTn (a restart); anything else ends the scan.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOS, _EOI, _SOI, _TEM = 0xDA, 0xD9, 0xD8, 0x01


@dataclass(frozen=True, slots=True)
class Limits:
    """What the deployment's parameters allow."""

    max_bytes: int
    max_pixels: int = DEFAULT_MAX_PIXELS


def check(header: Header, size: int, limits: Limits) -> None:
    """Raise FileTooLarge, TooManyPixels or TooComplex unless a file of `size` bytes with this header may go on."""
    if size > limits.max_bytes:
        raise FileTooLarge(size, limits.max_bytes)
    max_pixels = min(limits.max_pixels, affordable_pixels(header))
    if header.pixels > max_pixels:
        raise TooManyPixels(header.width, header.height, max_pixels)
    if max(header.width, header.height) > MAX_SIDE:
        raise TooComplex(f"{header.width}x{header.height}: no side may be longer than {MAX_SIDE:,} pixels")
    frame_pixels = header.frames * header.pixels
    if frame_pixels > MAX_FRAME_PIXELS:
        raise TooComplex(
            f"{header.frames:,} frames of {header.width}x{header.height} have {frame_pixels / 1e6:,.0f} megapixels; "
            f"the limit is {MAX_FRAME_PIXELS / 1e6:,.0f}"
        )


def affordable_pixels(header: Header) -> int:
    """How many pixels of such a picture fit into the memory of the function that decodes it."""
    if header.format == "JPEG" and header.progressive:
        return DECODING_BYTES // _BYTES_PER_PIXEL_PROGRESSIVE_JPEG
    return DECODING_BYTES // _BYTES_PER_PIXEL.get(header.format, _BYTES_PER_PIXEL_OTHERS)


def check_contents(header: Header, data: bytes) -> None:
    """Raise TooComplex for what only the whole file tells: scans of a JPEG, chunks of a PNG."""
    if header.format == "JPEG" and header.progressive and count_scans(data, MAX_SCANS + 1) > MAX_SCANS:
        raise TooComplex(f"the JPEG has more than {MAX_SCANS} scans")
    if header.format == "PNG":
        _check_chunks(data)


def count_scans(data: bytes, stop_after: int) -> int:
    """How many scans a JPEG has, at most `stop_after`: 20 ms for 30 MB.

    Segments are skipped by their length and the search ends where the picture does, so that neither an embedded
    thumbnail nor a video behind the picture counts.
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


def _check_chunks(data: bytes) -> None:
    """Raise TooComplex for a PNG of too many chunks, or with one that is small here and huge when inflated."""
    position, inflated = 8, 0
    for _ in range(MAX_PNG_CHUNKS):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if kind == b"IEND" or not kind:
            return
        if kind in (b"iCCP", b"zTXt", b"iTXt"):
            chunk_bytes = _inflated_bytes(kind, data[position + 8 : position + 8 + length])
            inflated += chunk_bytes
            if chunk_bytes > MAX_INFLATED_CHUNK_BYTES or inflated > MAX_INFLATED_BYTES:
                raise TooComplex(f"the PNG's {kind.decode()} chunks inflate beyond {MAX_INFLATED_CHUNK_BYTES:,} bytes")
        position += 12 + length
    raise TooComplex(f"the PNG has more than {MAX_PNG_CHUNKS:,} chunks")


def _inflated_bytes(kind: bytes, chunk: bytes) -> int:
    """What the compressed part of a chunk inflates to, or just over the limit. A broken one counts nothing."""
    rest = chunk.partition(b"\0")[2]  # what follows the keyword begins with the method, in iTXt after a flag
    if kind == b"iTXt":
        if not rest.startswith(b"\1"):
            return 0
        rest = rest[1:2] + rest[2:].split(b"\0", 2)[-1]  # without language and translated keyword
    try:
        return len(zlib.decompressobj().decompress(rest[1:], MAX_INFLATED_CHUNK_BYTES + 1))
    except zlib.error:
        return 0  # the decoder ignores it too

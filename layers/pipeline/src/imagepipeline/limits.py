"""What the pipeline refuses for what it would cost, before memory or time is spent on it."""

import re
from dataclasses import dataclass

from imagepipeline.errors import FileTooLarge, TooComplex, TooManyPixels
from imagepipeline.models import Header
from imagepipeline.renditions import RenditionSpec

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

# The budget of the process that decodes and renders a file, enforced by the kernel (rendering/isolation.py).
FUNCTION_BYTES = 1769 * MIB  # the function's memory size in template.yaml
_RESERVED_BYTES = 119 * MIB  # for the function's own process (75) and Lambda's runtime; it holds the file, too
DECODING_SECONDS = 10
# Encoders take time by the pixel, whatever the file was: deployments choose the pixels.
_ENCODING_SECONDS_PER_MEGAPIXEL = {"AVIF": 1.0}
_ENCODING_SECONDS_PER_MEGAPIXEL_OTHERS = 0.2
WALL_CLOCK_SECONDS = 90  # of the function's 120: a decoder that waits for itself takes no processor time

# A scan of 100 MP takes libjpeg-turbo about 0.1 s; encoders write 10, the most ambitious optimisers under 20.
MAX_SCANS = 100

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


def processor_seconds(specs: tuple[RenditionSpec, ...]) -> int:
    """Seconds of processor time that decoding a file and making these renditions may take: 10 by default."""
    encoding = sum(
        spec.width
        * spec.height
        / 1e6
        * _ENCODING_SECONDS_PER_MEGAPIXEL.get(spec.format, _ENCODING_SECONDS_PER_MEGAPIXEL_OTHERS)
        for spec in specs
    )
    return DECODING_SECONDS + int(encoding)


def worker_bytes(file_bytes: int) -> int:
    """Bytes that the process which decodes a file of this size may allocate, the file among them."""
    return FUNCTION_BYTES - _RESERVED_BYTES - file_bytes


def check_contents(header: Header, data: bytes) -> None:
    """Raise TooComplex for what only the whole file tells: the scans of a JPEG."""
    if header.format == "JPEG" and header.progressive and count_scans(data, MAX_SCANS + 1) > MAX_SCANS:
        raise TooComplex(f"the JPEG has more than {MAX_SCANS} scans")


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

"""Limits on what an image may cost: checked in its header, and enforced while it is decoded."""

from dataclasses import dataclass

from imagepipeline.errors import FileTooLarge, TooComplex, TooManyPixels
from imagepipeline.models import Header
from imagepipeline.renditions import RenditionSpec

MIB = 2**20
MAX_FILE_BYTES = 256 * MIB  # the largest value of the parameter MaxFileBytes
DEFAULT_MAX_PIXELS = 100_000_000

# The longest side that a JPEG or a GIF can have. A PNG of 1x100,000,000 pixels would be of no use to anybody.
MAX_SIDE = 65_535

# Frames times pixels: a minute of full HD at 30 frames a second. Only the first frame is decoded, so this limit does
# not save memory. It refuses files that are films rather than pictures.
MAX_FRAME_PIXELS = 4_000_000_000

# Peak bytes for each pixel, measured as resident memory while Pillow 13 and pillow-heif 1.8 decoded the costliest kind
# of each format at 20 MP: an animated WebP; a HEIC of 10 bits in 4:4:4 with alpha, which took 25 with an earlier
# libheif and 21 with this one; an AVIF of that kind, estimated from one of 8 bits (12). The greatest bit depth is
# assumed, because a header could understate it.
_BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 18, "HEIC": 25}
# A progressive JPEG takes two bytes for each channel of the whole picture, whatever its scale: CMYK took 12.1.
_BYTES_PER_PIXEL_PROGRESSIVE_JPEG = 13
# All others: the picture, and the copy that a colour conversion makes.
_BYTES_PER_PIXEL_OTHERS = 4 + 4
# Of the function's 1769 MiB. The rest is for the interpreter (60), the file and the renditions.
DECODING_BYTES = 1450 * MIB

# The budget of the worker process that renders a file, enforced by the kernel (rendering/isolation.py).
FUNCTION_BYTES = 1769 * MIB  # the function's memory size in template.yaml
# For the function's own process (75 MiB), which holds the file as well, and for Lambda's runtime.
_RESERVED_BYTES = 119 * MIB
DECODING_SECONDS = 10
# Encoding takes time for each pixel of a rendition, which the deployment chooses, whatever the file is.
_ENCODING_SECONDS_PER_MEGAPIXEL = {"AVIF": 1.0}
_ENCODING_SECONDS_PER_MEGAPIXEL_OTHERS = 0.2
WALL_CLOCK_SECONDS = 90  # of the function's 160: a decoder in a deadlock takes no processor time


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that the deployment's parameters set."""

    max_bytes: int
    max_pixels: int = DEFAULT_MAX_PIXELS


def check(header: Header, size: int, limits: Limits) -> None:
    """Raise FileTooLarge, TooManyPixels or TooComplex if a file of `size` bytes with this header exceeds a limit."""
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
    """How many pixels of such a picture fit into the memory of the function."""
    return DECODING_BYTES // _bytes_per_pixel(header)


def decoding_bytes(header: Header) -> int:
    """The most memory that decoding such a picture should take."""
    return header.pixels * _bytes_per_pixel(header)


def _bytes_per_pixel(header: Header) -> int:
    if header.format == "JPEG" and header.progressive:
        return _BYTES_PER_PIXEL_PROGRESSIVE_JPEG
    return _BYTES_PER_PIXEL.get(header.format, _BYTES_PER_PIXEL_OTHERS)


def processor_seconds(specs: tuple[RenditionSpec, ...]) -> int:
    """Seconds of processor time for decoding one file and making these renditions; 10 for the default ones."""
    encoding = sum(
        spec.width
        * spec.height
        / 1e6
        * _ENCODING_SECONDS_PER_MEGAPIXEL.get(spec.format, _ENCODING_SECONDS_PER_MEGAPIXEL_OTHERS)
        for spec in specs
    )
    return DECODING_SECONDS + int(encoding)


def worker_bytes(file_bytes: int) -> int:
    """Bytes that the worker process may allocate to render a file of this size, including the file."""
    return FUNCTION_BYTES - _RESERVED_BYTES - file_bytes

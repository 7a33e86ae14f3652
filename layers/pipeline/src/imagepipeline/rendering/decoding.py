"""Opening an image with the one decoder that its header calls for, and decoding no more of it than is needed.

Pillow's plug-in classes are used directly instead of `Image.open`: no bytes can reach a decoder that is not in the
table below, and only one plug-in is imported (`Image.open` imports five, 40 ms of a cold start).
"""

import importlib
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, cast

from PIL import Image, ImageFile

from imagepipeline import exif, geometry
from imagepipeline.errors import DamagedImage, ImageRejected, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.printable import printable
from imagepipeline.probing import png
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.heif import aperture, code_points, refuse_other_sizes, refuse_second_header
from imagepipeline.probing.jpeg import refuse_many_scans
from imagepipeline.renditions import RenditionSpec

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

# A JPEG is decoded to at least this many times the size of the largest rendition. libjpeg scales by 1/2, 1/4 and 1/8
# within its inverse DCT, at no cost, by averaging. Below 1.15 that is visible; up to 1.4 resizing.shrink compensates.
_DRAFT_MARGIN = 1.15

_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),  # of an MPO, too: its first picture is a plain JPEG
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
}

# What Pillow's plug-ins raise on bytes that break their format's rules.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)

# The beginnings of their messages about valid files in a layout that Pillow does not support.
_UNKNOWN_LAYOUTS = ("unknown pixel mode", "unknown raw mode", "string index out of range", "Unsupported BMP")

_MAX_PROBLEM = 200  # characters of a decoder's message

Image.MAX_IMAGE_PIXELS = None  # limits.check has already decided, from the header


def decoder(header: Header) -> Callable[[BytesIO], ImageFile.ImageFile]:
    """The plug-in class that opens images of the header's format, imported if it was not."""
    module, name = _DECODERS[header.format]
    return cast(Callable[[BytesIO], ImageFile.ImageFile], getattr(importlib.import_module(module), name))


def open_image(data: bytes, header: Header) -> Image.Image:
    """The image in `data`, opened but not decoded.

    Raises DamagedImage if the decoder refuses it or finds another size than the header states, TooComplex if it has too
    many scans, chunks or parts, and UnsupportedFormat for a valid file in a layout that the decoder does not support.
    """
    if header.format == "PNG":
        return _open_png(data, header)
    if header.format == "JPEG" and header.progressive:
        refuse_many_scans(data)
    if header.format in ("AVIF", "HEIC"):
        refuse_second_header(data)
        refuse_other_sizes(data)
    image = _opened(data, header)
    return _cropped(image, header, data) if header.format == "AVIF" else image


def _open_png(data: bytes, header: Header) -> Image.Image:
    """A PNG of which Pillow reads the pixels alone. Profile and EXIF are in `info`, where Pillow would put them."""
    contents = png.read_contents(data)
    image = _opened(contents.picture, header)
    found = {"icc_profile": contents.profile, "cicp": contents.code_points, "exif": contents.exif}
    image.info |= {name: value for name, value in found.items() if value}
    return image


def _opened(data: bytes, header: Header) -> Image.Image:
    """The image that the header's decoder finds in `data`, of the size that the header states."""
    try:
        image = decoder(header)(BytesIO(data))
    except _BROKEN as error:
        raise _refusal(header, error) from error
    # Sorted, because Pillow states the upright size of a TIFF, and libheif that of a HEIC.
    if sorted(image.size) != sorted((header.width, header.height)):
        seen = "x".join(map(str, image.size))
        raise DamagedImage(header.format, f"its header says {header.width}x{header.height}, its content {seen}")
    return image


def _cropped(image: Image.Image, header: Header, data: bytes) -> Image.Image:
    """The part of its picture that an AVIF shows. libavif leaves cropping to its caller."""
    left, top, width, height = aperture(data)
    if (width, height) == image.size:
        return image
    try:
        return image.crop((left, top, left + width, top + height))
    except _BROKEN as error:
        raise _refusal(header, error) from error


def _refusal(header: Header, error: Exception) -> ImageRejected:
    """The rejection that a decoder's error stands for."""
    if str(error).startswith(_UNKNOWN_LAYOUTS):
        return UnsupportedFormat(f"a {header.format} with its pixels laid out in a way that is rarely used", ACCEPTED)
    if re.search(r"\bmemory\b", str(error), re.IGNORECASE):
        return TooComplex(f"the {header.format} takes more memory to decode than there is")
    problem = printable(str(error), _MAX_PROBLEM)
    if isinstance(error.__cause__, KeyError):
        return DamagedImage(header.format, f"it lacks a tag that its decoder needs ({problem})")
    return DamagedImage(header.format, problem)


def decode(image: Image.Image, header: Header, specs: tuple[RenditionSpec, ...]) -> geometry.Extent:
    """Load the pixels of the first frame; those of a JPEG at the smallest scale that suffices for all renditions.

    A JPEG's colours stay in YCbCr. Returns how far the picture reaches in the decoded image. Raises DamagedImage if
    the pixels are truncated or broken, and UnsupportedFormat or TooComplex.
    """
    drafted = None
    try:
        if header.format == "JPEG":
            turn = exif.orientation(image.info.get("exif"))
            largest = geometry.upright(geometry.largest(geometry.upright(image.size, turn), specs), turn)
            wanted = round(largest[0] * _DRAFT_MARGIN), round(largest[1] * _DRAFT_MARGIN)
            drafted = image.draft("YCbCr" if _is_ycbcr(image) else None, wanted)
        image.load()
    except _BROKEN as error:
        raise _refusal(header, error) from error
    return drafted[1][2:] if drafted else image.size


def orientation(image: Image.Image, header: Header, data: bytes) -> int:
    """The EXIF orientation of the stored picture, 1 to 8."""
    if header.format in ("AVIF", "HEIC"):
        return header.orientation  # HEIF's specification gives its own properties precedence over EXIF
    return exif.orientation(raw_exif(image, header, data))


def is_upright_once_decoded(header: Header) -> bool:
    """Whether the decoder applies the orientation: Pillow does for TIFF and libheif for HEIC; libavif does not."""
    return header.format in ("TIFF", "HEIC")


def sample_bits(header: Header) -> int:
    """The bits that deep grayscale samples fill: pillow-heif scales those of 10 and 12 bits to 16."""
    return 16 if header.format == "HEIC" else header.bit_depth


def raw_exif(image: Image.Image, header: Header, data: bytes) -> bytes | None:
    """The EXIF block. In a TIFF, EXIF tags are the file's own, so the block is the whole file."""
    return data if header.format == "TIFF" else image.info.get("exif")


def profile(image: Image.Image, header: Header, data: bytes) -> bytes | None:
    """The ICC profile, embedded or made from the code points that the file states instead; empty for sRGB."""
    embedded = image.info.get("icc_profile")
    if embedded is not None and not isinstance(embedded, bytes):
        return b"not a profile"  # numbers or text in a TIFF's tag, to be noted like any broken profile
    if header.format == "PNG":
        stated = _of_code_points(image.info.get("cicp"), header)
        return embedded if stated is None else stated  # PNG's specification gives code points precedence
    if header.format in ("AVIF", "HEIC"):
        return embedded or _of_code_points(code_points(data), header)
    return embedded


def _of_code_points(stated: tuple[int, int] | None, header: Header) -> bytes | None:
    if stated is None:
        return None
    # Imported here, because most pictures need no such profile, and a cold start should not pay for it.
    from imagepipeline.rendering import cicp

    primaries, transfer = stated
    return cicp.profile(cicp.CodePoints(1 if header.color_mode in ("1", "L", "LA") else primaries, transfer))


def _is_ycbcr(image: Image.Image) -> bool:
    """Whether libjpeg takes the three components for YCbCr: the same rules, in the same order."""
    if image.mode != "RGB":
        return False
    if "jfif" in image.info:
        return True
    if "adobe" in image.info:
        return image.info.get("adobe_transform") != 0
    return bytes(component[0] for component in cast("JpegImageFile", image).layer) != b"RGB"

"""Opening an image with the one decoder that its header calls for.

Pillow's plug-in classes are used directly, not `Image.open`: no bytes can reach a decoder that isn't in the table
below, and only the plug-in at hand is imported (`Image.open` imports five, 40 ms of a cold start).
"""

import importlib
import struct
import zlib
from io import BytesIO

from PIL import Image, ImageFile

from imagepipeline.errors import DamagedImage
from imagepipeline.models import Header

_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),  # an MPO too: its first picture is a plain JPEG
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
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
    OverflowError,
    struct.error,
    zlib.error,
)

Image.MAX_IMAGE_PIXELS = None  # limits.check has decided already, from the header


def open_image(data: bytes, header: Header) -> ImageFile.ImageFile:
    """The image in `data`, opened but not decoded yet.

    Raises DamagedImage if the decoder refuses it, or sees another size than the header promised.
    """
    module, name = _DECODERS[header.format]
    decoder = getattr(importlib.import_module(module), name)
    try:
        image = decoder(BytesIO(data))
    except _BROKEN as error:
        raise DamagedImage(header.format, str(error)) from error
    if sorted(image.size) != sorted((header.width, header.height)):
        seen = "x".join(map(str, image.size))
        raise DamagedImage(header.format, f"its header says {header.width}x{header.height}, its content {seen}")
    return image


def decode(image: ImageFile.ImageFile, header: Header) -> Image.Image:
    """The pixels of the first frame. Raises DamagedImage if they are cut short or broken."""
    try:
        image.load()
    except _BROKEN as error:
        raise DamagedImage(header.format, str(error)) from error
    return image

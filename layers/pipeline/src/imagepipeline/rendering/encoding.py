"""Encoders' settings: the smaller file among sensible settings for their time. docs/encoders.md has the numbers."""

from io import BytesIO
from typing import Any

from PIL import Image

from imagepipeline.renditions import RenditionSpec

# Pillow imports the one plug-in that a file name asks for, but five for a format name: 40 ms of a cold start.
_EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}
# Huffman tables of its own make a JPEG of this many pixels 9 % smaller, one of 1280x960 by 0.5 % and twice as slow.
_OPTIMIZED_JPEG_PIXELS = 320 * 320


def encode(image: Image.Image, spec: RenditionSpec) -> bytes:
    """The file of one rendition: pixels only, no EXIF, no ICC profile, no comment."""
    image.info = {}
    file = BytesIO()
    file.name = spec.name + _EXTENSIONS[spec.format]
    image.save(file, **_settings(image, spec))
    return file.getvalue()


def _settings(image: Image.Image, spec: RenditionSpec) -> dict[str, Any]:
    if spec.format == "JPEG":
        return {"quality": spec.quality, "optimize": image.width * image.height <= _OPTIMIZED_JPEG_PIXELS}
    if spec.format == "WEBP":
        return {"quality": spec.quality, "method": 2}
    if spec.format == "AVIF":
        return {"quality": spec.quality, "speed": 8, "max_threads": 1}
    return {"compress_level": 3}

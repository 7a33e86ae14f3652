"""Encoding, with settings that trade time for size; docs/encoders.md has the measurements."""

from io import BytesIO
from typing import Any

from PIL import Image

from imagepipeline.renditions import RenditionSpec

# Given a file name, Pillow imports one plug-in; given a format name, it imports five, 40 ms of a cold start.
_EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}
# Optimised Huffman tables make a JPEG of 100x75 9 % smaller, but one of 1280x960 only 0.5 %, in twice the time.
_OPTIMIZED_JPEG_PIXELS = 320 * 320


def encode(image: Image.Image, spec: RenditionSpec) -> bytes:
    """The file of one rendition: pixels only, without EXIF, ICC profile or comment."""
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

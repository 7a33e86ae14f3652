"""Encoders' settings: the smaller file among sensible settings for their time. docs/encoders.md has the numbers."""

from io import BytesIO

from PIL import Image

from imagepipeline.renditions import RenditionSpec

# Pillow imports the one plug-in that a file name asks for, but five for a format name: 40 ms of a cold start.
_EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}


def encode(image: Image.Image, spec: RenditionSpec) -> bytes:
    """The file of one rendition: pixels only, no EXIF, no ICC profile, no comment."""
    image.info = {}
    file = BytesIO()
    file.name = spec.name + _EXTENSIONS[spec.format]
    image.save(file, **_settings(spec))
    return file.getvalue()


def _settings(spec: RenditionSpec) -> dict:
    if spec.format == "JPEG":
        return {"quality": spec.quality}
    if spec.format == "WEBP":
        return {"quality": spec.quality, "method": 2}
    if spec.format == "AVIF":
        return {"quality": spec.quality, "speed": 8, "max_threads": 1}
    return {"compress_level": 6}

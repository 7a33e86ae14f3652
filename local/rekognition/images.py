"""The image of a request: Rekognition's limits, and the pixels for the detectors.

Sources: "Guidelines and quotas" in the developer guide for the limits (15 MB, 80 px, 10,000 px, JPEG and PNG), and
botocore issue 1366 for the error that a small image gets. JPEGs are turned upright by their EXIF orientation and PNGs
are not, as the API's model says of `OrientationCorrection`.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from local.rekognition.errors import ServiceError

MAX_OBJECT_BYTES = 15 * 1024 * 1024
MIN_SIDE = 80  # pixels
MAX_SIDE = 10_000
WORKING_SIDE = 1024  # pixels of the longest side; the detectors examine at most 320

# Rekognition's own limit is checked before any pixel is decoded. Pillow's limit would raise another error.
Image.MAX_IMAGE_PIXELS = None


def decode(data: bytes) -> np.ndarray:
    """The upright pixels of a JPEG or PNG: height x width x RGB of uint8, with a longest side of at most WORKING_SIDE.

    Raises ServiceError: InvalidImageFormatException, InvalidParameterException (too small), ImageTooLargeException.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            _check_size(*image.size)
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
            upright = image if image.format == "PNG" else ImageOps.exif_transpose(image)
            opaque = _rgb(upright)
            opaque.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
            return np.asarray(opaque)
    except (OSError, SyntaxError, ValueError) as error:  # the exceptions that Pillow raises for a damaged file
        raise ServiceError("InvalidImageFormatException") from error


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise ServiceError(
            "ImageTooLargeException",
            f"Input image dimensions {width} x {height} exceed maximum dimension size of {MAX_SIDE} pixels",
        )
    if min(width, height) < MIN_SIDE:
        raise ServiceError("InvalidParameterException")


def _rgb(image: Image.Image) -> Image.Image:
    """8 bits per channel, on a white background."""
    if image.mode == "I;16":  # Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")

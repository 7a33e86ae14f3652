"""Turning pictures upright, as EXIF's Orientation tag asks."""

import struct

from PIL import Image

_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read(exif: bytes | None) -> int:
    """The orientation, 1 to 8, in raw EXIF bytes; 1 where there is none, or none that can be read."""
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        orientation = tags.get(_TAG)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def swaps_sides(orientation: int) -> bool:
    """Whether the upright picture is as wide as the stored one is high."""
    return orientation >= 5


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as it was seen."""
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image

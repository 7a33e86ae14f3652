"""What the pipeline refuses for its size, before memory or time is spent on it."""

from dataclasses import dataclass

from imagepipeline.errors import FileTooLarge, TooManyPixels
from imagepipeline.models import Header

DEFAULT_MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the deployment's parameters allow."""

    max_bytes: int
    max_pixels: int = DEFAULT_MAX_PIXELS


def check(header: Header, size: int, limits: Limits) -> None:
    """Raise FileTooLarge, TooManyPixels or TooComplex unless a file of `size` bytes with this header may go on."""
    if size > limits.max_bytes:
        raise FileTooLarge(size, limits.max_bytes)
    if header.pixels > limits.max_pixels:
        raise TooManyPixels(header.width, header.height, limits.max_pixels)

"""Which format the first bytes are of: those the pipeline accepts, and the names of those it turns away."""

from imagepipeline.errors import UnsupportedFormat

ACCEPTED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIC")


def recognise(start: bytes) -> str:
    """One of `ACCEPTED`, from the first bytes of a file. Raises UnsupportedFormat, saying what it looks like."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    raise UnsupportedFormat("of an unknown format", ACCEPTED)

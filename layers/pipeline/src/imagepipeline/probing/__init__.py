"""Reading what an image's header promises, from as few bytes as it takes, without decoding a pixel.

A format is known by its bytes, never by its name. One module a container format; each has `read_header(file)`.
"""

from imagepipeline.errors import DamagedImage, EmptyFile
from imagepipeline.models import Header
from imagepipeline.probing import bmp, gif, heif, jpeg, png, tiff, webp
from imagepipeline.probing.formats import START_BYTES, recognise
from imagepipeline.probing.ranges import InMemory, Ranges, Source

_READERS = {
    "JPEG": jpeg.read_header,
    "PNG": png.read_header,
    "GIF": gif.read_header,
    "WEBP": webp.read_header,
    "TIFF": tiff.read_header,
    "BMP": bmp.read_header,
    "AVIF": heif.read_header,
    "HEIC": heif.read_header,
}


def probe(source: Source) -> Header:
    """The header of the image in `source`, read in one range of 64 KiB where that does, never more than 4 MiB.

    `frames` of a GIF, WebP or TIFF are those found in what was read anyway, so at least as many as it says.
    Raises EmptyFile, UnsupportedFormat, DamagedImage or TooComplex, and nothing else of its own.
    """
    if source.size == 0:
        raise EmptyFile
    return _read(Ranges(source))


def probe_whole(data: bytes) -> Header:
    """The same from a file that is here as a whole; `frames` are then all there are."""
    if not data:
        raise EmptyFile
    return _read(Ranges(InMemory(data), held=data))


def _read(file: Ranges) -> Header:
    format_name = recognise(file.take(0, min(file.size, START_BYTES)))
    try:
        return _READERS[format_name](file)
    except EOFError:
        raise DamagedImage(format_name, f"it ends at byte {file.size:,}, before its header does") from None

"""Reading an image's header from as few bytes as possible, without decoding a pixel.

The format is recognised by the file's content, never by its name. There is one module for each container format, with a
function `read_header(file)`.
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
    """The header of the image in `source`, read in one range of 64 KiB if that is enough, and in at most 4 MiB.

    `frames` of a GIF, WebP or TIFF counts those within the bytes that were read, so there are at least as many.
    Takes time in proportion to the bytes read. Raises EmptyFile, UnsupportedFormat, DamagedImage or TooComplex.
    """
    if source.size == 0:
        raise EmptyFile
    return _read(Ranges(source))


def probe_whole(data: bytes) -> Header:
    """The header of a file that is in memory as a whole; `frames` then counts all of them."""
    if not data:
        raise EmptyFile
    return _read(Ranges(InMemory(data), held=data))


def _read(file: Ranges) -> Header:
    format_name = recognise(file.take(0, min(file.size, START_BYTES)))
    try:
        return _READERS[format_name](file)
    except EOFError:
        raise DamagedImage(format_name, f"it ends at byte {file.size:,}, within its header") from None

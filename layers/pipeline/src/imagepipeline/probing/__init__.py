"""Reading what an image's header promises, from as few bytes as it takes, without decoding a pixel.

A format is known by its bytes, never by its name. One module a container format; each has `read_header(file)`.
"""

from imagepipeline.errors import DamagedImage, EmptyFile
from imagepipeline.models import Header
from imagepipeline.probing import jpeg, png
from imagepipeline.probing.formats import recognise
from imagepipeline.probing.ranges import KIB, Ranges, Source

_READERS = {"JPEG": jpeg.read_header, "PNG": png.read_header}


def probe(source: Source) -> Header:
    """The header of the image in `source`, read in one range of 64 KiB where that does, never more than 4 MiB.

    Raises EmptyFile, UnsupportedFormat, DamagedImage or TooComplex, and nothing else of its own.
    """
    if source.size == 0:
        raise EmptyFile
    file = Ranges(source)
    format_name = recognise(file.take(0, min(file.size, 4 * KIB)))
    try:
        return _READERS[format_name](file)
    except EOFError:
        raise DamagedImage(format_name, f"it ends at byte {file.size:,}, before its header does") from None

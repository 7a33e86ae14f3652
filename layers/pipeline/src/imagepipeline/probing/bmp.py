"""BMP headers: BITMAPCOREHEADER, and BITMAPINFOHEADER with its later and longer versions."""

import struct

from imagepipeline.errors import DamagedImage, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import Ranges

_RAW, _RLE8, _RLE4, _BITFIELDS = range(4)
_BITS_OF = {_RAW: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 24, 32)}
_CORE_HEADER_BYTES = 12
_FIRST_HEADER_WITH_ALPHA = 56


def read_header(file: Ranges) -> Header:
    """The header of a BMP. A negative height, which means that the first row is the top one, becomes positive."""
    pixels_at, header_bytes = struct.unpack("<II", file.take(10, 8))
    if header_bytes == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack("<HHHH", file.take(18, 8))
        compression = _RAW
    else:
        width, height, _, bits, compression = struct.unpack("<iiHHI", file.take(18, 16))
    height = abs(height)
    if width <= 0 or not height:
        raise DamagedImage("BMP", f"its header says {width}x{height} pixels")
    if bits not in _BITS_OF.get(compression, ()):
        raise UnsupportedFormat(f"a BMP of {bits} bits a pixel with compression {compression}", ACCEPTED)
    if compression in (_RAW, _BITFIELDS):
        promised = pixels_at + (width * bits + 31) // 32 * 4 * height
        if promised > file.size:
            raise DamagedImage("BMP", f"its pixels need {promised:,} bytes, but the file has {file.size:,}")
    has_alpha = (
        compression == _BITFIELDS
        and bits == 32
        and header_bytes >= _FIRST_HEADER_WITH_ALPHA
        and any(file.take(14 + 52, 4))
    )
    return Header(
        format="BMP",
        width=width,
        height=height,
        bit_depth=bits if bits < 8 else 8,
        color_mode="P" if bits <= 8 else "RGBA" if has_alpha else "RGB",
    )

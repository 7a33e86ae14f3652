"""GIF headers (GIF89a specification): the logical screen, and the blocks up to the first picture."""

from imagepipeline.errors import DamagedImage, TooComplex
from imagepipeline.models import Header
from imagepipeline.probing.ranges import Ranges

MAX_BLOCKS = 100_000  # before the picture: 4 MiB of the longest blocks are 16,000

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_HAS_COLOR_TABLE, _INTERLACED = 0x80, 0x40


def read_header(file: Ranges) -> Header:
    """The header of a GIF; `frames` counts those that begin within the bytes read so far.

    The size is that of the logical screen, extended to contain the first picture, as decoders do: otherwise a screen of
    1x1 could hide a picture of 65,535x65,535.
    """
    screen = file.take(6, 7)
    position = _first_picture(file, 13 + _color_table_bytes(screen[4]))
    kind = file.take(position, 1)[0]
    if kind != _PICTURE:
        raise DamagedImage("GIF", "it has no picture" if kind == _TRAILER else f"no block begins at byte {position:,}")
    left, top, picture_width, picture_height = _shorts(file.take(position + 1, 8))
    screen_width, screen_height = _shorts(screen[:4])
    width, height = max(screen_width, left + picture_width), max(screen_height, top + picture_height)
    if not (picture_width and picture_height):
        raise DamagedImage("GIF", f"its first picture has {picture_width}x{picture_height} pixels")
    return Header(
        format="GIF",
        width=width,
        height=height,
        frames=_count_pictures(file, position),
        color_mode="P",
        progressive=bool(file.take(position + 9, 1)[0] & _INTERLACED),
    )


def _first_picture(file: Ranges, position: int) -> int:
    """Where the first block begins that is not an extension. Raises TooComplex after too many blocks."""
    within_extension = False
    for _ in range(MAX_BLOCKS):
        first_byte = file.take(position, 1)[0]
        if within_extension:  # it is the length of a data block; 0 ends the extension
            within_extension = first_byte > 0
            position += 1 + first_byte
        elif first_byte == _EXTENSION:
            within_extension = True
            position += 2
        else:
            return position
    raise TooComplex(f"the GIF has more than {MAX_BLOCKS:,} blocks before its picture")


def _count_pictures(file: Ranges, position: int) -> int:
    """How many pictures begin from `position` on, within the bytes read and `MAX_BLOCKS` blocks; at least one."""
    count, within_data = 0, False
    for _ in range(MAX_BLOCKS):
        first_byte = file.peek(position, 1)
        if not first_byte:
            break
        if within_data:
            within_data = first_byte[0] > 0
            position += 1 + first_byte[0]
        elif first_byte[0] == _EXTENSION:
            within_data = True
            position += 2
        elif first_byte[0] == _PICTURE and (flags := file.peek(position + 9, 1)):
            count += 1
            within_data = True
            position += 11 + _color_table_bytes(flags[0])
        else:
            break
    return max(count, 1)


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & _HAS_COLOR_TABLE else 0


def _shorts(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]

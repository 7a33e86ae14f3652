"""GIF headers (GIF89a specification): the logical screen and the blocks up to the first picture."""

from imagepipeline.errors import DamagedImage
from imagepipeline.models import Header
from imagepipeline.probing.ranges import Ranges

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_HAS_COLOR_TABLE, _INTERLACED = 0x80, 0x40


def read_header(file: Ranges) -> Header:
    """The header of a GIF; `frames` are those that begin within the bytes at hand.

    The size is the logical screen's, widened to hold the first picture as decoders do: a screen of 1x1 may otherwise
    hide a picture of 65,535x65,535.
    """
    screen = file.take(6, 7)
    position = 13 + _color_table_bytes(screen[4])
    while (kind := file.take(position, 1)[0]) == _EXTENSION:
        position += 2
        while block_length := file.take(position, 1)[0]:
            position += 1 + block_length
        position += 1
    if kind != _PICTURE:
        raise DamagedImage("GIF", "it has no picture" if kind == _TRAILER else f"byte {position:,} begins no block")
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


def _count_pictures(file: Ranges, position: int) -> int:
    """How many pictures begin from `position` on, as far as the bytes at hand go, and at least one."""
    count = 0
    while kind := file.peek(position, 1):
        if kind[0] == _PICTURE:
            count += 1
            flags = file.peek(position + 9, 1)
            if not flags:
                break
            position += 11 + _color_table_bytes(flags[0])
        elif kind[0] == _EXTENSION:
            position += 2
        else:
            break
        while (block_length := file.peek(position, 1)) and block_length[0]:
            position += 1 + block_length[0]
        position += 1
    return max(count, 1)


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & _HAS_COLOR_TABLE else 0


def _shorts(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]

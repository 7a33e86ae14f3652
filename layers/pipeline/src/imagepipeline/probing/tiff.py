"""TIFF headers (TIFF 6.0, BigTIFF): the first directory, anywhere in the file, and the number of directories."""

import struct
from dataclasses import dataclass

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import Ranges

MAX_TAGS = 1000  # real directories have under a hundred; a directory can claim 65,535, BigTIFF 2**64
MAX_PARTS = 500_000  # strips or tiles, which Pillow lists: a strip for each row and channel of 100 MP makes 30,000
MAX_NUMBERS = 4 * MAX_PARTS  # in all tags: Pillow makes an object of each
MAX_FRACTIONS = 10_000  # in all tags, which have a dozen: Pillow takes 2 microseconds and 230 bytes for each
MAX_PAGES = 10_000
_PART_PIXELS = 4_000_000  # a tile may be larger than a small picture, but not enormous

_TYPE_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # BYTE, SHORT, LONG, IFD, LONG8, IFD8
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

_NUMBERS = frozenset(_TYPE_BYTES) - {1, 2, 7}  # of BYTE, ASCII and UNDEFINED, Pillow keeps the bytes
_FRACTIONS = frozenset((5, 10))  # RATIONAL, SRATIONAL

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _PLANES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 273, 277, 284, 322, 323, 324
_SUB_DIRECTORIES, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _DNG_VERSION = 330, 338, 339, 50706

_REDUCED = 1  # bit of NewSubfileType: this is the preview of another picture in the file
# None, CCITT (three kinds), LZW, JPEG (old and new), deflate (two numbers), PackBits, LZMA, Zstandard.
_COMPRESSIONS = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 32946, 32773, 34925, 50000))
_RAW_SENSOR = (32803, 34892)  # photometric interpretations of DNG: colour filter array, linear raw
_COLOR_MODES = {2: "RGB", 3: "P", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
_SEPARATE = 2  # of PlanarConfiguration
_FLOAT = 3
_SAMPLE_FORMATS = {2: "signed samples", 5: "complex samples", 6: "complex samples"}  # which Pillow reads as unsigned
_DEEPEST = 16  # bits of a sample; deeper ones are refused whatever their format


@dataclass(frozen=True, slots=True)
class _Layout:
    """The difference between TIFF and BigTIFF: `struct` formats of a directory's count, entry and pointer."""

    order: str  # "<" or ">"
    count: str
    entry: str  # tag, type, count, then the value or where it is
    pointer: str


@dataclass(frozen=True, slots=True)
class _Directory:
    """An image file directory: the tags' types, counts and value fields."""

    file: Ranges
    layout: _Layout
    entries: dict[int, tuple[int, int, bytes]]

    def numbers(self, tag: int, most: int) -> tuple[int, ...]:
        """The first values of an integer tag, at most `most`; empty if the tag is missing or not of integers."""
        kind, count, field = self.entries.get(tag, (0, 0, b""))
        if kind not in _TYPE_FORMATS:
            return ()
        count = min(count, most)
        length = count * _TYPE_BYTES[kind]
        if self.entries[tag][1] * _TYPE_BYTES[kind] <= len(field):
            data = field[:length]
        else:
            data = self.file.take(struct.unpack(self.layout.order + self.layout.pointer, field)[0], length)
        return struct.unpack(f"{self.layout.order}{count}{_TYPE_FORMATS[kind]}", data)

    def number(self, tag: int, default: int) -> int:
        return next(iter(self.numbers(tag, 1)), default)

    def bytes_of_values(self) -> int:
        """Bytes of all tags' values together."""
        return sum(count * _TYPE_BYTES.get(kind, 0) for kind, count, _ in self.entries.values())

    def count(self, kinds: frozenset[int]) -> int:
        """Values of all tags of these types together."""
        return sum(count for kind, count, _ in self.entries.values() if kind in kinds)


def read_header(file: Ranges) -> Header:
    """The header of a TIFF's first page; `frames` counts the directories within the bytes read so far."""
    start = file.take(0, 8)
    order = "<" if start.startswith(b"II") else ">"
    if b"+" in start[2:4]:
        layout = _Layout(order, "Q", "HHQ8s", "Q")
        first = struct.unpack(order + "Q", file.take(8, 8))[0]
    else:
        layout = _Layout(order, "H", "HHI4s", "I")
        first = struct.unpack(order + "I", start[4:])[0]
    directory = _read_directory(file, layout, first)
    _refuse_camera_raw(directory)
    width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
    if not width or not height:
        raise DamagedImage("TIFF", f"its header says {width}x{height} pixels")
    _refuse_bombs(directory, width, height)
    if (compression := directory.number(_COMPRESSION, 1)) not in _COMPRESSIONS:
        raise UnsupportedFormat(f"a TIFF with compression {compression}", ACCEPTED)
    sample_format = directory.number(_SAMPLE_FORMAT, 1)
    if sample_format in _SAMPLE_FORMATS and directory.number(_BITS, 1) <= _DEEPEST:
        raise UnsupportedFormat(f"a TIFF with {_SAMPLE_FORMATS[sample_format]}", ACCEPTED)
    return Header(
        format="TIFF",
        width=width,
        height=height,
        frames=_count_pages(file, layout, first),
        bit_depth=directory.number(_BITS, 1),
        color_mode=_color_mode(directory),
    )


def _read_directory(file: Ranges, layout: _Layout, offset: int) -> _Directory:
    count_bytes, entry_bytes = struct.calcsize(layout.order + layout.count), struct.calcsize("=" + layout.entry)
    (count,) = struct.unpack(layout.order + layout.count, file.take(offset, count_bytes))
    if not count:
        raise DamagedImage("TIFF", "its first directory is empty")
    if count > MAX_TAGS:
        raise TooComplex(f"the TIFF has {count:,} tags; the limit is {MAX_TAGS:,}")
    table = file.take(offset + count_bytes, count * entry_bytes)
    entries = struct.iter_unpack(layout.order + layout.entry, table)
    return _Directory(file, layout, {tag: (kind, count, field) for tag, kind, count, field in entries})


def _refuse_camera_raw(directory: _Directory) -> None:
    """Raise UnsupportedFormat for camera raw files: TIFFs whose first directory is often only a preview."""
    is_preview = directory.number(_NEW_SUBFILE_TYPE, 0) & _REDUCED and _SUB_DIRECTORIES in directory.entries
    if _DNG_VERSION in directory.entries:
        raise UnsupportedFormat("a camera raw (DNG) file", ACCEPTED)
    if is_preview or directory.number(_PHOTOMETRIC, 0) in _RAW_SENSOR:
        raise UnsupportedFormat("a camera raw file", ACCEPTED)


def _refuse_bombs(directory: _Directory, width: int, height: int) -> None:
    """Raise TooComplex for directories that would cost far more than the picture: Pillow keeps every value."""
    if directory.bytes_of_values() > directory.file.size:
        raise TooComplex("the TIFF's tags claim more bytes than the file has")
    if directory.count(_NUMBERS) > MAX_NUMBERS or directory.count(_FRACTIONS) > MAX_FRACTIONS:
        raise TooComplex(f"the TIFF's tags have more than {MAX_NUMBERS:,} numbers or {MAX_FRACTIONS:,} fractions")
    parts = max(directory.entries.get(tag, (0, 0))[1] for tag in (_STRIP_OFFSETS, _TILE_OFFSETS))
    if parts > MAX_PARTS:
        raise TooComplex(f"the TIFF is cut into {parts:,} parts; the limit is {MAX_PARTS:,}")
    if directory.number(_TILE_WIDTH, 0) * directory.number(_TILE_HEIGHT, 0) > 4 * width * height + _PART_PIXELS:
        raise TooComplex("the TIFF's tiles are far larger than its picture")


def _color_mode(directory: _Directory) -> str:
    """Pillow's name for the colour mode, if it has one."""
    photometric = directory.number(_PHOTOMETRIC, 0)
    samples = directory.number(_SAMPLES, 1)
    has_alpha = any(extra in (1, 2) for extra in directory.numbers(_EXTRA_SAMPLES, 4))
    if photometric in (0, 1):
        bits = directory.number(_BITS, 1)
        if directory.number(_SAMPLE_FORMAT, 1) == _FLOAT:
            return "F"
        if has_alpha and directory.number(_PLANES, 1) == _SEPARATE:
            # Pillow leaves the second plane empty, which makes the picture invisible.
            raise UnsupportedFormat("a grayscale TIFF with its transparency in a separate plane", ACCEPTED)
        if has_alpha:
            return "LA"
        return "1" if bits == 1 else "L" if bits <= 8 else "I;16" if bits <= 16 else "I"
    if photometric not in _COLOR_MODES:
        raise UnsupportedFormat(f"a TIFF with photometric interpretation {photometric}", ACCEPTED)
    if photometric == 2 and (has_alpha or (samples == 4 and _EXTRA_SAMPLES not in directory.entries)):
        return "RGBA"
    return _COLOR_MODES[photometric]


def _count_pages(file: Ranges, layout: _Layout, offset: int) -> int:
    """The directories in the chain from `offset`, within the bytes read so far; a loop ends the chain."""
    count_bytes, entry_bytes = struct.calcsize("=" + layout.count), struct.calcsize("=" + layout.entry)
    pointer_bytes = struct.calcsize("=" + layout.pointer)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < MAX_PAGES:
        count = file.peek(offset, count_bytes)
        if count is None:
            break
        seen.add(offset)
        next_at = offset + count_bytes + entry_bytes * struct.unpack(layout.order + layout.count, count)[0]
        following = file.peek(next_at, pointer_bytes)
        offset = struct.unpack(layout.order + layout.pointer, following)[0] if following else 0
    return max(len(seen), 1)

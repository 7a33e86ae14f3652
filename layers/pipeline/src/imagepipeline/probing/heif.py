"""AVIF and HEIC headers (ISO/IEC 23008-12): the boxes of `meta` that describe the primary item.

`pitm` says which item is the picture. Its properties are those in `ipco` that `ipma` assigns to it by number.
"""

import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.probing.bitstreams import av1_sizes, hevc_sizes
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import KIB, InMemory, Ranges

MAX_BOX_BYTES = 1024 * KIB  # of `meta` and `moov`: a tile takes about 50 bytes of meta, and a frame about 20 of moov
MAX_BOXES = 100  # at the top level of the file: usually three or four
MAX_TILES = 1000  # phones divide 48 MP into 192 of 512x512; the format allows 65,536
_SLACK_PIXELS = 4_000_000  # what is coded may be far larger than a small picture

_CODECS = {"av01": "AVIF", "hvc1": "HEIC"}
_DERIVED = {"grid", "iovl", "iden"}
_ALPHA_URNS = (
    b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha",
    b"urn:mpeg:hevc:2015:auxid:1",
    b"urn:mpeg:avc:2015:auxid:1",
)
_SAMPLE_TABLE = ("mdia", "minf", "stbl")
# The EXIF orientation for quarter turns anticlockwise (irot), then a mirror (imir: 0 vertical, 1 horizontal).
_ORIENTATIONS = {
    (0, None): 1,
    (0, 0): 4,
    (0, 1): 2,
    (1, None): 8,
    (1, 0): 5,
    (1, 1): 7,
    (2, None): 3,
    (2, 0): 2,
    (2, 1): 4,
    (3, None): 6,
    (3, 0): 7,
    (3, 1): 5,
}


@dataclass(slots=True)
class _Items:
    """The contents of a `meta` box: its items, by their numbers."""

    primary: int = 0  # no item has this number
    kinds: dict[int, str] = field(default_factory=dict)
    properties: dict[int, dict[str, list[bytes]]] = field(default_factory=dict)  # by item, then by name
    references: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # by kind and referring item
    extents: dict[int, list[tuple[bool, int, int]]] = field(default_factory=dict)  # whether in idat, offset, length
    idat: bytes = b""

    def all(self, item: int, name: str) -> list[bytes]:
        """The contents of an item's properties of this name."""
        return self.properties.get(item, {}).get(name, [])

    def property(self, item: int, name: str) -> bytes | None:
        """The content of an item's first property of this name."""
        return next(iter(self.all(item, name)), None)

    def size(self, item: int) -> tuple[int, int]:
        """Width and height in pixels."""
        extent = self.property(item, "ispe")
        if extent is None:
            raise DamagedImage("HEIF", f"its item {item} has no size (ispe)")
        return struct.unpack_from(">II", extent, 4)

    def inputs(self, item: int) -> list[int]:
        """The items that a derived item is made of."""
        return self.references.get(("dimg", item), [])

    def alphas(self, of: set[int]) -> list[int]:
        """The items that hold the transparency of these."""
        auxiliaries = [item for (kind, item), to in self.references.items() if kind == "auxl" and not of.isdisjoint(to)]
        return [item for item in auxiliaries if (self.property(item, "auxC") or b"")[4:].startswith(_ALPHA_URNS)]


def read_header(file: Ranges) -> Header:
    """The header of a HEIF file's primary item: `format` follows its codec, `frames` the file's longest track.

    The size is that of the decoder's output: before `irot` and `imir`, which become `orientation`, and, of a HEIC but
    not of an AVIF, after `clap` (see `aperture`).
    """
    top = _find_boxes(file)
    try:
        if "meta" not in top and "moov" in top:
            raise UnsupportedFormat("a HEIF image sequence without a still picture", ACCEPTED)
        if "meta" not in top:
            raise DamagedImage("HEIF", "it has no box that describes a picture (meta)")
        items = _read_items(file.take(*top["meta"]))
        if not items.primary and "moov" in top:
            raise UnsupportedFormat("a HEIF image sequence without a still picture", ACCEPTED)
        frames = _count_samples(file.take(*top["moov"])) if "moov" in top else 1
        return _describe(items, frames)
    except (struct.error, IndexError):
        raise DamagedImage("HEIF", "one of its boxes is too short for what it holds") from None


def refuse_second_header(data: bytes) -> None:
    """Raise DamagedImage if a whole file describes its picture twice: libheif uses the last `meta` box of the file.

    `read_header` used the first. Decoders ignore data after the last box.
    """
    position, headers = 0, 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16])
        headers += kind == b"meta"
        if headers > 1:
            raise DamagedImage("HEIF", "it describes its picture twice (meta)")
        if length < 8:  # 0: to the end of the file
            return
        position += length


def _find_boxes(file: Ranges) -> dict[str, tuple[int, int]]:
    """The position and length of the contents of `meta` and `moov`, as far as they come before the picture's data."""
    found: dict[str, tuple[int, int]] = {}
    position = 0
    for _ in range(MAX_BOXES):
        if position == file.size:
            return found
        length, kind = struct.unpack(">I4s", file.take(position, 8))
        header_bytes = 8
        if length == 1:
            length, header_bytes = int.from_bytes(file.take(position + 8, 8)), 16
        elif length == 0:
            length = file.size - position
        if length < header_bytes:
            raise DamagedImage("HEIF", f"the box at byte {position:,} has the invalid length {length}")
        if kind in (b"meta", b"moov"):
            if length > MAX_BOX_BYTES:
                raise TooComplex(f"the HEIF's {kind.decode()} box has {length:,} bytes; the limit is {MAX_BOX_BYTES:,}")
            found[kind.decode()] = (position + header_bytes, length - header_bytes)
        elif kind == b"mdat" and "meta" in found:
            return found
        position += length
    raise TooComplex(f"the HEIF has more than {MAX_BOXES} boxes before its picture")


def _boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and content of the boxes in `data`."""
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        if not 8 <= length <= len(data) - position:
            raise DamagedImage("HEIF", "a box is longer than the one it is in")
        yield data[position + 4 : position + 8].decode("latin-1"), data[position + 8 : position + length]
        position += length


def _read_items(meta: bytes) -> _Items:
    items = _Items()
    boxes = list(_boxes(meta[4:]))
    _refuse_repetition(kind for kind, _ in boxes if kind in ("pitm", "iinf", "iprp", "iref", "iloc", "idat"))
    for kind, content in boxes:
        wide = content[:1] > b"\0"  # box version 1 and later: item numbers have 32 bits
        if kind == "pitm":
            (items.primary,) = struct.unpack_from(">I" if wide else ">H", content, 4)
        elif kind == "iinf":
            kinds = list(_item_kinds(content[8 if wide else 6 :]))
            _refuse_repetition(f"item {number}" for number, _ in kinds)
            items.kinds = dict(kinds)
        elif kind == "iprp":
            items.properties = _item_properties(content)
        elif kind == "iref":
            items.references = _item_references(content[4:], wide)
        elif kind == "iloc":
            items.extents = _item_extents(content)
        elif kind == "idat":
            items.idat = content
    return items


def _refuse_repetition(names: Iterable[str]) -> None:
    """Raise DamagedImage if a name comes twice: decoders differ in which of the two they use."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DamagedImage("HEIF", f"it describes its picture twice ({name})")
        seen.add(name)


def _item_kinds(entries: bytes) -> Iterator[tuple[int, str]]:
    for _, entry in _boxes(entries):
        number, _, kind = struct.unpack_from(">IH4s" if entry[0] > 2 else ">HH4s", entry, 4)
        yield number, kind.decode("latin-1")


def _item_properties(iprp: bytes) -> dict[int, dict[str, list[bytes]]]:
    boxes = list(_boxes(iprp))
    known = [box for kind, content in boxes if kind == "ipco" for box in _boxes(content)]
    properties: dict[int, dict[str, list[bytes]]] = {}
    for ipma in (content for kind, content in boxes if kind == "ipma"):
        number_format, index_bytes = ">I" if ipma[0] else ">H", 2 if ipma[3] & 1 else 1
        position = 8
        for _ in range(int.from_bytes(ipma[4:8])):
            (item,) = struct.unpack_from(number_format, ipma, position)
            position += struct.calcsize(number_format)
            indexes_end = position + 1 + ipma[position] * index_bytes
            for at in range(position + 1, indexes_end, index_bytes):
                essential_bit = 0x80 << 8 * (index_bytes - 1)
                index = int.from_bytes(ipma[at : at + index_bytes]) & ~essential_bit
                if index:  # counted from one; zero is no property
                    name, content = known[index - 1]
                    properties.setdefault(item, {}).setdefault(name, []).append(content)
            position = indexes_end
    return properties


def _item_references(boxes: bytes, wide: bool) -> dict[tuple[str, int], list[int]]:
    number = "I" if wide else "H"
    references: dict[tuple[str, int], list[int]] = {}
    for kind, content in _boxes(boxes):
        source, count = struct.unpack_from(f">{number}H", content)
        targets = struct.unpack_from(f">{count}{number}", content, struct.calcsize(f">{number}H"))
        references.setdefault((kind, source), []).extend(targets)
    return references


def _item_extents(iloc: bytes) -> dict[int, list[tuple[bool, int, int]]]:
    """Where the data of each item are."""
    version = iloc[0]
    offset_bytes, length_bytes, base_bytes, index_bytes = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15
    number_bytes = 4 if version == 2 else 2
    position = 6

    def number(length: int) -> int:
        nonlocal position
        position += length
        if position > len(iloc):
            raise IndexError
        return int.from_bytes(iloc[position - length : position])

    extents: dict[int, list[tuple[bool, int, int]]] = {}
    for _ in range(number(number_bytes)):
        item = number(number_bytes)
        in_idat = version > 0 and number(2) & 15 == 1
        number(2)  # data reference
        base = number(base_bytes)
        for _ in range(number(2)):
            number(index_bytes if version > 0 else 0)
            extents.setdefault(item, []).append((in_idat, base + number(offset_bytes), number(length_bytes)))
    return extents


def _describe(items: _Items, frames: int) -> Header:
    primary = items.primary
    if primary not in items.kinds:
        raise DamagedImage("HEIF", "it does not state which of its items is the picture")
    width, height = items.size(primary)
    format_name = _codec(items, primary, width * height)
    alphas = items.alphas({primary, *items.inputs(primary)})
    for alpha in alphas:
        if _codec(items, alpha, width * height) != format_name:
            raise UnsupportedFormat("a HEIF file whose transparency has another codec than its picture", ACCEPTED)
    if format_name == "HEIC":
        _, _, width, height = _aperture(items, primary, width, height)
    if not width or not height:
        raise DamagedImage("HEIF", f"its header says {width}x{height} pixels")
    channels = (items.property(primary, "pixi") or b"\0\0\0\0\3\x08")[4:]
    turns, mirror = items.property(primary, "irot"), items.property(primary, "imir")
    return Header(
        format=format_name,
        width=width,
        height=height,
        frames=frames,
        bit_depth=channels[1],
        color_mode="RGBA" if alphas else "L" if channels[0] == 1 else "RGB",
        orientation=_ORIENTATIONS[turns[0] & 3 if turns else 0, mirror[0] & 1 if mirror else None],
    )


def refuse_other_sizes(data: bytes) -> None:
    """Raise DamagedImage or TooComplex if a whole file codes a picture of another size than its boxes state.

    Decoders use the size in the codec's own headers, and in a grid's own description. Because of alignment, a coded
    picture may be somewhat larger than stated.
    """
    try:
        items = _items_of(data)
        tiles = items.inputs(items.primary)
        if items.kinds[items.primary] == "grid":
            _check_grid(items, items.primary, data, len(tiles))
        for item in {items.primary, *tiles, *items.alphas({items.primary, *tiles})}:
            width, height = items.size(item)
            for coded_width, coded_height in _coded_sizes(items, item, data):
                if coded_width < width or coded_height < height:
                    coded = f"{coded_width}x{coded_height}"
                    raise DamagedImage("HEIF", f"its header says {width}x{height} pixels, its codec's header {coded}")
                _refuse_waste("coded picture is", coded_width * coded_height, width * height)
    except (EOFError, LookupError, struct.error):
        raise DamagedImage("HEIF", "a box or codec header that decoding needs is missing or truncated") from None


def _coded_sizes(items: _Items, item: int, data: bytes) -> Iterable[tuple[int, int]]:
    kind = items.kinds.get(item)
    if kind == "hvc1":
        return hevc_sizes(items.property(item, "hvcC") or b"")
    return av1_sizes(_content(items, item, data)) if kind == "av01" else ()


def _check_grid(items: _Items, item: int, data: bytes, tiles: int) -> None:
    """Raise DamagedImage unless a grid's own description agrees with the boxes."""
    grid = _content(items, item, data)
    rows, columns = grid[2] + 1, grid[3] + 1
    size = struct.unpack_from(">II" if grid[1] & 1 else ">HH", grid, 4)
    if size != items.size(item) or rows * columns != tiles:
        raise DamagedImage("HEIF", "its grid of tiles differs from what its header says")


def _content(items: _Items, item: int, data: bytes) -> memoryview:
    """An item's data; of several extents the first, which contains the headers."""
    in_idat, offset, length = items.extents.get(item, [(True, 0, 0)])[0]
    source = memoryview(items.idat if in_idat else data)
    return source[offset : offset + length] if length else source[offset:]


def code_points(data: bytes) -> tuple[int, int] | None:
    """The primaries and the transfer function that a whole file states (`colr` of type nclx), or None."""
    items = _items_of(data)
    for item in (items.primary, *items.inputs(items.primary)[:1]):  # a grid may leave it to its tiles
        for content in items.all(item, "colr"):
            if content.startswith(b"nclx") and len(content) >= 8:
                return struct.unpack_from(">HH", content, 4)
    return None


def aperture(data: bytes) -> tuple[int, int, int, int]:
    """The part of the picture that a whole file shows: left, top, width and height. Raises DamagedImage."""
    items = _items_of(data)
    return _aperture(items, items.primary, *items.size(items.primary))


def _items_of(data: bytes) -> _Items:
    """The items of a whole file whose header has been read before."""
    file = Ranges(InMemory(data))
    return _read_items(file.take(*_find_boxes(file)["meta"]))


def _aperture(items: _Items, item: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of an item's clean aperture (clap), or of the whole item without one.

    HEVC codes in blocks, so encoders pad the picture, and decoders crop it. libheif does; libavif does not.
    """
    clap = items.property(item, "clap")
    if clap is None:
        return 0, 0, width, height
    numbers = struct.unpack_from(">IIIIiIiI", clap)
    if not all(numbers[1::2]):
        raise DamagedImage("HEIF", "its clean aperture is a division by zero")
    shown_width, shown_height, right, down = (
        over / under for over, under in itertools.batched(numbers, 2, strict=True)
    )
    shown_width, shown_height = min(width, round(shown_width)), min(height, round(shown_height))
    _refuse_waste("coded picture is", width * height, shown_width * shown_height)
    # The offsets are from the centre of one to the centre of the other.
    left, top = round(right + (width - shown_width) / 2), round(down + (height - shown_height) / 2)
    if not (0 <= left < left + shown_width <= width and 0 <= top < top + shown_height <= height):
        raise DamagedImage("HEIF", "its clean aperture is empty or extends beyond the picture")
    return left, top, shown_width, shown_height


def _refuse_waste(what: str, coded_pixels: int, pixels: int) -> None:
    if coded_pixels > 4 * pixels + _SLACK_PIXELS:
        raise TooComplex(f"the HEIF's {what} far larger than what it shows")


def _codec(items: _Items, item: int, pixels: int) -> str:
    """The format of a coded item, or of the tiles of a derived item, whose number and size are checked first.

    libheif chooses a decoder for each tile, and includes decoders that no upload should reach.
    """
    kinds = {items.kinds.get(item, "")}
    is_grid, tiled_pixels = kinds == {"grid"}, 0
    if kinds <= _DERIVED:
        tiles = items.inputs(item)
        if len(tiles) > MAX_TILES:
            raise TooComplex(f"the HEIF is made of {len(tiles):,} tiles; the limit is {MAX_TILES:,}")
        tiled_pixels = sum(width * height for width, height in map(items.size, tiles))
        _refuse_waste("tiles are", tiled_pixels, pixels)
        kinds = {items.kinds.get(tile, "") for tile in tiles} or {""}
    refused = sorted(kinds - _CODECS.keys())
    if refused:
        raise UnsupportedFormat(f"a HEIF file with a picture of type {refused[0]!r}", ACCEPTED)
    formats = {_CODECS[kind] for kind in kinds}
    if len(formats) > 1:
        raise UnsupportedFormat("a HEIF file with tiles of several codecs", ACCEPTED)
    if is_grid and tiled_pixels < math.prod(items.size(item)):
        raise DamagedImage("HEIF", "its tiles do not cover the picture")
    return formats.pop()


def _count_samples(moov: bytes) -> int:
    """The samples of the longest track, at least one."""
    longest = 1
    for table in (content for kind, content in _boxes(moov) if kind == "trak"):
        for name in _SAMPLE_TABLE:
            table = next((content for kind, content in _boxes(table) if kind == name), b"")
        for content in (content for kind, content in _boxes(table) if kind in ("stsz", "stz2")):
            longest = max(longest, *struct.unpack_from(">I", content, 8))
    return longest

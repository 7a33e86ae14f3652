"""Images for the tests, made in code; HEIC comes from files, too, whose bytes stay the same whatever x265 does next."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

from imagepipeline.probing.heif import _items_of

DATA = Path(__file__).parent / "data"


class CountingSource:
    """A stored object that remembers which ranges were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        data = self.data[offset : offset + length]
        self.reads.append((offset, len(data)))
        return data

    @property
    def bytes_read(self) -> int:
        return sum(length for _, length in self.reads)


def photo(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """A picture that looks different whichever way it is turned: a ramp a channel, in three directions."""
    ramp = Image.linear_gradient("L").resize((width, height))
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    picture = Image.merge("RGB", (ramp, across, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM)))
    if mode in ("RGBA", "LA", "PA"):
        picture = picture.convert("RGBA")
        picture.putalpha(across)
    if mode == "I;16":
        return Image.frombytes(mode, (width, height), b"".join(bytes((v, v)) for v in picture.convert("L").tobytes()))
    if mode == "LAB":
        return Image.frombytes(mode, (width, height), picture.tobytes())
    return picture.convert(mode)


def encoded(format_name: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A file with a `photo`, as Pillow writes it; `frames` many if that is among the options."""
    frames = options.pop("frames", 1)
    file = io.BytesIO()
    if frames > 1:
        more = [photo(*size, mode).rotate(10 * turn) for turn in range(1, frames)]
        options |= {"save_all": True, "append_images": more}
    photo(*size, mode).save(file, format_name, **options)
    return file.getvalue()


def jpeg_with_segments(*segments: bytes, **options: object) -> bytes:
    """A JPEG with these segments (marker and content) right after its start."""
    jpeg = encoded("JPEG", **options)
    inserted = b"".join(b"\xff" + s[:1] + struct.pack(">H", len(s) + 1) + s[1:] for s in segments)
    return jpeg[:2] + inserted + jpeg[2:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int = 40, height: int = 30, bit_depth: int = 8, color_type: int = 2, interlace: int = 0) -> bytes:
    """A PNG's signature and IHDR chunk."""
    ihdr = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", ihdr)


def png_with_chunks(*chunks: bytes) -> bytes:
    """A PNG with these chunks between IHDR and the picture."""
    png = encoded("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def raw_png(
    width: int, height: int, bit_depth: int, color_type: int, *, rows: bytes | None = None, interlace: int = 0
) -> bytes:
    """A PNG that Pillow does not write; `rows` are unfiltered, each after its filter byte, zeros by default."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    if rows is None:
        rows = bytes((1 + (width * channels * bit_depth + 7) // 8) * height)
    palette = png_chunk(b"PLTE", bytes(range(3 * 2 ** min(bit_depth, 6)))) if color_type == 3 else b""
    return (
        png_header(width, height, bit_depth, color_type, interlace)
        + palette
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def box(kind: str, *contents: bytes) -> bytes:
    """A box of an ISO media file."""
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + kind.encode("latin-1") + content


def full_box(kind: str, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *contents)


def heif(
    items: dict[int, tuple[str, list[bytes]]],
    *,
    primary: int = 1,
    references: tuple[bytes, ...] = (),
    brand: str = "heic",
    after_meta: bytes = b"",
) -> bytes:
    """The header of a HEIF file without pixels: `items` are number: (type, properties)."""
    known = [prop for _, properties in items.values() for prop in properties]
    associations, first = [], 1
    for number, (_, properties) in items.items():
        indexes = bytes(range(first, first + len(properties)))
        associations.append(struct.pack(">HB", number, len(indexes)) + indexes)
        first += len(properties)
    infe = [
        full_box("infe", struct.pack(">HH", number, 0) + kind.encode("latin-1") + b"\0", version=2)
        for number, (kind, _) in items.items()
    ]
    meta = full_box(
        "meta",
        full_box("hdlr", bytes(4), b"pict", bytes(13)),
        full_box("pitm", struct.pack(">H", primary)),
        full_box("iinf", struct.pack(">H", len(items)), *infe),
        box("iprp", box("ipco", *known), full_box("ipma", struct.pack(">I", len(items)), *associations)),
        full_box("iref", *references),
    )
    return box("ftyp", brand.encode(), bytes(4), brand.encode(), b"mif1") + meta + after_meta + box("mdat", bytes(64))


def ispe(width: int, height: int) -> bytes:
    return full_box("ispe", struct.pack(">II", width, height))


def clap(width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """What is to be shown: its size, and how far its middle is from the picture's."""
    return box("clap", struct.pack(">IIIIiIiI", width, 1, height, 1, right, 1, down, 1))


def heic(name: str) -> bytes:
    """One of the HEIC files in data/."""
    return (DATA / f"{name}.heic").read_bytes()


def heic_with(name: str, *properties: bytes) -> bytes:
    """The same with further properties of its primary item, number 1: `irot`, `imir` ..."""
    return heif_with(heic(name), *properties)


def heif_with(data: bytes, *properties: bytes) -> bytes:
    """A HEIC or AVIF file with further properties of its primary item, number 1."""
    meta_at = struct.unpack(">I", data[:4])[0]
    meta_length = struct.unpack(">I", data[meta_at : meta_at + 4])[0]
    meta = data[meta_at : meta_at + meta_length]
    added = b"".join(properties)
    growth = len(added) + len(properties)

    ipco_at = meta.index(b"ipco") - 4
    ipco_length = struct.unpack(">I", meta[ipco_at : ipco_at + 4])[0]
    known, at = 0, ipco_at + 8
    while at < ipco_at + ipco_length:
        known, at = known + 1, at + struct.unpack(">I", meta[at : at + 4])[0]
    ipma_at = meta.index(b"ipma") - 4
    count_at = ipma_at + 18  # after the box, version, entry count and the number of the first item
    indexes_end = count_at + 1 + meta[count_at]
    indexes = bytes(0x80 | index for index in range(known + 1, known + 1 + len(properties)))  # all of them essential

    grown = (
        meta[: ipco_at + ipco_length]
        + added
        + meta[ipco_at + ipco_length : count_at]
        + bytes((meta[count_at] + len(properties),))
        + meta[count_at + 1 : indexes_end]
        + indexes
        + meta[indexes_end:]
    )
    grown = lengthened(grown, 0, growth)
    grown = lengthened(grown, meta.index(b"iprp") - 4, growth)
    grown = lengthened(grown, ipco_at, len(added))
    grown = lengthened(grown, ipma_at + len(added), len(properties))
    return data[:meta_at] + _moved(grown, growth) + data[meta_at + meta_length :]


def lengthened(data: bytes, at: int, by: int) -> bytes:
    """The same with `by` more in the box length at `at`."""
    return data[:at] + struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + by) + data[at + 4 :]


def _moved(meta: bytes, by: int) -> bytes:
    """The same box with every location in its `iloc` (version 0, one extent an item) further back."""
    at = meta.index(b"iloc") + 8
    has_base = meta[at + 1] >> 4 > 0
    items = struct.unpack(">H", meta[at + 2 : at + 4])[0]
    for item in range(items):
        meta = lengthened(meta, at + 4 + item * (18 if has_base else 14) + (4 if has_base else 6), by)
    return meta


def heic_grid(
    rows: int = 2,
    columns: int = 2,
    *,
    size: tuple[int, int] = (230, 150),
    stated: tuple[int, int] | None = None,
    tiles: int | None = None,
    tile_size: tuple[int, int] = (120, 80),
    tile: bytes | None = None,
) -> bytes:
    """A HEIC as phones write it: a grid whose tiles are all the same (by default of 120x80), of which it shows `size`.

    Boxes may lie: about the whole (`stated`), the number of tiles, and a tile's size.
    """
    tile = tile or heic("photo")
    items = _items_of(tile)
    _, offset, length = items.extents[1][0]
    pixels = tile[offset : offset + length]
    numbers = [*range(2, 2 + (tiles or rows * columns))]
    properties = [
        ispe(*(stated or size)),
        ispe(*tile_size),
        *(box(name, items.all(1, name)[0]) for name in ("hvcC", "pixi")),
    ]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    infe = [
        full_box("infe", struct.pack(">HH4sB", number, 0, kind, 0), version=2)
        for number, kind in ((1, b"grid"), *((number, b"hvc1") for number in numbers))
    ]
    associations = b"".join(struct.pack(">HBBBB", number, 3, 2, 0x83, 4) for number in numbers)

    def meta(pixels_at: int) -> bytes:
        extents = struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))
        extents += b"".join(struct.pack(">HHHHII", number, 0, 0, 1, pixels_at, length) for number in numbers)
        return full_box(
            "meta",
            full_box("hdlr", bytes(4), b"pict", bytes(13)),
            full_box("pitm", struct.pack(">H", 1)),
            full_box("iinf", struct.pack(">H", 1 + len(numbers)), *infe),
            full_box("iref", box("dimg", struct.pack(f">HH{len(numbers)}H", 1, len(numbers), *numbers))),
            box(
                "iprp",
                box("ipco", *properties),
                full_box("ipma", struct.pack(">IHBBB", 1 + len(numbers), 1, 2, 1, 4), associations),
            ),
            full_box("iloc", struct.pack(">BBH", 0x44, 0, 1 + len(numbers)), extents, version=1),
            box("idat", grid),
        )

    start = box("ftyp", b"heic", bytes(4), b"mif1heic")
    return start + meta(len(start) + len(meta(0)) + 8) + box("mdat", pixels)

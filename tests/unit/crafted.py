"""Files that cost far more to decode than their size suggests, each as small code. Sizes are those that were found."""

import io
import struct
import zlib

import pillow_heif
from PIL import Image

from tests.unit import samples

# Of PNG's seven passes: every how many columns and rows, from which column and row on.
_ADAM7 = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))


def png_of_broken_texts(count: int = 12_000) -> bytes:
    """Each text inflates to just under a mebibyte, and then fails its checksum."""
    stream = zlib.compress(bytes(2**20 - 1), 9)[:-4] + b"????"
    png = samples.encoded("PNG")
    return png[:-12] + samples.png_chunk(b"zTXt", b"k\0\0" + stream) * count + png[-12:]


def interlaced_png(side: int = 10_000, bit_depth: int = 16, color_type: int = 6) -> bytes:
    """A black picture, whose pixels compress a thousandfold."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    bits = channels * bit_depth
    deflate = zlib.compressobj(9)
    pieces = []
    for across, down, left, top in (
        (8, 8, 0, 0),
        (8, 8, 4, 0),
        (4, 8, 0, 4),
        (4, 4, 2, 0),
        (2, 4, 0, 2),
        (2, 2, 1, 0),
        (1, 2, 0, 1),
    ):
        width, height = -(-(side - left) // across), -(-(side - top) // down)
        row = b"\4" + bytes((width * bits + 7) // 8)  # Paeth, the costliest filter
        pieces += [deflate.compress(row) for _ in range(height)]
    pixels = b"".join(pieces) + deflate.flush()
    header = samples.png_header(side, side, bit_depth, color_type, interlace=1)
    palette = samples.png_chunk(b"PLTE", bytes(6)) if color_type == 3 else b""
    return header + palette + samples.png_chunk(b"IDAT", pixels) + samples.png_chunk(b"IEND", b"")


def tiff_with_tag(kind: int = 3, count: int = 35_000_000, tag: int = 320) -> bytes:
    """A small picture with one tag of many SHORTs (3) or RATIONALs (5), of each of which Pillow makes an object."""
    size = {2: 1, 3: 2, 4: 4, 5: 8, 12: 8}[kind]
    entries = [
        (256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1),
        (273, 4, 1, 200), (277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 16),
        (tag, kind, count, 300),
    ]  # fmt: skip
    entries.sort()
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)
    return head.ljust(200, b"\0") + bytes(100) + b"\7\0\1\0" * (count * size // 4 + 1)


def run_length_bmp(width: int = 57_000, height: int = 1750) -> bytes:
    """One pixel in each row, whose rest Pillow fills byte by byte."""
    rows = b"\1\1\0\0" * height + b"\0\1"
    offset = 14 + 40 + 4 * 256
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + bytes(4 * 256) + rows


def avif_with_references(count: int = 74_000) -> bytes:
    """An AVIF whose picture refers to so many others."""
    references = [samples.box("dimg", struct.pack(">HHH", 2 + n % 60_000, 1, 1)) for n in range(count)]
    avif = samples.encoded("AVIF")
    return _with_meta_box(avif, samples.full_box("iref", *references))


def avif_of_many_alphas(inputs: int = 30_000, alphas: int = 60_000) -> bytes:
    """A header whose picture claims to be made of many items, and to have as many transparencies."""
    made_of = samples.box("dimg", struct.pack(f">HH{inputs}H", 1, inputs, *range(2, 2 + inputs)))
    auxiliaries = [samples.box("auxl", struct.pack(">HHH", 2, 1, 65_535)) for _ in range(alphas)]
    items = {1: ("av01", [samples.ispe(64, 64)])}
    return samples.heif(items, references=(made_of, *auxiliaries), brand="avif")


def _with_meta_box(data: bytes, added: bytes) -> bytes:
    """An AVIF with a further box in `meta`; where its pixels are is moved."""
    meta_at = struct.unpack(">I", data[:4])[0]
    length = struct.unpack(">I", data[meta_at : meta_at + 4])[0]
    meta = samples._moved(data[meta_at : meta_at + length], len(added))
    return data[:meta_at] + struct.pack(">I", length + len(added)) + meta[4:] + added + data[meta_at + length :]


def arithmetic_jpeg(side: int = 10_000, scans: int = 100, *, components: int = 3) -> bytes:
    """An arithmetic-coded progressive JPEG whose scans hold next to nothing, and refine all pixels again and again."""
    frame = struct.pack(">BHHB", 8, side, side, components)
    frame += b"".join(bytes((number, 0x11, 0)) for number in range(1, components + 1))
    numbers = b"".join(bytes((number, 0)) for number in range(1, components + 1))
    scans_data = _segment(0xDA, bytes((components,)) + numbers + b"\0\0\1") + b"\xfe" * 50
    for scan in range(scans - 1):  # the highest bit of each component, then bit by bit down to the lowest
        high, low = (0, 13) if scan < components else (max(0, 12 - scan // 3) + 1, max(0, 12 - scan // 3))
        scans_data += _segment(0xDA, bytes((1, 1 + scan % components, 0, 1, 63, high << 4 | low))) + b"\xfe" * 50
    table = _segment(0xDB, b"\0" + bytes([1] * 64))
    return b"\xff\xd8" + table + _segment(0xCA, frame) + scans_data + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_of_stray_bytes(segments: int = 999, strays: int = 4095) -> bytes:
    """Bytes that belong to nothing, before every segment."""
    jpeg = samples.encoded("JPEG")
    return jpeg[:2] + _segment(0xFE, b"") + (bytes(strays) + _segment(0xFE, b"")) * segments + jpeg[2:]


def gif_of_tiny_blocks(count: int = 2_000_000) -> bytes:
    """A comment in pieces of one byte each, before the picture."""
    gif = samples.encoded("GIF", "L")
    at = 13 + 3 * 2 ** ((gif[10] & 7) + 1) if gif[10] & 0x80 else 13
    return gif[:at] + b"\x21\xfe" + b"\1a" * count + b"\0" + gif[at:]


def jpeg_that_ends_early(side: int = 10_000, *, progressive: bool = False) -> bytes:
    """A small picture whose header says that it is a large one."""
    jpeg = bytearray(samples.encoded("JPEG", progressive=progressive))
    at = jpeg.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", jpeg, at + 5, side, side)
    return bytes(jpeg)


def plain(format_name: str, mode: str, side: int, **options: object) -> bytes:
    """A picture of one colour, which compresses best."""
    file = io.BytesIO()
    Image.new(mode, (side, side), 1 if mode in ("1", "L") else (1, 2, 3, 4)[: len(mode)]).save(
        file, format_name, **options
    )
    return file.getvalue()


def heic_of_one_tile(rows: int = 15, columns: int = 15, side: int = 512) -> bytes:
    """A grid of the same tile again and again."""
    tile = io.BytesIO()
    pillow_heif.from_pillow(samples.photo(side, side)).save(tile, quality=50)
    size = (columns * side, rows * side)
    return samples.heic_grid(rows, columns, size=size, tile_size=(side, side), tile=tile.getvalue())


def costly(format_name: str) -> list[bytes]:
    """Files of a format that cost about as much as the limits allow."""
    return {
        "JPEG": lambda: [
            arithmetic_jpeg(),
            plain("JPEG", "RGB", 10_000),
            plain("JPEG", "CMYK", 10_000, progressive=True),
        ],
        "PNG": lambda: [interlaced_png(), interlaced_png(bit_depth=8, color_type=3), plain("PNG", "RGBA", 10_000)],
        "GIF": lambda: [plain("GIF", "L", 10_000)],
        "WEBP": lambda: [plain("WEBP", "RGBA", 9400, lossless=True, method=0), plain("WEBP", "RGB", 9400, method=0)],
        "TIFF": lambda: [
            plain("TIFF", "1", 10_000, compression="group4"),
            plain("TIFF", "RGBA", 10_000, compression="tiff_lzw"),
            plain("TIFF", "RGBA", 10_000, compression="tiff_adobe_deflate"),
            plain("TIFF", "RGB", 10_000, compression="jpeg"),
            tiff_with_tag(5, 9_999, 282),
        ],
        "BMP": lambda: [run_length_bmp()],
        "AVIF": lambda: [plain("AVIF", "RGBA", 9000, speed=10), avif_with_references(), avif_of_many_alphas()],
        "HEIC": lambda: [heic_of_one_tile()],
    }[format_name]()


def avif_that_states(width: int, height: int, coded: tuple[int, int] = (400, 300)) -> bytes:
    """An AVIF coded in one size whose boxes state another."""
    avif = samples.encoded("AVIF", size=coded)
    return avif.replace(samples.ispe(*coded), samples.ispe(width, height))


def avif_of_many_properties(tiles: int = 1000, associations: int = 480_000) -> bytes:
    """A header of many tiles, all one item, whose size comes after thousands of other properties."""
    made_of = samples.box("dimg", struct.pack(f">HH{tiles}H", 1, tiles, *[2] * tiles))
    items = {1: ("grid", [samples.ispe(64, 64)]), 2: ("av01", [samples.ispe(8, 8)])}
    avif = samples.heif(items, references=(made_of,), brand="avif")
    entry = struct.pack(">HB", 2, 255) + b"\1" * 255
    count = associations // 255
    ipma = samples.full_box("ipma", struct.pack(">I", count), entry * count)
    at = avif.index(b"iprp") - 4
    avif = samples.lengthened(avif, at, len(ipma))
    avif = samples.lengthened(avif, avif.index(b"meta") - 4, len(ipma))
    return avif[: at + 8] + ipma + avif[at + 8 :]

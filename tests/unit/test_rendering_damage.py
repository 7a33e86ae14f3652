"""Damaged files are rejected, not tolerated, and reach no decoder but their own."""

import struct
import subprocess
import sys

import pytest

from imagepipeline import renditions
from imagepipeline.errors import DamagedImage, ImageRejected, UnsupportedFormat
from imagepipeline.models import Header
from imagepipeline.rendering import render
from tests.unit import samples
from tests.unit.photos import rendered, rendition

SIZE = (200, 150)
SPECS = renditions.parse("small=30x30")
KINDS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {"quality": 80}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("AVIF", {"speed": 10}),
]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize(("format_name", "options"), KINDS)
def test_a_truncated_file_is_rejected(format_name, options, share):
    file = samples.encoded(format_name, size=SIZE, **options)

    with pytest.raises(ImageRejected):
        rendered(file[: round(len(file) * share)])


def test_a_truncated_heic_is_rejected():
    file = samples.heic("photo")

    with pytest.raises(ImageRejected):
        rendered(file[: len(file) * 9 // 10])


def test_a_png_without_its_end_is_rejected():
    file = samples.encoded("PNG", size=SIZE)

    with pytest.raises(DamagedImage, match="truncated"):
        rendered(file[:-12])


def test_a_png_with_one_bit_flipped_in_its_pixels_is_rejected():
    file = bytearray(samples.encoded("PNG", size=SIZE))
    file[file.index(b"IDAT") + 200] ^= 1

    with pytest.raises(DamagedImage, match=r"IDAT chunk at byte .* fails its checksum"):
        rendered(bytes(file))


@pytest.mark.parametrize(
    "animation",
    [
        samples.png_chunk(b"acTL", bytes(8)),
        samples.png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        samples.png_chunk(b"acTL", struct.pack(">II", 2, 0)) + samples.png_chunk(b"fcTL", bytes(26)),
        samples.png_chunk(b"acTL", b"short"),
        samples.png_chunk(b"fdAT", bytes(3)),
        samples.png_chunk(b"tRNS", b"\0"),
        samples.png_chunk(b"tEXt", b"no end")[:-1] + b"?",
    ],
    ids=["no frames", "2**31 frames", "an empty frame", "short", "no sequence number", "tRNS", "checksum"],
)
def test_a_png_that_every_viewer_shows_is_rendered(animation):
    file = samples.png_with_chunks(animation)

    assert rendition(file, "small=40x30:png").tobytes() == samples.photo().tobytes()


@pytest.mark.parametrize("actual", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM", "TGA", "EPS", "PDF"])
def test_no_decoder_but_the_promised_one_is_reached(actual):
    file = samples.encoded(actual, size=SIZE)

    for promised in {"JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIC"} - {actual}:
        with pytest.raises(DamagedImage):
            render(file, Header(promised, *SIZE), SPECS)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_a_picture_of_another_size_than_its_header_states_is_damaged(format_name):
    file = samples.encoded(format_name, size=SIZE)

    with pytest.raises(DamagedImage, match="its header says 100x100, its content 200x150"):
        render(file, Header(format_name, 100, 100), SPECS)


def test_only_the_plugin_that_is_needed_is_imported():
    # Image.open and Image.save with a format's name import five plug-ins, in every cold start.
    jpeg = samples.encoded("JPEG")
    program = (
        "import sys; data = sys.stdin.buffer.read();"
        "from imagepipeline import renditions; from imagepipeline.models import Header;"
        "from imagepipeline.rendering import render; render(data, Header('JPEG', 40, 30), renditions.parse('a=9x9'));"
        "print(*sorted(name for name in sys.modules if name.endswith('ImagePlugin')))"
    )

    loaded = subprocess.run([sys.executable, "-c", program], input=jpeg, capture_output=True, check=True).stdout

    assert loaded.decode().split() == ["PIL.JpegImagePlugin"]


@pytest.mark.parametrize("shown", [(0, 10), (10, 0), (60, 10)], ids=["no width", "no height", "wider than the picture"])
def test_an_avif_that_shows_nothing_of_its_picture_is_damaged(shown):
    file = samples.heif_with(samples.encoded("AVIF", size=SIZE), samples.clap(*shown, right=SIZE[0] // 2))

    with pytest.raises(DamagedImage, match="clean aperture"):
        rendered(file)


def bmp_of_four_bits_a_channel() -> bytes:
    masks = struct.pack("<4I", 0x0F00, 0x00F0, 0x000F, 0xF000)
    header = struct.pack("<IiiHHIIiiII", 108, 4, 4, 1, 16, 3, 32, 0, 0, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 122) + header.ljust(108, b"\0") + bytes(32)


def tiff_of_deep_shades_with_alpha() -> bytes:
    tags = [(256, 3, 4), (257, 3, 4), (258, 3, 16), (262, 3, 1), (273, 4, 200), (277, 3, 2), (279, 4, 64), (338, 3, 2)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)).ljust(200, b"\0") + bytes(64)


@pytest.mark.parametrize("file", [bmp_of_four_bits_a_channel(), tiff_of_deep_shades_with_alpha()], ids=["BMP", "TIFF"])
def test_a_valid_file_that_pillow_cannot_read_is_unsupported(file):
    with pytest.raises(UnsupportedFormat, match="laid out in a way that is rarely used"):
        rendered(file)

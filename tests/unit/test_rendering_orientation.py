"""However a picture is stored, its renditions are upright, and turned only once."""

import struct

import pytest
from PIL import Image

from tests.unit import samples
from tests.unit.photos import ORIENTATIONS, distance, rendered, rendition, scaled, seen

SIZE = (60, 40)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("format_name", "options"),
    [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 95})],
)
def test_a_photo_taken_sideways_is_shown_upright(format_name, options, orientation):
    file = samples.encoded(format_name, size=SIZE, exif=exif(orientation), **options)

    result = rendered(file, "small=30x30:png")

    as_seen = seen(samples.photo(*SIZE), orientation)
    small = rendition(file, "small=30x30:png")
    assert (result.picture.width, result.picture.height) == as_seen.size
    assert result.picture.orientation == orientation
    assert distance(small, scaled(as_seen, small.size)) < 4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_size_of_the_cascade_is_turned_the_same(orientation):
    file = samples.encoded("JPEG", size=(300, 200), quality=95, exif=exif(orientation))

    result = rendered(file)

    as_seen = seen(samples.photo(300, 200), orientation)
    for wanted in ("small=30x30", "medium=100x80", "large=250x250"):
        small = rendition(file, wanted)
        assert distance(small, scaled(as_seen, small.size)) < 5
    assert (result.picture.width, result.picture.height) == as_seen.size


@pytest.mark.parametrize(
    ("turns", "mirror", "orientation"),
    [(0, None, 1), (1, None, 8), (2, None, 3), (3, None, 6), (0, 0, 4), (0, 1, 2), (1, 0, 5), (3, 0, 7)],
)
def test_heic_is_turned_by_its_own_properties_and_only_once(turns, mirror, orientation):
    properties = [samples.box("irot", bytes((turns,)))]
    if mirror is not None:
        properties.append(samples.box("imir", bytes((mirror,))))
    file = samples.heic_with("photo", *properties)

    small = rendition(file, "small=60x60:png")

    stored = rendition(samples.heic("photo"), "full=4096x4096:png")
    as_seen = seen(stored, orientation)
    assert distance(small, scaled(as_seen, small.size)) < 4
    assert rendered(file).picture.orientation == orientation


@pytest.mark.parametrize("format_name", ["AVIF", "HEIC"])
@pytest.mark.parametrize("turns", [0, 1])
def test_only_the_clean_aperture_of_a_picture_is_shown(format_name, turns):
    stored = samples.encoded("AVIF", size=(120, 80), quality=95) if format_name == "AVIF" else samples.heic("photo")
    whole = rendition(stored, "full=120x120:png")
    file = samples.heif_with(stored, samples.clap(60, 40, right=20, down=-10), samples.box("irot", bytes((turns,))))

    result = rendered(file)
    small = rendition(file, "full=120x120:png")

    as_seen = whole.crop((50, 10, 110, 50)).rotate(90 * turns, expand=True)
    assert small.size == (result.picture.width, result.picture.height) == as_seen.size
    assert distance(small, as_seen) < 3


def test_a_box_that_is_not_square_contains_the_upright_picture():
    file = samples.encoded("JPEG", size=(400, 200), exif=exif(6))

    small = rendition(file, "small=100x60")

    assert small.size == (30, 60)


def test_exif_after_the_pixels_of_a_png_counts():
    png = samples.encoded("PNG", size=SIZE)
    late = png[:-12] + samples.png_chunk(b"eXIf", exif(6)) + png[-12:]

    small = rendition(late, "small=30x30:png")

    assert distance(small, scaled(seen(samples.photo(*SIZE), 6), (20, 30))) < 4


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(30),
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04six\0" + bytes(4),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0) + bytes(4),
    ],
    ids=["empty", "garbage", "nowhere", "cut short", "a text", "nine"],
)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_ignored(format_name, broken):
    file = samples.encoded(format_name, size=SIZE, exif=broken)

    small = rendition(file, "small=30x30:png")

    assert distance(small, scaled(samples.photo(*SIZE), (30, 20))) < 4
    assert rendered(file).picture.orientation == 1


def test_the_exif_orientation_in_a_text_chunk_of_imagemagick_counts():
    text = b"Raw profile type exif\0\nexif\n       0\n" + exif(6).hex().encode() + b"\n"
    png = samples.encoded("PNG", size=SIZE)

    result = rendered(png[:33] + samples.png_chunk(b"tEXt", text) + png[33:])

    assert result.picture.orientation == 6
    assert (result.picture.width, result.picture.height) == SIZE[::-1]

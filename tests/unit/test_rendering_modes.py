"""Every pixel mode of every format is rendered faithfully: depth, palette, transparency, frames."""

import io
import struct

import pillow_heif
import pytest
from PIL import Image, ImageCms

from imagepipeline.errors import UnsupportedFormat
from tests.unit import samples
from tests.unit.photos import distance, on_white, opened, rendered, rendition, scaled

SIZE = (60, 40)

OPAQUE = [
    ("JPEG", "L", {"quality": 95}),
    ("JPEG", "RGB", {"quality": 95}),
    ("JPEG", "RGB", {"quality": 95, "progressive": True}),
    ("JPEG", "RGB", {"quality": 95, "subsampling": 0}),
    ("JPEG", "RGB", {"quality": 95, "keep_rgb": True}),
    ("JPEG", "CMYK", {"quality": 95}),
    ("PNG", "1", {}),
    ("PNG", "L", {}),
    ("PNG", "P", {}),
    ("PNG", "RGB", {}),
    ("PNG", "I;16", {}),
    ("GIF", "L", {}),
    ("GIF", "P", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGB", {"lossless": True, "frames": 3}),
    ("TIFF", "1", {}),
    ("TIFF", "L", {"compression": "tiff_lzw"}),
    ("TIFF", "P", {}),
    ("TIFF", "RGB", {"compression": "jpeg", "quality": 95}),
    ("TIFF", "RGB", {"frames": 3}),
    ("TIFF", "CMYK", {}),
    ("TIFF", "YCbCr", {}),
    ("TIFF", "I;16", {"compression": "tiff_adobe_deflate"}),
    ("BMP", "1", {}),
    ("BMP", "L", {}),
    ("BMP", "P", {}),
    ("BMP", "RGB", {}),
    ("AVIF", "RGB", {"quality": 95}),
    ("AVIF", "RGB", {"quality": 95, "frames": 3}),
]
TRANSPARENT = [
    ("PNG", "LA", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "RGBA", {"frames": 3, "default_image": False}),
    ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    ("TIFF", "LA", {}),
    ("TIFF", "RGBA", {}),
    ("AVIF", "RGBA", {"quality": 95}),
]


def _shown(mode: str) -> Image.Image:
    """The sample photo as a viewer shows it once it is in this mode."""
    photo = samples.photo(*SIZE, mode)
    if mode == "I;16":
        return samples.photo(*SIZE, "L")
    return photo.convert("RGBA") if photo.has_transparency_data else photo.convert("RGB")


@pytest.mark.parametrize(("format_name", "mode", "options"), OPAQUE)
def test_an_opaque_picture_looks_like_its_original(format_name, mode, options):
    file = samples.encoded(format_name, mode, SIZE, **options)

    as_jpeg = rendition(file, "small=30x30:q=95")
    as_png = rendition(file, "small=30x30:png")

    expected = scaled(_shown(mode), (30, 20))
    assert not as_png.has_transparency_data
    assert distance(as_png, expected) < 4
    assert distance(as_jpeg, expected) < 6


@pytest.mark.parametrize(("format_name", "mode", "options"), TRANSPARENT)
def test_transparency_is_kept_or_put_on_white_if_the_format_has_none(format_name, mode, options):
    file = samples.encoded(format_name, mode, SIZE, **options)

    kept = [rendition(file, f"small=30x30:{output}") for output in ("png", "webp:q=95", "avif:q=95")]
    as_jpeg = rendition(file, "small=30x30:q=95")

    expected = scaled(_shown(mode), (30, 20))
    for image in kept:
        assert image.has_transparency_data
        assert distance(on_white(image), on_white(expected)) < 4
        assert distance(image.getchannel("A"), expected.getchannel("A")) < 3
    assert distance(as_jpeg, on_white(expected)) < 5


@pytest.mark.parametrize("output", ["png", "webp", "avif"])
def test_heic_keeps_its_transparency(output):
    small = rendition(samples.heic("alpha"), f"small=60x60:{output}")

    assert distance(small.getchannel("A"), Image.linear_gradient("L").resize((60, 40))) < 4


@pytest.mark.parametrize("name", ["photo", "odd", "grey"])
def test_heic_looks_like_its_original(name):
    ramp = Image.linear_gradient("L").resize((120, 80))
    bands = (ramp, ramp.rotate(90).resize((120, 80)), ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    original = Image.merge("RGB", bands)

    small = rendition(samples.heic(name), "small=60x60:png")

    expected = scaled(original.convert("L") if name == "grey" else original, (60, 40))
    assert distance(small, expected) < 6


@pytest.mark.parametrize("mode", ["L;16", "RGB;16"])
def test_heic_of_ten_bits_is_scaled_not_clipped(mode):
    channels = 3 if mode.startswith("RGB") else 1
    row = b"".join(struct.pack("<H", 65535 * x // 119) * channels for x in range(120))
    file = io.BytesIO()
    pillow_heif.from_bytes(mode=mode, size=(120, 80), data=row * 80).save(file, quality=90)

    small = rendition(file.getvalue(), "small=60x60:png")

    assert distance(small, Image.linear_gradient("L").rotate(90).resize((60, 40)).convert(small.mode)) < 3


@pytest.mark.parametrize(("format_name", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("GIF", "P")])
def test_a_colour_that_is_stated_to_be_transparent_is_transparent(format_name, mode):
    picture = Image.new("RGB", SIZE, "red")
    picture.paste("blue", (30, 0, 60, 40))
    picture = picture.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, format_name, transparency=picture.getpixel((45, 20)))

    small = rendition(file.getvalue(), "small=30x30:png")

    red = picture.convert("RGB").getpixel((10, 20))
    assert small.convert("RGBA").getpixel((5, 10)) == (*red, 255)
    assert small.convert("RGBA").getpixel((25, 10))[3] == 0


@pytest.mark.parametrize("color_type", [0, 2])
def test_a_deep_colour_that_is_stated_to_be_transparent_is_transparent(color_type):
    channels = 3 if color_type else 1
    dark, light = b"\x12\x34" * channels, b"\xfe\xdc" * channels
    rows = (b"\0" + dark * 30 + light * 30) * 40
    png = samples.raw_png(*SIZE, 16, color_type, rows=rows)
    png = png[:33] + samples.png_chunk(b"tRNS", light) + png[33:]

    small = rendition(png, "small=30x30:png").convert("RGBA")

    assert small.getpixel((5, 10)) == (0x12, 0x12, 0x12, 255)
    assert small.getpixel((25, 10))[3] == 0


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
def test_a_gray_of_few_bits_that_is_stated_to_be_transparent_is_transparent(bit_depth):
    brightest = 2**bit_depth - 1
    per_byte, every_bit = 8 // bit_depth, b"\xff"
    row = b"\0" + bytes(16 // per_byte) + every_bit * (16 // per_byte)
    png = samples.raw_png(32, 32, bit_depth, 0, rows=row * 32)
    png = png[:33] + samples.png_chunk(b"tRNS", brightest.to_bytes(2)) + png[33:]

    small = rendition(png, "full=32x32:png").convert("RGBA")

    assert small.getpixel((5, 10)) == (0, 0, 0, 255)
    assert small.getpixel((25, 10))[3] == 0


@pytest.mark.parametrize("color_type", [0, 2, 4, 6])
def test_sixteen_bits_are_scaled_not_clipped(color_type):
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color_type]
    has_alpha = color_type >= 4
    rows = b""
    for y in range(40):
        shade = (y * 65535 // 39).to_bytes(2)
        rows += b"\0" + (shade * (channels - has_alpha) + b"\xff\xff" * has_alpha) * 60
    png = samples.raw_png(60, 40, 16, color_type, rows=rows)

    small = rendition(png, "full=60x60:png").convert("L")

    assert [small.getpixel((30, y)) for y in range(40)] == pytest.approx([y * 255 / 39 for y in range(40)], abs=1.1)


@pytest.mark.parametrize("bit_depth", [1, 2, 4])
def test_few_bits_reach_from_black_to_white(bit_depth):
    levels = 2**bit_depth
    per_byte = 8 // bit_depth
    row = [x * levels // 32 for x in range(32)]
    packed = bytes(
        sum(value << bit_depth * (per_byte - 1 - place) for place, value in enumerate(row[at : at + per_byte]))
        for at in range(0, 32, per_byte)
    )
    png = samples.raw_png(32, 8, bit_depth, 0, rows=(b"\0" + packed) * 8)

    full = rendition(png, "full=32x32:png").convert("L")

    assert [full.getpixel((x, 4)) for x in range(32)] == [value * 255 // (levels - 1) for value in row]


@pytest.mark.parametrize(("format_name", "mode"), [("PNG", "1"), ("GIF", "P"), ("TIFF", "1")])
def test_bits_and_palettes_are_smoothed(format_name, mode):
    checkered = Image.effect_noise((64, 64), 100).convert("1").convert(mode)
    file = io.BytesIO()
    checkered.save(file, format_name)

    small = rendition(file.getvalue(), "small=8x8:png").convert("L")

    assert len(small.getcolors()) > 8


def test_transparent_pixels_do_not_bleed():
    picture = Image.new("RGBA", SIZE, (0, 255, 0, 0))  # invisible green
    picture.paste((255, 0, 0, 255), (20, 10, 40, 30))
    file = io.BytesIO()
    picture.save(file, "PNG")

    for wanted in ("a=17x17:png", "b=25x5:cover:png", "c=17x17:blur:png"):
        small = rendition(file.getvalue(), wanted)
        visible = [(r, g) for r, g, _, alpha in small.convert("RGBA").get_flattened_data() if alpha > 32]
        assert visible
        assert all(red > 220 and green < 24 for red, green in visible)


def test_an_alpha_channel_without_transparency_is_dropped():
    picture = samples.photo(*SIZE)
    picture.putalpha(255)
    file = io.BytesIO()
    picture.save(file, "PNG")

    assert rendition(file.getvalue(), "small=30x30:png").mode == "RGB"


def test_a_grayscale_picture_stays_grayscale():
    assert rendition(samples.encoded("PNG", "L", SIZE)).mode == "L"


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_unknown_range_are_rejected(mode):
    file = samples.encoded("TIFF", mode, SIZE)

    with pytest.raises(UnsupportedFormat, match="32-bit samples"):
        rendered(file)


@pytest.mark.parametrize(("format_name", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("TIFF", "LA")])
def test_a_large_picture_converted_in_strips_shows_no_seams(format_name, mode, monkeypatch):
    monkeypatch.setattr("imagepipeline.rendering.resizing._STRIP_PIXELS", 37 * 600)
    file = samples.encoded(format_name, mode, (600, 401))

    small = rendition(file, "small=60x60:png")

    shown = samples.photo(600, 401, "L" if mode == "I;16" else mode)
    shown = shown.convert("RGBA") if shown.has_transparency_data else shown.convert("RGB")
    assert distance(small, scaled(shown, small.size)) < 1.5


def test_renditions_have_no_metadata():
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    file = samples.encoded(
        "JPEG",
        size=SIZE,
        exif=tags.tobytes(),
        comment=b"private",
        xmp=b"<x:xmpmeta>private</x:xmpmeta>",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )

    for output in ("jpeg", "webp", "avif", "png"):
        small = opened(rendered(file, f"small=30x30:{output}").renditions["small"].data)
        assert not {"exif", "icc_profile", "comment", "xmp"} & small.info.keys()


def test_only_the_stated_gray_of_a_deep_png_is_transparent():
    rows = b"".join(b"\0" + struct.pack(">40H", *[40_000] * 20, *[40_001] * 20) for _ in range(30))
    png = samples.raw_png(40, 30, 16, 0, rows=rows)
    file = png[:33] + samples.png_chunk(b"tRNS", struct.pack(">H", 40_000)) + png[33:]

    small = rendition(file, "small=40x30:png")

    assert small.getpixel((5, 5))[-1] == 0
    assert small.getpixel((35, 5)) == (156, 255)

"""Colours are converted to sRGB, whatever profile a picture has."""

import io
import struct
import zlib

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageCms

from imagepipeline.rendering import Rendered
from tests.unit import samples
from tests.unit.photos import distance, opened, rendered, rendition, scaled

SIZE = (60, 40)

# Primaries and white (x, y) and the exponent of some colour spaces, from their specifications.
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), None  # None: the curve of sRGB
BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), None  # and the curve that screens show it with
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), None
_D65, _D50_XYZ = (0.3127, 0.3290), (0.9642, 1.0, 0.8249)


def profile(space, description: str) -> bytes:
    """A matrix profile (ICC.1, version 2) for a colour space."""
    primaries, gamma = space
    columns = _adapted(_to_xyz(primaries))
    curve = (
        struct.pack(">4s4xIH", b"curv", 1, round(gamma * 256))
        if gamma
        else struct.pack(">4s4xI1024H", b"curv", 1024, *(round(65535 * _linear(i / 1023)) for i in range(1024)))
    )
    text = description.encode() + b"\0"
    tags = {
        b"desc": struct.pack(">4s4xI", b"desc", len(text)) + text + bytes(78),
        b"wtpt": _xyz(_D50_XYZ),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _assembled(tags, b"RGB ")


def grey_profile(gamma: float) -> bytes:
    text = b"grey\0"
    tags = {
        b"desc": struct.pack(">4s4xI", b"desc", len(text)) + text + bytes(78),
        b"wtpt": _xyz(_D50_XYZ),
        b"kTRC": struct.pack(">4s4xIH", b"curv", 1, round(gamma * 256)),
    }
    return _assembled(tags, b"GRAY")


def _assembled(tags: dict[bytes, bytes], color_space: bytes) -> bytes:
    table, contents, at = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, at + len(contents), len(content))
        contents += content
    header = struct.pack(">I4xI4s4s4s12x4s28x", at + len(contents), 0x02400000, b"mntr", color_space, b"XYZ ", b"acsp")
    header += struct.pack(">3I", *(round(v * 65536) for v in _D50_XYZ)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + contents


def _xyz(values) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(value: float) -> float:
    value = min(max(value, 0), 1)
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _to_xyz(primaries):
    """The XYZ of each primary at full strength, so that together they make the white D65."""
    columns = [(x / y, 1, (1 - x - y) / y) for x, y in primaries]
    white = (_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1])
    strengths = _solved(columns, white)
    return [tuple(strength * value for value in column) for strength, column in zip(strengths, columns, strict=True)]


def _solved(columns, target):
    """The weights of three columns whose sum is the target, by Cramer's rule."""

    def determinant(a, b, c):
        return (
            a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
        )

    whole = determinant(*columns)
    return [determinant(*(target if i == j else columns[j] for j in range(3))) / whole for i in range(3)]


def _adapted(columns):
    """D65 to D50 by Bradford's matrix, as ICC profiles want it."""
    bradford = (
        (1.0478112, 0.0228866, -0.0501270),
        (0.0295424, 0.9904844, -0.0170491),
        (-0.0092345, 0.0150436, 0.7521316),
    )
    return [tuple(sum(m * v for m, v in zip(row, column, strict=True)) for row in bradford) for column in columns]


def in_srgb(color, space) -> tuple[int, ...]:
    """What a colour of another space is in sRGB, by the definition of both."""
    primaries, gamma = space
    linear = [(value / 255) ** gamma if gamma else _linear(value / 255) for value in color]
    xyz = [sum(v * c for v, c in zip(linear, row, strict=True)) for row in zip(*_to_xyz(primaries), strict=True)]
    return tuple(round(255 * _encoded(value)) for value in _solved(_to_xyz(SRGB[0]), xyz))


COLORS = [(200, 100, 60), (90, 160, 90), (70, 80, 160), (128, 128, 128), (230, 220, 210)]


def striped() -> Image.Image:
    """A stripe of each colour."""
    picture = Image.new("RGB", (20 * len(COLORS), 20))
    for number, color in enumerate(COLORS):
        picture.paste(color, (20 * number, 0, 20 * number + 20, 20))
    return picture


def seen_in_stripes(result: Rendered) -> list[tuple[int, ...]]:
    """The colour in the middle of each stripe of a rendition of the same size."""
    picture = opened(result.renditions["same"].data)
    return [picture.getpixel((20 * number + 10, 10)) for number in range(len(COLORS))]


@pytest.mark.parametrize(("name", "space"), [("Display P3", DISPLAY_P3), ("Adobe RGB (1998)", ADOBE_RGB)])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("output", ["jpeg:q=95", "png"])
def test_a_wide_gamut_is_converted_to_srgb(format_name, name, space, output):
    file = io.BytesIO()
    options = (
        {"lossless": True} if format_name == "WEBP" else {"quality": 95} if format_name in ("JPEG", "AVIF") else {}
    )
    striped().save(file, format_name, icc_profile=profile(space, name), **options)

    result = rendered(file.getvalue(), f"same=100x20:{output}")

    for color, seen in zip(COLORS, seen_in_stripes(result), strict=True):
        assert seen == pytest.approx(in_srgb(color, space), abs=4)
    assert result.picture.color_space == name
    assert result.picture.notes == ()


def stating(primaries: int, transfer: int, format_name: str, color, **options) -> bytes:
    """A picture, or one of one colour, that states its colour space by code points."""
    picture, file = color if isinstance(color, Image.Image) else Image.new("RGB", SIZE, color), io.BytesIO()
    if format_name == "PNG":
        picture.save(file, "PNG", **options)
        data = file.getvalue()
        return data[:33] + samples.png_chunk(b"cICP", bytes((primaries, transfer, 0, 1))) + data[33:]
    if format_name == "HEIC":
        pillow_heif.from_pillow(picture).save(file, quality=100)
    else:
        picture.save(file, format_name, quality=100, **options)
    as_written = b"nclx" + struct.pack(">HH", 1, 13)
    return file.getvalue().replace(as_written, b"nclx" + struct.pack(">HH", primaries, transfer))


@pytest.mark.parametrize(
    ("primaries", "transfer", "name", "space"),
    [
        (12, 13, "Display P3", DISPLAY_P3),
        (9, 1, "BT.2020", BT_2020),
        (9, 14, "BT.2020", BT_2020),
        (12, 4, "Display P3 gamma 2.2", (DISPLAY_P3[0], 2.2)),
        (1, 8, "BT.709 linear", (SRGB[0], 1.0)),
    ],
)
@pytest.mark.parametrize("format_name", ["PNG", "AVIF", "HEIC"])
def test_a_colour_space_stated_by_code_points_is_applied(format_name, primaries, transfer, name, space):
    result = rendered(stating(primaries, transfer, format_name, striped()), "same=100x20:png")

    for color, seen in zip(COLORS, seen_in_stripes(result), strict=True):
        assert seen == pytest.approx(in_srgb(color, space), abs=4)
    assert result.picture.color_space == name


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (1, 1), (2, 2), (12, 2**16 - 1), (22, 13)])
def test_code_points_for_srgb_or_unknown_ones_change_nothing(primaries, transfer):
    file = stating(primaries, transfer, "AVIF", COLORS[0])

    assert rendition(file, "small=30x30:png").getpixel((15, 10)) == pytest.approx(COLORS[0], abs=4)
    assert rendered(file).picture.color_space == "sRGB"


@pytest.mark.parametrize(
    ("transfer", "stored", "shown"),
    [
        # Dark to middle as without HDR: relative to white (203 cd/m²), which PQ stores as 58 % and HLG as 75 %.
        (16, 0, 0),
        (16, 117, 148),  # 60 cd/m²
        (16, 130, 187),  # 100
        (18, 128, 138),  # half the signal: a twelfth of the scene's light
        (16, 148, 241),  # 203, beside which there has to be room for more
        (16, 192, 255),  # 1,000
        (18, 255, 255),
    ],
)
@pytest.mark.parametrize("format_name", ["PNG", "AVIF", "HEIC"])
def test_a_high_dynamic_range_is_compressed_to_that_of_a_display(format_name, transfer, stored, shown):
    file = stating(9, transfer, format_name, (stored,) * 3)

    result = rendered(file, "small=30x30:png")

    assert rendition(file, "small=30x30:png").getpixel((15, 10)) == pytest.approx((shown,) * 3, abs=5)
    assert result.picture.color_space == {16: "BT.2020 PQ", 18: "BT.2020 HLG"}[transfer]


def test_an_embedded_profile_counts_before_code_points_except_in_a_png():
    icc = profile(ADOBE_RGB, "Adobe RGB (1998)")

    assert rendered(stating(12, 13, "AVIF", COLORS[0], icc_profile=icc)).picture.color_space == "Adobe RGB (1998)"
    assert rendered(stating(12, 13, "PNG", COLORS[0], icc_profile=icc)).picture.color_space == "Display P3"
    assert rendered(stating(1, 13, "PNG", COLORS[0], icc_profile=icc)).picture.color_space == "sRGB"
    assert rendered(stating(2, 2, "PNG", COLORS[0], icc_profile=icc)).picture.color_space == "Adobe RGB (1998)"


def test_grayscale_stays_grayscale_whatever_primaries_are_stated():
    file = stating(12, 13, "PNG", COLORS[0])
    grey = io.BytesIO()
    Image.new("L", SIZE, 100).save(grey, "PNG")
    grey = grey.getvalue()[:33] + file[33 : 33 + 16] + grey.getvalue()[33:]

    assert rendition(grey, "small=30x30:png").mode == "L"


def test_a_picture_in_srgb_is_unchanged():
    plain = samples.encoded("JPEG", size=SIZE, quality=95)
    tagged = samples.encoded("JPEG", size=SIZE, quality=95, icc_profile=profile(SRGB, "by another name"))

    assert rendered(tagged).renditions == rendered(plain).renditions
    assert rendered(tagged).picture.color_space == "by another name"


def test_transparency_survives_the_change_of_colours():
    picture = Image.new("RGBA", SIZE, (200, 100, 60, 128))
    file = io.BytesIO()
    picture.save(file, "PNG", icc_profile=profile(ADOBE_RGB, "Adobe RGB (1998)"))

    seen = rendition(file.getvalue(), "small=30x30:png").getpixel((15, 10))

    assert seen == pytest.approx((*in_srgb((200, 100, 60), ADOBE_RGB), 128), abs=4)


def test_grayscale_with_its_own_curve_is_converted_to_that_of_srgb():
    file = io.BytesIO()
    Image.new("L", SIZE, 100).save(file, "PNG", icc_profile=grey_profile(1.0))

    small = rendition(file.getvalue(), "small=30x30:png")

    assert small.mode == "L"
    assert small.getpixel((15, 10)) == pytest.approx(255 * _encoded(100 / 255), abs=2)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_colour_profile_of_a_grayscale_picture_is_applied(mode):
    file = io.BytesIO()
    Image.new("L", SIZE, 100).convert(mode).save(file, "PNG", icc_profile=profile(ADOBE_RGB, "Adobe RGB (1998)"))

    small = rendition(file.getvalue(), "small=30x30:png").convert("RGB")

    assert small.getpixel((15, 10)) == pytest.approx(in_srgb((100, 100, 100), ADOBE_RGB), abs=2)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("alpha", [255, 128, None], ids=["opaque", "translucent", "a transparent shade"])
def test_a_grayscale_profile_is_applied_with_any_kind_of_transparency(bit_depth, alpha):
    sample_bytes = bit_depth // 8
    pixel = bytes([100]) * sample_bytes + (b"" if alpha is None else bytes([alpha]) * sample_bytes)
    png = samples.raw_png(30, 20, bit_depth, 0 if alpha is None else 4, rows=(b"\0" + pixel * 30) * 20)
    chunks = samples.png_chunk(b"iCCP", b"linear\0\0" + zlib.compress(grey_profile(1.0)))
    if alpha is None:
        chunks += samples.png_chunk(b"tRNS", bytes(2))
    png = png[:33] + chunks + png[33:]

    result = rendered(png, "small=30x30:png")

    small = rendition(png, "small=30x30:png")
    assert result.picture.notes == ()
    assert result.picture.color_space == "grey"
    assert small.mode == ("L" if alpha == 255 else "LA")
    assert small.convert("L").getpixel((15, 10)) == pytest.approx(round(255 * _encoded(100 / 255)), abs=2)


@pytest.mark.parametrize(
    "broken",
    [b"nonsense", bytes(200), profile(ADOBE_RGB, "cut")[:300], grey_profile(2.2)],
    ids=["nonsense", "zeros", "cut short", "for another kind of picture"],
)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_broken_profile_is_ignored_with_a_note(format_name, broken):
    file = samples.encoded(format_name, size=SIZE, icc_profile=broken)

    result = rendered(file, "small=30x30:png")

    assert result.picture.notes == ("broken ICC profile ignored",)
    assert result.picture.color_space == "sRGB"
    assert distance(rendition(file, "small=30x30:png"), scaled(samples.photo(*SIZE), (30, 20))) < 4


def test_the_name_of_a_profile_is_bounded_and_printable():
    file = samples.encoded("JPEG", size=SIZE, icc_profile=profile(ADOBE_RGB, "a\tlong\nname\x1b " * 1000))

    name = rendered(file).picture.color_space

    assert len(name) <= 80
    assert name.startswith("a long name%1B a long name%1B")


def _without_adobe_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def test_cmyk_without_a_profile_looks_like_ink():
    photo = samples.photo(*SIZE)
    adobe = io.BytesIO()
    photo.convert("CMYK").save(adobe, "JPEG", quality=95)
    # What is not Adobe's stores 255 for full ink, Adobe's the inverse; Pillow always writes Adobe's.
    plain = io.BytesIO()
    ImageChops.invert(photo.convert("CMYK")).save(plain, "JPEG", quality=95)

    for file in (adobe.getvalue(), _without_adobe_marker(plain.getvalue())):
        assert distance(rendition(file, "small=30x30:png"), scaled(photo, (30, 20))) < 4
        assert rendered(file).picture.color_space == "CMYK"


def test_cielab_is_converted_to_srgb():
    photo = samples.photo(*SIZE)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    file = io.BytesIO()
    lab = ImageCms.applyTransform(photo, to_lab)
    del lab.info["icc_profile"]
    lab.save(file, "TIFF")

    small = rendition(file.getvalue(), "small=30x30:png")

    assert distance(small, scaled(photo, (30, 20))) < 4
    assert rendered(file.getvalue()).picture.color_space == "CIELAB"


def test_a_jpeg_stored_in_rgb_is_not_taken_for_ycbcr():
    plain = io.BytesIO()
    samples.photo(*SIZE).save(plain, "JPEG", quality=95, keep_rgb=True)

    for file in (plain.getvalue(), _without_adobe_marker(plain.getvalue())):
        assert distance(rendition(file, "small=30x30:png"), scaled(samples.photo(*SIZE), (30, 20))) < 4

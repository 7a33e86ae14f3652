"""Palette, difference hash and ThumbHash, of pictures whose results are obvious."""

import base64
import math

import pytest
from PIL import Image

from imagepipeline import fingerprints
from tests.unit import samples
from tests.unit.photos import distance, rendered


def test_the_palette_lists_the_colours_by_their_share():
    flag = Image.new("RGB", (45, 30), "#ff0000")
    flag.paste("#0000ff", (30, 0, 45, 30))

    red, blue = fingerprints.palette(flag)

    assert (red.hex, blue.hex) == ("#ff0000", "#0000ff")
    assert red.share == pytest.approx(2 / 3, abs=0.02)
    assert blue.share == pytest.approx(1 / 3, abs=0.02)


def test_the_palette_is_bounded():
    colors = fingerprints.palette(samples.photo(200, 150))

    assert 2 <= len(colors) <= fingerprints.MAX_COLORS
    assert sum(color.share for color in colors) <= 1.01


def test_the_palette_sees_transparency_on_white():
    ghost = Image.new("RGBA", (40, 30), (255, 0, 0, 0))

    assert fingerprints.take(ghost).palette[0].hex == "#ffffff"


def _bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_dhash_has_a_bit_where_the_picture_gets_darker_to_the_right():
    left_half_darkens = Image.new("L", (90, 80))
    left_half_darkens.paste(Image.linear_gradient("L").rotate(-90).resize((90, 80)))

    assert fingerprints.dhash(Image.new("RGB", (90, 80), "grey")) == "0" * 16
    assert fingerprints.dhash(left_half_darkens.convert("RGB")) == "f" * 16
    assert fingerprints.dhash(left_half_darkens.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("RGB")) == "0" * 16


def test_dhash_recognises_a_picture_and_distinguishes_others():
    def of(**options):
        return rendered(samples.encoded(**options), "small=100x100").picture.fingerprints.dhash

    original = of(format_name="PNG", size=(400, 300))

    assert _bits_apart(original, of(format_name="JPEG", size=(800, 600), quality=30)) <= 6
    turned = fingerprints.dhash(samples.photo(400, 300).rotate(180))
    assert _bits_apart(original, turned) > 20


def _painted(thumbhash: str) -> Image.Image:
    """The picture in a ThumbHash, as its specification's decoder paints it."""
    data = base64.b64decode(thumbhash)
    first, second = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
    has_alpha, is_landscape, count = first >> 23, second >> 15, second & 7
    across = max(3, (5 if has_alpha else 7) if is_landscape else count)
    down = max(3, count if is_landscape else (5 if has_alpha else 7))
    nibbles = [nibble for byte in data[6 if has_alpha else 5 :] for nibble in (byte & 15, byte >> 4)]

    def steps(nx, ny, scale):
        return {
            (cx, cy): (nibbles.pop(0) / 7.5 - 1) * scale
            for cy in range(ny)
            for cx in range(nx)
            if (cx or cy) and cx * ny < nx * (ny - cy)
        }

    luma = steps(across, down, (first >> 18 & 31) / 31)
    yellow = steps(3, 3, (second >> 3 & 63) / 63 * 1.25)
    red = steps(3, 3, (second >> 9 & 63) / 63 * 1.25)
    alpha = steps(5, 5, (data[5] >> 4) / 15) if has_alpha else {}
    base = (first & 63) / 63, (first >> 6 & 63) / 31.5 - 1, (first >> 12 & 63) / 31.5 - 1

    width, height = 32, round(32 * down / across)
    image = Image.new("RGBA", (width, height))
    for y in range(height):
        for x in range(width):

            def value(start, wave, x=x, y=y):
                return start + sum(
                    2 * v * math.cos(math.pi / width * (x + 0.5) * cx) * math.cos(math.pi / height * (y + 0.5) * cy)
                    for (cx, cy), v in wave.items()
                )

            shade, p, q = value(base[0], luma), value(base[1], yellow), value(base[2], red)
            b = shade - 2 / 3 * p
            r = (3 * shade - b + q) / 2
            opacity = value((data[5] & 15) / 15, alpha) if has_alpha else 1
            image.putpixel((x, y), tuple(round(255 * min(max(v, 0), 1)) for v in (r, r - q, b, opacity)))
    return image


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (100, 100)])
def test_a_thumbhash_paints_its_picture(size):
    photo = samples.photo(*size)

    painted = _painted(fingerprints.thumbhash(photo.convert("RGBA")))

    # The specification's decoder paints colours stronger than they are, by a quarter.
    assert distance(painted.convert("RGB"), photo.resize(painted.size, Image.Resampling.BOX)) < 20


def test_a_thumbhash_keeps_transparency():
    photo = samples.photo(80, 60, "RGBA")

    painted = _painted(fingerprints.thumbhash(photo))

    assert distance(painted.getchannel("A"), photo.getchannel("A").resize(painted.size)) < 14


def test_a_thumbhash_of_one_colour_is_that_colour():
    painted = _painted(fingerprints.thumbhash(Image.new("RGBA", (30, 20), (200, 100, 50, 255))))

    assert distance(painted.convert("RGB"), Image.new("RGB", painted.size, (200, 100, 50))) < 6


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (5000, 1), (600, 400)])
@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_every_picture_has_fingerprints_and_they_are_small(size, mode):
    found = fingerprints.take(samples.photo(*size, mode))

    assert len(found.dhash) == 16
    assert len(base64.b64decode(found.thumbhash)) <= 25
    assert 1 <= len(found.palette) <= fingerprints.MAX_COLORS

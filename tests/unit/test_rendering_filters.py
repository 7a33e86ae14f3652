"""What the filters do to a picture, and what they leave alone."""

import io
from itertools import pairwise

import pytest
from PIL import Image, ImageFilter, ImageStat

from imagepipeline import renditions
from tests.unit import samples
from tests.unit.photos import distance, on_white, rendered, rendition, scaled

SIZE = (80, 60)


def _filtered(name: str, mode: str = "RGB", output: str = "png") -> Image.Image:
    return rendition(samples.encoded("PNG", mode, SIZE), f"a=40x30:{name}:{output}")


def _expected(mode: str = "RGB") -> Image.Image:
    return scaled(samples.photo(*SIZE, mode), (40, 30))


def test_grayscale_leaves_no_colour():
    grey = _filtered("grayscale")

    assert grey.mode == "L"
    assert distance(grey, _expected().convert("L")) < 2


def test_sepia_is_warm_and_as_light_as_before():
    sepia = _filtered("sepia")

    red, green, blue = ImageStat.Stat(sepia).mean
    assert red > green > blue
    grey, toned = _expected().convert("L"), sepia.convert("L")
    assert ImageStat.Stat(toned).mean[0] == pytest.approx(1.2 * ImageStat.Stat(grey).mean[0], rel=0.15)
    white = Image.new("L", SIZE, 255)
    file = io.BytesIO()
    white.save(file, "PNG")
    assert rendition(file.getvalue(), "a=40x30:sepia:png").getpixel((5, 5)) == (255, 255, 239)


def test_blur_hides_details_and_keeps_the_whole():
    noise = Image.effect_noise((300, 200), 80)
    file = io.BytesIO()
    noise.save(file, "PNG")

    blurred = rendition(file.getvalue(), "a=300x200:blur:png").convert("L")

    assert ImageStat.Stat(blurred).stddev[0] < ImageStat.Stat(noise).stddev[0] / 5
    assert ImageStat.Stat(blurred).mean[0] == pytest.approx(ImageStat.Stat(noise).mean[0], abs=2)


def test_sharpen_steepens_edges():
    edge = Image.new("L", (100, 50), 60)
    edge.paste(180, (50, 0, 100, 50))
    file = io.BytesIO()
    edge.filter(ImageFilter.GaussianBlur(1)).save(file, "PNG")

    def steepest(wanted):
        row = [rendition(file.getvalue(), wanted).convert("L").getpixel((x, 25)) for x in range(40, 60)]
        return max(right - left for left, right in pairwise(row))

    assert steepest("a=100x50:sharpen:png") > 1.2 * steepest("a=100x50:png")


def test_autocontrast_reaches_from_black_to_white_in_the_same_hues():
    dull = Image.linear_gradient("L").point([90 + value // 5 for value in range(256)]).resize(SIZE)
    file = io.BytesIO()
    dull.convert("RGB").save(file, "PNG")

    lively = rendition(file.getvalue(), "a=40x30:autocontrast:png").convert("RGB")

    darkest, lightest = lively.convert("L").getextrema()
    assert darkest < 10
    assert lightest > 245
    assert all(max(color) - min(color) <= 2 for _, color in lively.getcolors(40 * 30))


@pytest.mark.parametrize("name", renditions.FILTERS)
@pytest.mark.parametrize(
    ("mode", "output"),
    [
        *[(mode, "png") for mode in ("L", "LA", "RGB", "RGBA")],
        *[("RGBA", output) for output in ("webp:q=95", "avif:q=95", "jpeg:q=95")],
    ],
)
def test_every_filter_takes_every_mode_and_keeps_transparency(name, output, mode):
    image = _filtered(name, mode, output)

    assert image.size == (40, 30)
    if mode.endswith("A") and not output.startswith("jpeg"):
        assert distance(image.getchannel("A"), _expected(mode).getchannel("A")) < 4


def test_a_filter_touches_only_its_own_rendition():
    file = samples.encoded("JPEG", size=(400, 300), quality=95)

    plain = rendered(file, "b=100x100:png").renditions["b"]
    beside = rendered(file, "a=200x200:grayscale:blur:png b=100x100:png").renditions["b"]

    assert distance(Image.open(io.BytesIO(plain.data)), Image.open(io.BytesIO(beside.data))) < 2


def test_filters_work_in_the_order_written():
    first = _filtered("sepia:grayscale")
    then = _filtered("grayscale:sepia")

    assert first.mode == "L"
    assert then.mode == "RGB"


def test_a_transparent_picture_is_put_on_white_before_its_filters():
    toned = rendition(samples.encoded("PNG", "RGBA", SIZE), "a=40x30:grayscale:q=95")

    assert distance(toned.convert("RGB"), on_white(_expected("RGBA")).convert("L").convert("RGB")) < 4

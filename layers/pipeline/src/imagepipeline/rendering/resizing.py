"""Scaling down: LANCZOS wherever the eye looks, cheaper filters where it doesn't.

Images come in the modes that can be averaged: L, RGB, YCbCr, CMYK, LAB, and with premultiplied alpha La and RGBa.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageFilter

from imagepipeline.rendering.geometry import Extent, Size

# Boxes average the picture down to this many times the target before LANCZOS does the rest. SSIM lost to LANCZOS
# alone, once encoded: .0005 with 3 and .002 with 2 on the way from 640 to 100 pixels; .0025 with 1.6 on the way from
# 4000 to 1280, where it saves 100 ms.
_GAP = 3
_GAP_OF_LARGE = 1.5
_LARGE_PIXELS = 2_000_000
_STRIP_PIXELS = 4_000_000

# An average takes a little off the finest detail. The kernel that gives it back was fitted by least squares to full
# decodes; docs/encoders.md has what it wins. Further from the target there is nothing to win.
_SOFT_UP_TO = 1.4
_CRISP = ImageFilter.Kernel((3, 3), (0, -1, 0, -1, 36, -1, 0, -1, 0))


def shrink(image: Image.Image, size: Size, extent: Extent | None = None, *, half_chroma: bool = False) -> Image.Image:
    """The image, or the `extent` of it that is picture, at `size`, which is no larger.

    `half_chroma` spares the work on colours that a JPEG with 4:2:0 subsampling won't keep.
    """
    if image.size == size:
        return image
    extent = extent or image.size
    if image.mode == "YCbCr":
        luma, *chroma = image.split()
        chroma_size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if half_chroma else size
        chroma = [band.resize(chroma_size, Image.Resampling.HAMMING, (0, 0, *extent), 1.0) for band in chroma]
        chroma = [band.resize(size, Image.Resampling.NEAREST) for band in chroma]
        return Image.merge("YCbCr", (_lanczos(luma, size, extent), *chroma))
    return _lanczos(image, size, extent)


def is_soft(stored: Size, extent: Extent, size: Size) -> bool:
    """Whether a picture `stored` in one size, decoded to an `extent`, was averaged nearly down to `size`."""
    return extent != stored and extent[0] < _SOFT_UP_TO * size[0]


def crisp(image: Image.Image) -> Image.Image:
    """The image with its finest detail, of luma where that is apart, as strong as LANCZOS alone would have left it."""
    if image.mode == "YCbCr":
        luma, *chroma = image.split()
        return Image.merge("YCbCr", (luma.filter(_CRISP), *chroma))
    return image.filter(_CRISP)


def converted(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], target: Size
) -> tuple[Image.Image, Extent]:
    """`convert(image)`, already averaged down where `target` is much smaller: strip by strip, to spare memory."""
    factor = _box_factor(image.size, target)
    extent = image.width / factor, image.height / factor
    height = max(1, _STRIP_PIXELS // image.width // factor) * factor
    if image.height <= height:
        return convert(image).reduce(factor), extent
    result = None
    for top in range(0, image.height, height):
        strip = convert(image.crop((0, top, image.width, min(top + height, image.height)))).reduce(factor)
        if result is None:
            result = Image.new(strip.mode, (strip.width, math.ceil(extent[1])))
        result.paste(strip, (0, top // factor))
    return result, extent


def _box_factor(extent: Extent, target: Size) -> int:
    gap = _GAP_OF_LARGE if extent[0] * extent[1] > _LARGE_PIXELS else _GAP
    return max(1, int(min(extent[0] / target[0], extent[1] / target[1]) / gap))


def _lanczos(image: Image.Image, size: Size, extent: Extent) -> Image.Image:
    factor = _box_factor(extent, size)
    width, height = extent[0] / factor, extent[1] / factor
    if factor > 1:
        image = image.reduce(factor)
    # First the height alone: Pillow does the width first, which takes 10 % longer.
    image = _at_height(image, size[1], height)
    return image.resize(size, Image.Resampling.LANCZOS, (0, 0, width, size[1]))


def _at_height(image: Image.Image, wanted: int, height: float) -> Image.Image:
    """The image's rows up to `height`, a fraction of one included, scaled to the `wanted` number of them.

    Four shades side by side go as one pixel of four channels, which take Pillow little longer than one: a third less.
    """
    if image.mode != "L" or image.width % 4:
        return image.resize((image.width, wanted), Image.Resampling.LANCZOS, (0, 0, image.width, height))
    width = image.width // 4
    fours = Image.frombuffer("CMYK", (width, image.height), image.tobytes(), "raw", "CMYK", 0, 1)
    fours = fours.resize((width, wanted), Image.Resampling.LANCZOS, (0, 0, width, height))
    return Image.frombuffer("L", (image.width, wanted), fours.tobytes(), "raw", "L", 0, 1)

"""Scaling down: LANCZOS wherever the eye looks, cheaper filters where it doesn't.

Images come in the modes that can be averaged: L, RGB, YCbCr, CMYK, LAB, and with premultiplied alpha La and RGBa.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageChops

from imagepipeline.rendering.geometry import Extent, Size

# Boxes average the picture down to this many times the target before LANCZOS does the rest. SSIM lost to LANCZOS
# alone, once encoded: .0005 with 3 and .002 with 2 on the way from 640 to 100 pixels; .0025 with 1.6 on the way from
# 4000 to 1280, where it saves 100 ms.
_GAP = 3
_GAP_OF_LARGE = 1.5
_LARGE_PIXELS = 2_000_000
_STRIP_PIXELS = 4_000_000

# An average takes a little off the finest detail. What gives it back was fitted by least squares to full decodes;
# docs/encoders.md has what it wins. Further from the target there is nothing to win.
_SOFT_UP_TO = 1.4
_STRENGTH = 1 / 8  # of a pixel's difference from the average of its four neighbours


def shrink(
    image: Image.Image, size: Size, extent: Extent | None = None, *, half_chroma: bool = False, soft: bool = False
) -> Image.Image:
    """The image, or the `extent` of it that is picture, at `size`, which is no larger.

    `half_chroma` spares the work on colours that a JPEG with 4:2:0 subsampling won't keep. Of a `soft` image the finest
    detail becomes as strong as LANCZOS alone would have left it.
    """
    if image.size == size:
        return image
    extent = extent or image.size
    scale = _crisp_lanczos if soft else _lanczos
    if image.mode == "YCbCr":
        luma, *chroma = image.split()
        chroma_size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if half_chroma else size
        chroma = [band.resize(chroma_size, Image.Resampling.HAMMING, (0, 0, *extent), 1.0) for band in chroma]
        chroma = [band.resize(size, Image.Resampling.NEAREST) for band in chroma]
        return Image.merge("YCbCr", (scale(luma, size, extent), *chroma))
    return scale(image, size, extent)


def is_soft(stored: Size, extent: Extent, size: Size) -> bool:
    """Whether a picture `stored` in one size, decoded to an `extent`, was averaged nearly down to `size`."""
    return extent != stored and extent[0] < _SOFT_UP_TO * size[0]


def converted(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], target: Size
) -> tuple[Image.Image, Extent]:
    """`convert(image)`, already averaged down where `target` is much smaller: strip by strip, to spare memory."""
    factor = _box_factor(image.size, target)
    extent = image.width / factor, image.height / factor
    height = max(1, _STRIP_PIXELS // image.width // factor) * factor
    if image.height <= height:
        return convert(image).reduce(factor), extent
    strips = [(0, top, image.width, min(top + height, image.height)) for top in range(0, image.height, height)]
    reduced = (convert(image.crop(strip)).reduce(factor) for strip in strips)
    first = next(reduced)
    result = Image.new(first.mode, (first.width, math.ceil(extent[1])))
    result.paste(first)
    for number, strip in enumerate(reduced, 1):
        result.paste(strip, (0, number * height // factor))
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


def _crisp_lanczos(image: Image.Image, size: Size, extent: Extent) -> Image.Image:
    """Scaled and sharpened by the 3×3 kernel with 36 in the middle and -1 beside it.

    Pillow has a filter for such kernels. By blending the same takes a third of its time.
    """
    image = _lanczos(image, size, extent)
    above_and_below = Image.blend(_moved(image, 0, 1), _moved(image, 0, -1), 0.5)
    left_and_right = Image.blend(_moved(image, 1, 0), _moved(image, -1, 0), 0.5)
    # Blending cuts fractions off, which darkens by 0.37 on average. An eighth of three levels makes up for it.
    neighbors = ImageChops.add(above_and_below, left_and_right, scale=2, offset=-3)
    return Image.blend(neighbors, image, 1 + _STRENGTH)


def _moved(image: Image.Image, right: int, down: int) -> Image.Image:
    """The image, moved within itself; what that leaves free stays as it was."""
    moved = image.copy()
    moved.paste(image, (right, down))
    return moved

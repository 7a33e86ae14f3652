"""Scaling down: LANCZOS where it is visible, cheaper filters where it is not.

Images are in a mode that can be averaged: L, RGB, YCbCr, CMYK or LAB, and La or RGBa with premultiplied alpha.
"""

import math
from collections.abc import Callable

from PIL import Image, ImageChops

from imagepipeline.geometry import Extent, Size

# A box filter averages the picture down to this many times the target, and LANCZOS does the rest. The loss in SSIM
# against LANCZOS alone, after encoding: .0005 with 3 and .002 with 2 from 640 to 100 pixels; .0025 with 1.6 from 4000
# to 1280, where it saves 100 ms.
_GAP = 3
_GAP_OF_LARGE = 1.5
_LARGE_PIXELS = 2_000_000
_STRIP_PIXELS = 4_000_000

# Averaging weakens the finest detail. The kernel that restores it was fitted by least squares to full decodes;
# docs/encoders.md has its effect. Further from the target it has none.
_SOFT_UP_TO = 1.4
_STRENGTH = 1 / 8  # of a pixel's difference from the average of its four neighbours


def shrink(
    image: Image.Image, size: Size, extent: Extent | None = None, *, half_chroma: bool = False, soft: bool = False
) -> Image.Image:
    """The image at `size`, which is no larger; with `extent`, only that part of the image.

    `half_chroma` saves the work on colours that a JPEG with 4:2:0 subsampling does not keep. In a `soft` image the
    finest detail is made as strong as LANCZOS alone would have left it.
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


def averaged(image: Image.Image, extent: Extent, target: Size) -> tuple[Image.Image, Extent]:
    """The image and its extent, averaged down as far as that is invisible at `target`."""
    factor = _box_factor(extent, target)
    return (image.reduce(factor) if factor > 1 else image), (extent[0] / factor, extent[1] / factor)


def is_soft(stored: Size, extent: Extent, size: Size) -> bool:
    """Whether decoding averaged a picture of `stored` size to an `extent` that is only a little larger than `size`."""
    return extent != stored and extent[0] < _SOFT_UP_TO * size[0]


def converted(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image], target: Size
) -> tuple[Image.Image, Extent]:
    """`convert(image)` and its extent. Works in strips to save memory, averaging down if `target` is much smaller."""
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
    image, (width, height) = averaged(image, extent, size)
    # The height first: Pillow on its own scales the width first, which takes 10 % longer.
    image = _at_height(image, size[1], height)
    return image.resize(size, Image.Resampling.LANCZOS, (0, 0, width, size[1]))


def _at_height(image: Image.Image, wanted: int, height: float) -> Image.Image:
    """The image's rows up to `height`, which may be fractional, scaled to `wanted` rows.

    Four adjacent gray pixels are treated as one of four channels, which takes Pillow a third less time.
    """
    if image.mode != "L" or image.width % 4:
        return image.resize((image.width, wanted), Image.Resampling.LANCZOS, (0, 0, image.width, height))
    width = image.width // 4
    fours = Image.frombuffer("CMYK", (width, image.height), image.tobytes(), "raw", "CMYK", 0, 1)
    fours = fours.resize((width, wanted), Image.Resampling.LANCZOS, (0, 0, width, height))
    return Image.frombuffer("L", (image.width, wanted), fours.tobytes(), "raw", "L", 0, 1)


def _crisp_lanczos(image: Image.Image, size: Size, extent: Extent) -> Image.Image:
    """Scaled and sharpened, by a 3×3 kernel with 36 in the middle and -1 at its four sides.

    Blending gives the same result as Pillow's filter for kernels, in a third of the time.
    """
    image = _lanczos(image, size, extent)
    above_and_below = Image.blend(_moved(image, 0, 1), _moved(image, 0, -1), 0.5)
    left_and_right = Image.blend(_moved(image, 1, 0), _moved(image, -1, 0), 0.5)
    # Blending cuts off fractions, which darkens by 0.37 levels on average. An eighth of three levels compensates.
    neighbors = ImageChops.add(above_and_below, left_and_right, scale=2, offset=-3)
    return Image.blend(neighbors, image, 1 + _STRENGTH)


def _moved(image: Image.Image, right: int, down: int) -> Image.Image:
    """The image, shifted within its frame; the pixels that this leaves uncovered stay as they were."""
    moved = image.copy()
    moved.paste(image, (right, down))
    return moved

"""Scaling down: LANCZOS wherever the eye looks, cheaper filters where it doesn't.

Images come in the modes that can be averaged: L, RGB, YCbCr, CMYK, LAB, and with premultiplied alpha La and RGBa.
"""

from collections.abc import Callable

from PIL import Image

from imagepipeline.rendering.geometry import Size

# Boxes average the picture down to this many times the target before LANCZOS does the rest. SSIM lost to LANCZOS
# alone on the way from 640 to 100 pixels: .0005 with 3, .002 with 2.
_GAP = 3
_STRIP_PIXELS = 4_000_000


def shrink(image: Image.Image, size: Size, *, half_chroma: bool = False) -> Image.Image:
    """The image at `size`, which is no larger.

    `half_chroma` spares the work on colours that a JPEG with 4:2:0 subsampling won't keep.
    """
    if image.size == size:
        return image
    if image.mode == "YCbCr":
        luma, *chroma = image.split()
        chroma_size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if half_chroma else size
        chroma = [band.resize(chroma_size, Image.Resampling.HAMMING, reducing_gap=1.0) for band in chroma]
        return Image.merge(
            "YCbCr", (_lanczos(luma, size), *(band.resize(size, Image.Resampling.NEAREST) for band in chroma))
        )
    return _lanczos(image, size)


def converted(image: Image.Image, convert: Callable[[Image.Image], Image.Image], target: Size) -> Image.Image:
    """`convert(image)`, already averaged down where `target` is much smaller: strip by strip, to spare memory."""
    factor = _box_factor(image.size, target)
    height = max(1, _STRIP_PIXELS // image.width // factor) * factor
    if image.height <= height:
        return convert(image).reduce(factor)
    result = None
    for top in range(0, image.height, height):
        strip = convert(image.crop((0, top, image.width, min(top + height, image.height)))).reduce(factor)
        if result is None:
            result = Image.new(strip.mode, (strip.width, -(-image.height // factor)))
        result.paste(strip, (0, top // factor))
    return result


def _box_factor(size: Size, target: Size) -> int:
    return max(1, min(size[0] // target[0], size[1] // target[1]) // _GAP)


def _lanczos(image: Image.Image, size: Size) -> Image.Image:
    factor = _box_factor(image.size, size)
    width, height = image.width / factor, image.height / factor
    if factor > 1:
        image = image.reduce(factor)
    # First the height alone: Pillow does the width first, which takes 10 to 20 % longer.
    image = image.resize((image.width, size[1]), Image.Resampling.LANCZOS, (0, 0, image.width, height))
    return image.resize(size, Image.Resampling.LANCZOS, (0, 0, width, size[1]))

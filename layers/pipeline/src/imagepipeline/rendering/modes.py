"""Pixel modes: from any that a decoder gives to one that can be scaled, and from there to what encoders take."""

from PIL import Image, ImageChops

from imagepipeline.errors import UnsupportedFormat
from imagepipeline.geometry import Extent, Size
from imagepipeline.rendering import resizing

UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
OPAQUE = {"La": "L", "LA": "L", "RGBa": "RGB", "RGBA": "RGB"}


def scalable(
    image: Image.Image, extent: Extent, bit_depth: int, target: Size, *, is_grayscale: bool = False
) -> tuple[Image.Image, Extent]:
    """The image in L, RGB, YCbCr, CMYK, LAB, La or RGBa, and its extent; possibly averaged down towards `target`.

    Samples of 12 and 16 bits are reduced to 8, bilevel and palette images are expanded, and colours are premultiplied
    by their alpha, so that transparent pixels do not bleed into others. An alpha channel without any transparency is
    dropped. `is_grayscale` marks an RGBA image whose three colours are equal: Pillow has no smaller mode for deep
    grayscale with alpha. Raises UnsupportedFormat for samples whose range is unknown (32 bits, floating point).
    """
    if image.mode in ("I", "F"):
        raise UnsupportedFormat("an image with 32-bit samples", ("8 and 16 bits a channel",))
    if image.mode in ("L", "RGB", "YCbCr", "LAB") and not image.has_transparency_data:
        return image, extent
    if image.mode == "CMYK":
        # Pillow treats every CMYK JPEG as inverted, as Adobe writes them. Only those with Adobe's marker are.
        is_plain_jpeg = image.format == "JPEG" and "adobe" not in image.info
        return ImageChops.invert(image) if is_plain_jpeg else image, extent
    if image.mode in ("LA", "RGBA"):
        mode = "LA" if is_grayscale else image.mode
        is_opaque = image.getchannel("A").getextrema() == (255, 255)
        to = OPAQUE[mode] if is_opaque else PREMULTIPLIED[mode]
        return resizing.converted(image, lambda strip: strip.convert(mode).convert(to), target)
    if image.mode.startswith("I;16"):
        return resizing.converted(image, lambda strip: _to_eight_bits(strip, bit_depth), target)
    if "transparency" in image.info:
        image.info["transparency"] = _in_eight_bits(image.info["transparency"], image.mode, bit_depth)
    return resizing.converted(image, _expanded, target)


def for_jpeg(image: Image.Image) -> Image.Image:
    """The image on white, in L or YCbCr: what a JPEG stores, so that its encoder has nothing to convert."""
    image = flattened(image)
    return image.convert("YCbCr") if image.mode == "RGB" else image


def for_filters(image: Image.Image) -> Image.Image:
    """The image in L, RGB, La or RGBa."""
    return image.convert("RGB") if image.mode == "YCbCr" else image


def flattened(image: Image.Image) -> Image.Image:
    """A premultiplied image on white; any other image unchanged."""
    if image.mode not in UNMULTIPLIED:
        return image
    opaque = OPAQUE[image.mode]
    *colors, alpha = image.split()
    white = ImageChops.invert(alpha)
    return Image.merge(opaque, [ImageChops.add(color, white) for color in colors])


def unmultiplied(image: Image.Image) -> Image.Image:
    """The image in a mode that encoders take: L, LA, RGB or RGBA."""
    if image.mode == "YCbCr":
        return image.convert("RGB")
    return image.convert(UNMULTIPLIED[image.mode]) if image.mode in UNMULTIPLIED else image


def _in_eight_bits(transparent: object, mode: str, bit_depth: int) -> object:
    """A PNG's transparent colour, which it states in its own bit depth, in the eight bits of Pillow's pixels."""
    if bit_depth == 16 and isinstance(transparent, tuple):
        return tuple(value >> 8 for value in transparent)
    if bit_depth in (2, 4) and mode == "L" and isinstance(transparent, int):
        brightest = 2**bit_depth - 1
        return (transparent & brightest) * 255 // brightest
    return transparent


def _to_eight_bits(strip: Image.Image, bit_depth: int) -> Image.Image:
    """A strip of deep grayscale in L, or in La if one of its values stands for transparent."""
    deep, brightest = strip.convert("I"), 2**bit_depth - 1
    gray = deep.point([round(255 * min(value / brightest, 1)) for value in range(65536)], "L")
    transparent = strip.info.get("transparency")
    if transparent is None:
        return gray
    alpha = deep.point([255 * (value != transparent) for value in range(65536)], "L")
    return Image.merge("LA", (gray, alpha)).convert("La")


def _expanded(strip: Image.Image) -> Image.Image:
    """A strip of any mode in L, RGB, La or RGBa."""
    if strip.mode in ("La", "RGBa"):
        return strip
    if strip.has_transparency_data:
        mode = "LA" if strip.mode in ("1", "L") else "RGBA"
        return strip.convert(mode).convert(PREMULTIPLIED[mode])
    return strip.convert("L" if strip.mode == "1" else "RGB")

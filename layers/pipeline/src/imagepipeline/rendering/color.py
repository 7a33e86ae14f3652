"""From any pixel mode to one that can be scaled, from any colour space to sRGB, and to what encoders take."""

from PIL import Image, ImageChops

from imagepipeline.errors import UnsupportedFormat
from imagepipeline.rendering import resizing
from imagepipeline.rendering.geometry import Extent, Size

UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
OPAQUE = {"La": "L", "LA": "L", "RGBa": "RGB", "RGBA": "RGB"}


def scalable(
    image: Image.Image, extent: Extent, bit_depth: int, target: Size, *, in_shades: bool = False
) -> tuple[Image.Image, Extent]:
    """The image in L, RGB, YCbCr, CMYK, LAB, La or RGBa, possibly averaged down on the way to `target`, and its extent.

    Twelve and sixteen bits become eight, bits and palette indexes shades, and colours are premultiplied with their
    alpha, so that what is transparent does not bleed. An alpha channel without any transparency is dropped. `in_shades`
    says of an image in RGBA that its three colours are the same: Pillow has nothing smaller for deep shades with alpha.
    Raises UnsupportedFormat for samples whose range nobody knows (32 bits, floating point).
    """
    if image.mode in ("I", "F"):
        raise UnsupportedFormat("an image with 32-bit samples", ("8 and 16 bits a channel",))
    if image.mode in ("L", "RGB", "YCbCr", "LAB") and not image.has_transparency_data:
        return image, extent
    if image.mode == "CMYK":
        # Pillow takes all CMYK JPEGs to be inverted, as Adobe's are; only those that say so are.
        is_plain_jpeg = image.format == "JPEG" and "adobe" not in image.info
        return ImageChops.invert(image) if is_plain_jpeg else image, extent
    if image.mode in ("LA", "RGBA"):
        mode = "LA" if in_shades else image.mode
        is_opaque = image.getchannel("A").getextrema() == (255, 255)
        to = OPAQUE[mode] if is_opaque else PREMULTIPLIED[mode]
        return resizing.converted(image, lambda strip: strip.convert(mode).convert(to), target)
    if image.mode.startswith("I;16"):
        return resizing.converted(image, lambda strip: _to_eight_bits(strip, bit_depth), target)
    if "transparency" in image.info:
        image.info["transparency"] = _as_pixels_are(image.info["transparency"], image.mode, bit_depth)
    return resizing.converted(image, _to_shades, target)


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str, tuple[str, ...]]:
    """The image in sRGB (L, RGB, YCbCr, La or RGBa), what colour space it had, and notes on what went wrong."""
    if not profile and image.mode not in ("CMYK", "LAB"):
        return image, "sRGB", ()
    # Here, because most pictures do without it, and so does a cold start.
    from imagepipeline.rendering import profiles

    notes: tuple[str, ...] = ()
    if profile:
        try:
            return *profiles.apply(profile, image), notes
        except profiles.BROKEN:
            notes = ("broken ICC profile ignored",)
    if image.mode == "CMYK":
        return image.convert("RGB"), "CMYK", notes
    if image.mode == "LAB":
        return profiles.from_cielab(image), "CIELAB", notes
    return image, "sRGB", notes


def as_jpegs_have_it(image: Image.Image) -> Image.Image:
    """The image on white, in L or YCbCr: what a JPEG stores, so that its encoder has nothing to convert."""
    image = flattened(image)
    return image.convert("YCbCr") if image.mode == "RGB" else image


def as_filters_take_it(image: Image.Image) -> Image.Image:
    """The image in L, RGB, La or RGBa."""
    return image.convert("RGB") if image.mode == "YCbCr" else image


def flattened(image: Image.Image) -> Image.Image:
    """A premultiplied image on white; others as they are."""
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


def _as_pixels_are(transparent: object, mode: str, bit_depth: int) -> object:
    """A PNG's transparent colour, which it states in its own bits, as Pillow has unpacked the pixels: in eight."""
    if bit_depth == 16 and isinstance(transparent, tuple):
        return tuple(value >> 8 for value in transparent)
    if bit_depth in (2, 4) and mode == "L" and isinstance(transparent, int):
        brightest = 2**bit_depth - 1
        return (transparent & brightest) * 255 // brightest
    return transparent


def _to_eight_bits(strip: Image.Image, bit_depth: int) -> Image.Image:
    """A strip of deep shades in L, or in La if one of them stands for transparent."""
    deep, brightest = strip.convert("I"), 2**bit_depth - 1
    shades = deep.point([round(255 * min(value / brightest, 1)) for value in range(65536)], "L")
    transparent = strip.info.get("transparency")
    if transparent is None:
        return shades
    alpha = deep.point([255 * (value != transparent) for value in range(65536)], "L")
    return Image.merge("LA", (shades, alpha)).convert("La")


def _to_shades(strip: Image.Image) -> Image.Image:
    """A strip of any mode in L, RGB, La or RGBa."""
    if strip.mode in ("La", "RGBa"):
        return strip
    if strip.has_transparency_data:
        mode = "LA" if strip.mode in ("1", "L") else "RGBA"
        return strip.convert(mode).convert(PREMULTIPLIED[mode])
    return strip.convert("L" if strip.mode == "1" else "RGB")

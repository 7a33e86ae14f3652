"""From any pixel mode to one that can be scaled, and from any embedded ICC profile to sRGB."""

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageChops, ImageCms

from imagepipeline.errors import UnsupportedFormat
from imagepipeline.rendering import resizing
from imagepipeline.rendering.geometry import Extent, Size

_MAX_NAME = 80  # characters of a colour space's name
_INVISIBLE_DIFFERENCE = 2  # of 255, to call a profile sRGB: rounding makes one
_UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_OPAQUE = {"La": "L", "LA": "L", "RGBa": "RGB", "RGBA": "RGB"}


def scalable(image: Image.Image, extent: Extent, bit_depth: int, target: Size) -> tuple[Image.Image, Extent]:
    """The image in L, RGB, YCbCr, CMYK, LAB, La or RGBa, possibly averaged down on the way to `target`, and its extent.

    Twelve and sixteen bits become eight, bits and palette indexes shades, and colours are premultiplied with their
    alpha, so that what is transparent does not bleed. An alpha channel without any transparency is dropped.
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
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        return resizing.converted(image, lambda strip: strip.convert(_OPAQUE[strip.mode]), target)
    if image.mode.startswith("I;16"):
        return resizing.converted(image, lambda strip: _to_eight_bits(strip, bit_depth), target)
    if bit_depth == 16 and isinstance(image.info.get("transparency"), tuple):
        image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])  # as its pixels are
    return resizing.converted(image, _to_shades, target)


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str, tuple[str, ...]]:
    """The image in sRGB (L, RGB, YCbCr, La or RGBa), what colour space it had, and notes on what went wrong."""
    notes = ()
    if profile:
        try:
            name = _name(profile)
            return (image if _is_srgb(profile, image.mode) else _transformed(image, profile)), name, notes
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes = ("broken ICC profile ignored",)
    if image.mode == "CMYK":
        return image.convert("RGB"), "CMYK", notes
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, _srgb(), outputMode="RGB"), "CIELAB", notes
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
    if image.mode not in _UNMULTIPLIED:
        return image
    opaque = _OPAQUE[image.mode]
    *colors, alpha = image.split()
    white = ImageChops.invert(alpha)
    return Image.merge(opaque, [ImageChops.add(color, white) for color in colors])


def unmultiplied(image: Image.Image) -> Image.Image:
    """The image in a mode that encoders take: L, LA, RGB or RGBA."""
    if image.mode == "YCbCr":
        return image.convert("RGB")
    return image.convert(_UNMULTIPLIED[image.mode]) if image.mode in _UNMULTIPLIED else image


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
    if strip.mode == "LA":
        return strip.convert("La")
    if strip.has_transparency_data:
        return strip.convert("RGBA").convert("RGBa")
    return strip.convert("L" if strip.mode == "1" else "RGB")


def _transformed(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB: RGB or RGBa, L or La if the profile is one for shades."""
    if image.mode in _UNMULTIPLIED:
        image = image.convert(_UNMULTIPLIED[image.mode])
        colors = _transformed(image.convert(_OPAQUE[image.mode]), profile)
        colors.putalpha(image.getchannel("A"))
        return colors.convert("La" if colors.mode == "LA" else "RGBa")
    mode = _input_mode(profile, image.mode)
    transformed = ImageCms.applyTransform(image.convert(mode), _transform(profile, mode))
    return transformed.convert("L") if mode == "L" else transformed


def _input_mode(profile: bytes, mode: str) -> str:
    """The mode to hand an image of this `mode` over in: profiles for RGB come with pictures in shades, too."""
    if mode in ("CMYK", "LAB"):
        return mode
    is_for_shades = ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip() == "GRAY"
    return "L" if mode in ("L", "La") and is_for_shades else "RGB"


@lru_cache(maxsize=8)  # a photographer's uploads share one profile; making its transform takes up to 30 ms
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.ImageCmsProfile(BytesIO(profile)), _srgb(), mode, "RGB")


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes, mode: str) -> bool:
    """Whether the profile, whatever its name, leaves colours as they are in sRGB."""
    if mode in ("CMYK", "LAB"):
        return False
    mode = _input_mode(profile, mode)
    steps = range(0, 256, 51)
    if mode == "L":
        patches = Image.new("L", (len(steps), 1))
        patches.putdata(list(steps))
    else:
        patches = Image.new("RGB", (len(steps) ** 3, 1))
        patches.putdata([(red, green, blue) for red in steps for green in steps for blue in steps])
    transformed = ImageCms.applyTransform(patches, _transform(profile, mode))
    difference = ImageChops.difference(transformed, patches.convert("RGB"))
    return max(highest for _, highest in difference.getextrema()) <= _INVISIBLE_DIFFERENCE


@lru_cache(maxsize=8)
def _name(profile: bytes) -> str:
    name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    return " ".join(name.split())[:_MAX_NAME] or "unnamed ICC profile"


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

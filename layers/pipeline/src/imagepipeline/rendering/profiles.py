"""Embedded ICC profiles, applied by Little CMS."""

from functools import lru_cache
from io import BytesIO
from typing import cast

from PIL import Image, ImageChops, ImageCms

from imagepipeline.printable import printable
from imagepipeline.rendering.color import OPAQUE, UNMULTIPLIED

BROKEN = (ImageCms.PyCMSError, OSError, ValueError)  # what Pillow raises for a profile that can't be used

_MAX_NAME = 80  # characters
_INVISIBLE_DIFFERENCE = 2  # of 255, to call a profile sRGB: rounding makes one


def apply(profile: bytes, image: Image.Image) -> tuple[Image.Image, str]:
    """The image in sRGB, and the profile's own description. Raises one of BROKEN if the profile can't be used."""
    name = _name(profile)
    return (image if _is_srgb(profile, image.mode) else _transformed(image, profile)), name


def from_cielab(image: Image.Image) -> Image.Image:
    """An image in LAB, which needs no profile to be understood, in RGB."""
    return _made(ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _srgb(), outputMode="RGB"))


def _transformed(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB: RGB or RGBa, L or La if the profile is one for shades."""
    if image.mode in UNMULTIPLIED:
        image = image.convert(UNMULTIPLIED[image.mode])
        colors = _transformed(image.convert(OPAQUE[image.mode]), profile)
        colors.putalpha(image.getchannel("A"))
        return colors.convert("La" if colors.mode == "LA" else "RGBa")
    mode = _input_mode(profile, image.mode)
    transformed = _made(ImageCms.applyTransform(image.convert(mode), _transform(profile, mode)))
    return transformed.convert("L") if mode == "L" else transformed


def _made(image: Image.Image | None) -> Image.Image:
    """What ImageCms returns, which is None only for a conversion in place."""
    return cast(Image.Image, image)


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
    transformed = _made(ImageCms.applyTransform(patches, _transform(profile, mode)))
    difference = ImageChops.difference(transformed, patches.convert("RGB"))
    extrema = cast(tuple[tuple[int, int], ...], difference.getextrema())  # one pair a band
    return max(highest for _, highest in extrema) <= _INVISIBLE_DIFFERENCE


@lru_cache(maxsize=8)
def _name(profile: bytes) -> str:
    name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    return printable(" ".join(name.split()), _MAX_NAME) or "unnamed ICC profile"


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

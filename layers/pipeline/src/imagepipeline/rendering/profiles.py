"""Colour spaces: from an embedded ICC profile, CMYK or CIELAB to sRGB, by Little CMS."""

from functools import lru_cache
from io import BytesIO
from typing import cast

from PIL import Image, ImageChops, ImageCms

from imagepipeline.printable import printable
from imagepipeline.rendering.modes import OPAQUE, UNMULTIPLIED

_MAX_NAME = 80  # characters
_INVISIBLE_DIFFERENCE = 2  # of 255: a profile is taken for sRGB if it changes no colour by more than rounding does

# What Pillow raises for a profile that cannot be used.
_BROKEN = (ImageCms.PyCMSError, OSError, ValueError)


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str, tuple[str, ...]]:
    """The image in sRGB (L, RGB, YCbCr, La or RGBa), the name of its colour space, and notes on what was broken."""
    notes: tuple[str, ...] = ()
    if profile:
        try:
            name = _name(profile)
            return (image if _is_srgb(profile, image.mode) else _transformed(image, profile)), name, notes
        except _BROKEN:
            notes = ("broken ICC profile ignored",)
    if image.mode == "CMYK":
        return image.convert("RGB"), "CMYK", notes
    if image.mode == "LAB":  # needs no profile to be understood
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, _srgb(), outputMode="RGB") or image, "CIELAB", notes
    return image, "sRGB", notes


def _transformed(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB: in RGB or RGBa, or in L or La if the profile is a grayscale one."""
    if image.mode in UNMULTIPLIED:
        image = image.convert(UNMULTIPLIED[image.mode])
        colors = _transformed(image.convert(OPAQUE[image.mode]), profile)
        colors.putalpha(image.getchannel("A"))
        return colors.convert("La" if colors.mode == "LA" else "RGBa")
    mode = _input_mode(profile, image.mode)
    transformed = _apply(image.convert(mode), profile, mode)
    return transformed.convert("L") if mode == "L" else transformed


def _input_mode(profile: bytes, mode: str) -> str:
    """The mode in which Little CMS gets an image of `mode`: RGB profiles come with grayscale pictures, too."""
    if mode in ("CMYK", "LAB"):
        return mode
    is_grayscale = ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip() == "GRAY"
    return "L" if mode in ("L", "La") and is_grayscale else "RGB"


def _apply(image: Image.Image, profile: bytes, mode: str) -> Image.Image:
    return ImageCms.applyTransform(image, _transform(profile, mode)) or image  # None only for transforms in place


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
    difference = ImageChops.difference(_apply(patches, profile, mode), patches.convert("RGB"))
    extrema = cast(tuple[tuple[int, int], ...], difference.getextrema())  # one pair a channel
    return all(highest <= _INVISIBLE_DIFFERENCE for _, highest in extrema)


@lru_cache(maxsize=8)
def _name(profile: bytes) -> str:
    """The profile's own description."""
    name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    return printable(" ".join(name.split()), _MAX_NAME) or "unnamed ICC profile"


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

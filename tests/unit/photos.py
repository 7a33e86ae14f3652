"""Helpers to compare pictures as an eye would: by how far pixels are apart, never by bytes."""

import io

from PIL import Image, ImageChops, ImageStat

from imagepipeline import renditions
from imagepipeline.probing import probe
from imagepipeline.probing.ranges import InMemory
from imagepipeline.rendering import Locate, Rendered, render

ORIENTATIONS = range(1, 9)

# What a viewer does for each EXIF orientation, in the words of the standard: where the stored picture's first row and
# first column are seen.
_SEEN = {
    1: lambda image: image,  # top, left
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),  # top, right
    3: lambda image: image.rotate(180),  # bottom, right
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),  # bottom, left
    5: lambda image: image.rotate(-90, expand=True).transpose(Image.Transpose.FLIP_LEFT_RIGHT),  # left, top
    6: lambda image: image.rotate(-90, expand=True),  # right, top
    7: lambda image: image.rotate(90, expand=True).transpose(Image.Transpose.FLIP_LEFT_RIGHT),  # right, bottom
    8: lambda image: image.rotate(90, expand=True),  # left, bottom
}


def seen(stored: Image.Image, orientation: int) -> Image.Image:
    """What a person sees of a picture stored with this EXIF orientation."""
    return _SEEN[orientation](stored)


def rendered(data: bytes, wanted: str = "small=30x30", locate: Locate | None = None) -> Rendered:
    """What the pipeline makes of a file, as its functions do: probed, then rendered."""
    return render(data, probe(InMemory(data)), renditions.parse(wanted), locate)


def rendition(data: bytes, wanted: str = "small=30x30") -> Image.Image:
    """The first of the renditions, decoded."""
    first = next(iter(rendered(data, wanted).renditions.values()))
    return opened(first.data)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def distance(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures of one size are apart: the mean over pixels and channels, 0 to 255."""
    assert one.size == other.size
    mode = "RGBA" if one.has_transparency_data or other.has_transparency_data else "RGB"
    return sum(ImageStat.Stat(ImageChops.difference(one.convert(mode), other.convert(mode))).mean) / len(mode)


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The reference: LANCZOS from all pixels, with premultiplied alpha."""
    return image.resize(size, Image.Resampling.LANCZOS)


def on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")

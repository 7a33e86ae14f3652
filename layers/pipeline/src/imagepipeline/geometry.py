"""Sizes and crops of renditions, in whole pixels. Pure arithmetic, standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagepipeline.renditions import RenditionSpec

type Size = tuple[int, int]  # width, height in pixels
# How far a picture reaches in an image that was reduced by a whole number. If a side is not a multiple of that number,
# the picture covers only part of the last column or row, and scaling the whole image would shift everything.
type Extent = tuple[float, float]
# A box, (left, top, width, height), as fractions of a picture's width and height. It may reach beyond the picture.
type Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one rendition is made from the upright picture: scaled as a whole, then cropped."""

    scaled: Size  # of the whole picture
    size: Size  # of the rendition: at most `scaled`


def plan(picture: Size, spec: RenditionSpec) -> Plan:
    """The plan for `spec` from an upright picture. Nothing is enlarged, and no side falls below one pixel.

    A `cover` rendition always has the box's shape. If the picture is too small to fill the box, the rendition is the
    largest crop of that shape, so that a page laid out for the shape is not broken.
    """
    width, height = picture
    if spec.fit == "inside":
        scaled = scale(picture, min(1.0, spec.width / width, spec.height / height))
        return Plan(scaled, scaled)
    crop = scale((spec.width, spec.height), min(1.0, width / spec.width, height / spec.height))
    zoom = max(crop[0] / width, crop[1] / height)
    scaled = scale(picture, min(1.0, zoom))
    return Plan((max(scaled[0], crop[0]), max(scaled[1], crop[1])), crop)


def largest(picture: Size, specs: tuple[RenditionSpec, ...]) -> Size:
    """The largest size at which a rendition needs the whole picture."""
    return max((plan(picture, spec).scaled for spec in specs), key=area)


def area(size: Size) -> int:
    """Pixels."""
    return size[0] * size[1]


def upright(size: Size, orientation: int) -> Size:
    """The size of the upright picture from the size of the stored one with this EXIF orientation, or the reverse."""
    return size[::-1] if orientation >= 5 else size


def scale(size: Size, factor: float) -> Size:
    """`size` times `factor`, rounded, at least one pixel a side."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def around(outer: Size, inner: Size, faces: Sequence[Box]) -> tuple[int, int, int, int]:
    """The box (left, upper, right, lower) of `inner` in `outer` that shows the largest faces; the middle without any.

    `faces` come largest first. The first is always kept, and each other if it fits into the box beside those that are
    kept already. The box is centred on what is kept, as far as the picture reaches.
    """
    left = _start(outer[0], inner[0], [(face[0], face[0] + face[2]) for face in faces])
    upper = _start(outer[1], inner[1], [(face[1], face[1] + face[3]) for face in faces])
    return left, upper, left + inner[0], upper + inner[1]


def _start(outer: int, inner: int, faces: Sequence[tuple[float, float]]) -> int:
    """Where `inner` pixels begin in a row of `outer`, in which each face is an interval of fractions."""
    if not faces:
        return (outer - inner) // 2
    first, last = faces[0]
    for start, end in faces[1:]:
        if round((max(last, end) - min(first, start)) * outer) <= inner:
            first, last = min(first, start), max(last, end)
    return min(max(0, round(((first + last) * outer - inner) / 2)), outer - inner)

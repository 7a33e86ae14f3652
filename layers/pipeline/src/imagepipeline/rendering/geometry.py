"""Sizes and crops of renditions, in whole pixels. Pure arithmetic, standard library only."""

from dataclasses import dataclass

from imagepipeline.renditions import RenditionSpec

type Size = tuple[int, int]  # width, height in pixels
# As far as a picture reaches in an image that was reduced by a whole number: where a side did not divide by it, the
# last column or row is only partly picture, and scaling it as a whole would move everything.
type Extent = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one rendition comes out of the upright picture: scaled as a whole, then cropped from the centre."""

    scaled: Size  # of the whole picture
    size: Size  # of the rendition: at most `scaled`


def plan(picture: Size, spec: RenditionSpec) -> Plan:
    """The plan for `spec` from an upright picture. Nothing is enlarged, nothing falls below one pixel.

    A `cover` rendition always has the box's shape; where the picture is too small to fill the box it is the largest
    such crop, so that a page laid out for the shape stays whole.
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
    """The largest size at which any of the renditions needs the whole picture."""
    return max((plan(picture, spec).scaled for spec in specs), key=area)


def area(size: Size) -> int:
    """Pixels."""
    return size[0] * size[1]


def scale(size: Size, factor: float) -> Size:
    """`size` times `factor`, rounded, at least one pixel a side."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def center(outer: Size, inner: Size) -> tuple[int, int, int, int]:
    """The box (left, upper, right, lower) of `inner` in the middle of `outer`."""
    left, upper = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    return left, upper, left + inner[0], upper + inner[1]

"""Decode once, scale down step by step, and encode every rendition on the way.

    data ── decoding ── color ── resizing ── orientation ── filters ── encoding ── renditions

Colour profiles and orientation are applied after the first reduction, where there are fewer pixels to touch.
"""

from dataclasses import dataclass

from PIL import Image

from imagepipeline.models import Header
from imagepipeline.rendering import color, decoding, encoding, geometry, orientation
from imagepipeline.renditions import RenditionSpec


@dataclass(frozen=True, slots=True)
class Encoded:
    """One rendition, ready to be stored."""

    name: str
    width: int  # pixels
    height: int
    format: str  # "JPEG", "PNG", "WEBP" or "AVIF"
    data: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """What decoding told about the original."""

    width: int  # pixels, upright
    height: int
    orientation: int  # EXIF's, 1 to 8, as found; the renditions are upright
    color_mode: str
    bit_depth: int  # bits a channel
    color_space: str  # the ICC profile's own description, "sRGB" where there is none
    frames: int
    exif: bytes | None  # raw
    notes: tuple[str, ...]  # what was found broken and worked around


@dataclass(frozen=True, slots=True)
class Rendered:
    """All that one decode yields."""

    renditions: dict[str, Encoded]  # by name
    picture: Picture


def render(data: bytes, header: Header, specs: tuple[RenditionSpec, ...]) -> Rendered:
    """All renditions of the image in `data`, whose header has passed the limits.

    Raises DamagedImage if the content is cut short, broken, or not what the header promised.
    """
    image = decoding.open_image(data, header)
    turn = orientation.read(image.info.get("exif"))
    image = decoding.decode(image, header)
    exif, profile = image.info.get("exif"), image.info.get("icc_profile")
    turn = orientation.read(exif)

    picture_size = image.size[::-1] if orientation.swaps_sides(turn) else image.size
    plans = {spec: geometry.plan(picture_size, spec) for spec in specs}
    largest = max(plan.scaled for plan in plans.values())

    image = color.to_eight_bits(image)
    image = image.resize(largest[::-1] if orientation.swaps_sides(turn) else largest, Image.Resampling.LANCZOS)
    image, color_space, notes = color.to_srgb(image, profile)
    image = orientation.upright(image, turn)

    renditions = {}
    for spec, plan in sorted(plans.items(), key=lambda item: item[1].scaled, reverse=True):
        if image.size != plan.scaled:
            image = image.resize(plan.scaled, Image.Resampling.LANCZOS)
        cropped = image.crop(geometry.center(plan.scaled, plan.size))
        if spec.format == "JPEG":
            cropped = color.flatten(cropped)
        renditions[spec.name] = Encoded(spec.name, *plan.size, spec.format, encoding.encode(cropped, spec))

    picture = Picture(
        *picture_size,
        orientation=turn,
        color_mode=header.color_mode,
        bit_depth=header.bit_depth,
        color_space=color_space,
        frames=header.frames,
        exif=exif,
        notes=tuple(notes),
    )
    return Rendered({spec.name: renditions[spec.name] for spec in specs}, picture)

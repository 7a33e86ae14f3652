"""Decode once, scale down step by step, and encode every rendition on the way.

    data ── decoding ── resizing ── color ── orientation ──┬── filters ── encoding ── the largest rendition
                                                           └── resizing ── … ── the next

Profiles and orientation are applied after the first reduction, where there are fewer pixels to touch. If all that is
asked for are JPEGs, everything happens in their own YCbCr, with colours at the half resolution they will keep.
"""

from dataclasses import dataclass

from PIL import Image

from imagepipeline import fingerprints, limits
from imagepipeline.models import Header
from imagepipeline.rendering import color, decoding, encoding, geometry, resizing
from imagepipeline.rendering.orientation import upright, upright_size
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
    color_space: str  # the ICC profile's own description; "sRGB", "CMYK" or "CIELAB" where there is none
    frames: int
    exif: bytes | None  # raw, for exif.facts
    notes: tuple[str, ...]  # what was found broken and worked around
    fingerprints: fingerprints.Fingerprints


@dataclass(frozen=True, slots=True)
class Rendered:
    """All that one decode yields."""

    renditions: dict[str, Encoded]  # by name, in the order asked for
    picture: Picture


def render(data: bytes, header: Header, specs: tuple[RenditionSpec, ...]) -> Rendered:
    """All renditions of the image in `data`, whose header has passed the limits.

    Raises DamagedImage if the content is cut short, broken, or not what the header promised, TooComplex if it would
    cost too much all the same, and UnsupportedFormat for samples of 32 bits.
    """
    limits.check_contents(header, data)
    original = decoding.open_image(data, header)
    stored_size = original.size
    extent = decoding.decode(original, header, specs)

    turn = 1 if decoding.turns_by_itself(header) else decoding.orientation(original, header, data)
    picture_size = upright_size(stored_size, turn)
    plans = {spec: geometry.plan(picture_size, spec) for spec in specs}
    base_size = upright_size(geometry.largest(picture_size, specs), turn)
    jpegs_only = all(spec.format == "JPEG" and not spec.filters for spec in specs)

    soft = resizing.is_soft(stored_size, extent, base_size)
    image, extent = color.scalable(
        original, extent, decoding.sample_bits(header), base_size, in_shades=header.color_mode == "LA"
    )
    image = resizing.shrink(image, base_size, extent, half_chroma=jpegs_only, soft=soft)
    image, color_space, notes = color.to_srgb(image, decoding.profile(original, header, data))
    image = color.as_jpegs_have_it(image) if jpegs_only else color.as_filters_take_it(image)
    image = upright(image, turn)

    encoded = {}
    for spec in sorted(specs, key=lambda spec: geometry.area(plans[spec].scaled), reverse=True):
        image = resizing.shrink(image, plans[spec].scaled, half_chroma=jpegs_only)
        encoded[spec.name] = _finish(image, plans[spec], spec)

    picture = Picture(
        *picture_size,
        orientation=decoding.orientation(original, header, data),
        color_mode=header.color_mode,
        bit_depth=header.bit_depth,
        color_space=color_space,
        frames=header.frames,
        exif=decoding.raw_exif(original, header, data),
        notes=notes,
        fingerprints=fingerprints.take(color.unmultiplied(image)),
    )
    return Rendered({spec.name: encoded[spec.name] for spec in specs}, picture)


def _finish(image: Image.Image, plan: geometry.Plan, spec: RenditionSpec) -> Encoded:
    """The rendition, from the whole picture at the planned scale."""
    if plan.size != plan.scaled:
        image = image.crop(geometry.center(plan.scaled, plan.size))
    image = color.flattened(image) if spec.format == "JPEG" else color.unmultiplied(image)
    if spec.filters:
        # Here, because most deployments do without it, and so does a cold start.
        from imagepipeline.rendering import filters

        image = filters.apply(image, spec.filters)
    return Encoded(spec.name, *image.size, spec.format, encoding.encode(image, spec))

"""Decode once, scale down step by step, and encode every rendition on the way.

    data ── decoding ── modes ── resizing ── profiles ──┬── filters ── encoding ── the largest rendition
                                                        └── resizing ── … ── the next

Profiles and orientation are applied after the first reduction, when fewer pixels are left. If all renditions are JPEGs,
scaling happens in their own YCbCr, with colours at the half resolution that a JPEG keeps: from the beginning, unless an
ICC profile has to be applied to RGB first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from imagepipeline import fingerprints, geometry
from imagepipeline.models import Header
from imagepipeline.rendering import decoding, encoding, modes, resizing
from imagepipeline.renditions import RenditionSpec

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    """What was learned about the original while it was decoded."""

    width: int  # pixels, upright
    height: int
    orientation: int  # EXIF's, 1 to 8, as found; the renditions are upright
    color_mode: str
    bit_depth: int  # bits a channel
    color_space: str  # the ICC profile's own description; "sRGB", "CMYK" or "CIELAB" if there is none
    frames: int
    exif: bytes | None  # raw, for exif.facts
    notes: tuple[str, ...]  # what was broken and could be worked around
    fingerprints: fingerprints.Fingerprints


@dataclass(frozen=True, slots=True)
class Rendered:
    """All results of one decode."""

    renditions: dict[str, Encoded]  # by name, in the order asked for
    picture: Picture


# Finds the faces in a JPEG of the given size; largest first.
type Locate = Callable[[bytes, geometry.Size], Sequence[geometry.Box]]

# The JPEG in which faces are located. Rekognition detects faces of at least 40 pixels in a picture of 1920 by 1080.
_EXAMINED = RenditionSpec("examined", 1280, 1280, quality=85)


def render(data: bytes, header: Header, specs: tuple[RenditionSpec, ...], locate: Locate | None = None) -> Rendered:
    """All renditions of the image in `data`, whose header has passed the limits.

    `locate` is called once, and only if a crop depends on faces. Without it, such a crop is from the centre.

    Raises DamagedImage if the content is truncated, broken, or not what the header promised, TooComplex if decoding it
    would exceed a limit, and UnsupportedFormat for a layout that no decoder here understands.
    """
    image = decoding.open_image(data, header)
    stored_size = image.size
    needed = (*specs, _EXAMINED) if any(spec.focus for spec in specs) else specs
    extent = decoding.decode(image, header, needed)
    orientation, profile = decoding.orientation(image, header, data), decoding.profile(image, header, data)
    exif = decoding.raw_exif(image, header, data)

    turn = 1 if decoding.is_upright_once_decoded(header) else orientation
    picture_size = geometry.upright(stored_size, turn)
    plans = {spec: geometry.plan(picture_size, spec) for spec in specs}
    base_size = geometry.upright(geometry.largest(picture_size, needed), turn)
    jpegs_only = all(spec.format == "JPEG" and not spec.filters for spec in specs)

    soft = resizing.is_soft(stored_size, extent, base_size)
    image, extent = modes.scalable(
        image, extent, decoding.sample_bits(header), base_size, is_grayscale=header.color_mode == "LA"
    )
    if jpegs_only and image.mode == "RGB" and not profile:
        image, extent = resizing.averaged(image, extent, base_size)
        image = modes.for_jpeg(image)
    image = resizing.shrink(image, base_size, extent, half_chroma=jpegs_only, soft=soft)
    image, color_space, notes = _to_srgb(image, profile)
    image = modes.for_jpeg(image) if jpegs_only else modes.for_filters(image)
    image = image.transpose(_TRANSPOSE[turn]) if turn in _TRANSPOSE else image

    faces: Sequence[geometry.Box] = ()
    if locate and any(spec.focus and plans[spec].size != plans[spec].scaled for spec in specs):
        examined = resizing.shrink(image, geometry.plan(picture_size, _EXAMINED).size, half_chroma=jpegs_only)
        faces = locate(encoding.encode(modes.flattened(examined), _EXAMINED), examined.size)
    encoded = {}
    for spec in sorted(specs, key=lambda spec: geometry.area(plans[spec].scaled), reverse=True):
        image = resizing.shrink(image, plans[spec].scaled, half_chroma=jpegs_only)
        encoded[spec.name] = _finish(image, plans[spec], spec, faces if spec.focus else ())

    picture = Picture(
        *picture_size,
        orientation=orientation,
        color_mode=header.color_mode,
        bit_depth=header.bit_depth,
        color_space=color_space,
        frames=header.frames,
        exif=exif,
        notes=notes,
        fingerprints=fingerprints.take(modes.unmultiplied(image)),
    )
    return Rendered({spec.name: encoded[spec.name] for spec in specs}, picture)


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str, tuple[str, ...]]:
    if not profile and image.mode not in ("CMYK", "LAB"):
        return image, "sRGB", ()
    # Imported here, because most pictures need no conversion, and a cold start should not pay for it.
    from imagepipeline.rendering import profiles

    return profiles.to_srgb(image, profile)


def _finish(image: Image.Image, plan: geometry.Plan, spec: RenditionSpec, faces: Sequence[geometry.Box]) -> Encoded:
    """The rendition, from the whole picture at the planned scale."""
    if plan.size != plan.scaled:
        image = image.crop(geometry.around(plan.scaled, plan.size, faces))
    image = modes.flattened(image) if spec.format == "JPEG" else modes.unmultiplied(image)
    if spec.filters:
        # Imported here, because most deployments use no filter, and a cold start should not pay for it.
        from imagepipeline.rendering import filters

        image = filters.apply(image, spec.filters)
    return Encoded(spec.name, *image.size, spec.format, encoding.encode(image, spec))

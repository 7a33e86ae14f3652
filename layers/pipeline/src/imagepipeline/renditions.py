"""The RENDITIONS setting: the renditions to create of each upload, in one line. Standard library only.

    small=100x100 medium=640x480 card=400x400:cover:webp mood=640x640:sepia thumb=200x200:avif:q=60

Renditions are separated by spaces. Each is a name, a box in pixels, then options in any order, each after a colon.

fit      `inside` (default): the whole image, scaled to fit into the box. `cover`: the image fills the box and is
         cropped from the centre. `cover:face` crops so that the largest faces stay in the picture. Nothing is enlarged:
         of an image smaller than the box, `inside` keeps the size, and `cover` gives the largest crop with the aspect
         ratio of the box.
format   `jpeg` (default), `webp`, `avif`, `png`
quality  `q=1` to `q=100`; the default depends on the format (`DEFAULT_QUALITY`). PNG is lossless and has none.
filters  `grayscale`, `sepia`, `blur`, `sharpen`, `autocontrast`: any number, applied in the order written
"""

import re
from dataclasses import dataclass
from typing import Any

from imagepipeline.errors import ConfigError

DEFAULT = "small=100x100 medium=640x480 large=1280x1280"

FITS = ("inside", "cover")
FOCUSES = ("face",)  # of `cover`, instead of the centre
FORMATS = ("jpeg", "webp", "avif", "png")
FILTERS = ("grayscale", "sepia", "blur", "sharpen", "autocontrast")
# About the same visible quality on the scale of each encoder; docs/encoders.md has the measurements.
DEFAULT_QUALITY = {"JPEG": 80, "WEBP": 80, "AVIF": 60}

MAX_SIDE = 4096  # pixels: the width of a 4K screen, and a bound of 64 MiB on a rendition's memory
MAX_RENDITIONS = 12  # each takes about 200 bytes of state data and of the record

_NAME = "[a-z0-9-]{1,32}"
_SIDE = "(?:[1-9][0-9]{0,2}|[1-3][0-9]{3}|40[0-8][0-9]|409[0-6])"
_QUALITY = "q=(?:[1-9][0-9]?|100)"
_OPTION = f"(?:{'|'.join(FITS + FOCUSES + FORMATS + FILTERS)}|{_QUALITY})"
_RENDITION = f"{_NAME}={_SIDE}x{_SIDE}(?::{_OPTION})*"

# For the template's AllowedPattern, which CloudFormation matches against the whole value. It accepts everything that
# `parse` accepts, but cannot detect repeated names or options, or a quality for PNG.
ALLOWED_PATTERN = f" *{_RENDITION}(?: +{_RENDITION}){{0,{MAX_RENDITIONS - 1}}} *"


@dataclass(frozen=True, slots=True)
class RenditionSpec:
    """One rendition to create of every upload."""

    name: str
    width: int  # of the box, pixels
    height: int
    fit: str = "inside"
    format: str = "JPEG"  # "JPEG", "WEBP", "AVIF" or "PNG"
    quality: int | None = DEFAULT_QUALITY["JPEG"]  # 1 to 100; None for PNG
    filters: tuple[str, ...] = ()
    focus: str | None = None  # of `cover`: "face", or None for the centre

    @property
    def undistorted(self) -> bool:
        """Whether it shows the whole image in its own colours, as Rekognition needs it."""
        return self.fit == "inside" and not self.filters


def parse(text: str) -> tuple[RenditionSpec, ...]:
    """The renditions that `text` describes, in order.

    Raises ConfigError with the invalid part and the valid values.
    """
    specs = tuple(_parse_one(token) for token in text.split(" ") if token)
    if not 1 <= len(specs) <= MAX_RENDITIONS:
        raise _error(f"{len(specs)} renditions; between 1 and {MAX_RENDITIONS} are possible, e.g. {DEFAULT}")
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise _error(f'the name "{name}" is given to {names.count(name)} renditions; each needs its own')
    return specs


def _parse_one(token: str) -> RenditionSpec:
    name, equals, description = token.partition("=")
    if not equals:
        raise _error(f'"{token}" is not NAME=WIDTHxHEIGHT, e.g. {token}=640x480')
    if not re.fullmatch(_NAME, name):
        raise _error(f'"{name}" in "{token}" is not a name: 1 to 32 of a-z, 0-9 and "-"')
    box, *options = description.split(":")
    width, height = _parse_box(box, token)
    return RenditionSpec(name, width, height, **_parse_options(options, token))


def _parse_box(box: str, token: str) -> tuple[int, int]:
    sides = re.fullmatch("([0-9]+)x([0-9]+)", box)
    if not sides:
        raise _error(f'"{box}" in "{token}" is not WIDTHxHEIGHT, e.g. 640x480')
    for side in sides.groups():
        if not re.fullmatch(_SIDE, side):
            raise _error(f'"{side}" in "{token}" is not a side of 1 to {MAX_SIDE} pixels')
    return int(sides[1]), int(sides[2])


def _parse_options(options: list[str], token: str) -> dict[str, Any]:
    """Keyword arguments for RenditionSpec."""
    fits = [option for option in options if option in FITS]
    focuses = [option for option in options if option in FOCUSES]
    formats = [option for option in options if option in FORMATS]
    filters = [option for option in options if option in FILTERS]
    qualities = [option for option in options if re.fullmatch(_QUALITY, option)]
    for option in options:
        if option.startswith("q=") and option not in qualities:
            raise _error(f'"{option}" in "{token}" is not a quality from q=1 to q=100')
        if option not in fits + focuses + formats + filters + qualities:
            known = ", ".join((*FITS, *FOCUSES, *FORMATS, *FILTERS, "q=80"))
            raise _error(f'"{option}" in "{token}" is not one of {known}')
        if options.count(option) > 1:
            raise _error(f'"{option}" is twice in "{token}"')
    for kind, chosen in (("fit", fits), ("format", formats), ("quality", qualities)):
        if len(chosen) > 1:
            raise _error(f'"{token}" has more than one {kind}: {", ".join(chosen)}')
    if focuses and fits != ["cover"]:
        raise _error(f'"{focuses[0]}" in "{token}" needs cover: write cover:{focuses[0]}')
    format_name = (formats or ["jpeg"])[0].upper()
    if qualities and format_name == "PNG":
        raise _error(f'"{qualities[0]}" in "{token}": PNG is lossless, leave the quality out')
    return {
        "fit": (fits or ["inside"])[0],
        "focus": focuses[0] if focuses else None,
        "format": format_name,
        "quality": int(qualities[0][2:]) if qualities else DEFAULT_QUALITY.get(format_name),
        "filters": tuple(filters),
    }


def _error(problem: str) -> ConfigError:
    return ConfigError("RENDITIONS", problem)

"""The description of an image in its record, without labels."""

from imagepipeline import exif
from imagepipeline.models import Header, JsonObject
from imagepipeline.rendering import Picture


def describe(header: Header, picture: Picture, sha256: str, *, location: bool = False) -> JsonObject:
    """The record's descriptive attributes, in PascalCase and bounded in size. Unknown attributes are absent.

    `sha256` is the hexadecimal hash of the original file. The GPS position is included only with `location`.
    """
    marks = picture.fingerprints
    facts = {
        "Format": header.format,
        "Width": picture.width,
        "Height": picture.height,
        "Orientation": picture.orientation,
        "ColorMode": picture.color_mode,
        "BitDepth": picture.bit_depth,
        "ColorSpace": picture.color_space,
        "Frames": picture.frames,
        "Exif": exif.facts(picture.exif, location=location),
        "Palette": [color.to_state() for color in marks.palette],
        "DHash": marks.dhash,
        "ThumbHash": marks.thumbhash,
        "Sha256": sha256,
        "Notes": list(picture.notes),
    }
    return {name: value for name, value in facts.items() if value not in (None, [], {})}

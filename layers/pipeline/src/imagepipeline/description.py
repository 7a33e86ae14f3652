"""What a record says of a picture, apart from its labels."""

from imagepipeline.models import Header
from imagepipeline.rendering import Picture


def describe(header: Header, picture: Picture) -> dict:
    """The record's descriptive attributes, PascalCase and bounded in size; what is unknown is absent."""
    facts = {
        "Format": header.format,
        "Width": picture.width,
        "Height": picture.height,
        "Orientation": picture.orientation,
        "ColorMode": picture.color_mode,
        "BitDepth": picture.bit_depth,
        "ColorSpace": picture.color_space,
        "Frames": picture.frames,
        "Notes": list(picture.notes),
    }
    return {name: value for name, value in facts.items() if value not in (None, [], {})}

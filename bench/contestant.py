"""The product's own code, as the validate and thumbnails functions call it."""

from imagepipeline import renditions
from imagepipeline.probing import probe
from imagepipeline.probing.ranges import InMemory
from imagepipeline.rendering import render

_SPECS = renditions.parse(renditions.DEFAULT)


def render_default(data: bytes) -> dict[str, bytes]:
    """The three default renditions of the image in `data`, by name: JPEG files."""
    rendered = render(data, probe(InMemory(data)), _SPECS)
    return {name: rendition.data for name, rendition in rendered.renditions.items()}

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from imagepipeline.description import describe
from imagepipeline.models import Header
from imagepipeline.rendering import Picture, render
from imagepipeline.renditions import parse

HEADER = Header("JPEG", 40, 30)


@pytest.fixture(scope="module")
def picture() -> Picture:
    """What decoding tells of a plain JPEG of 40x30."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, "JPEG")
    return render(file.getvalue(), HEADER, parse("small=20x20")).picture


def test_a_plain_photo_is_described(picture):
    described = describe(HEADER, picture)

    assert (
        described.items()
        >= {
            "Format": "JPEG",
            "Width": 40,
            "Height": 30,
            "Orientation": 1,
            "ColorMode": "RGB",
            "BitDepth": 8,
            "ColorSpace": "sRGB",
            "Frames": 1,
        }.items()
    )


def test_width_and_height_are_those_of_the_upright_picture(picture):
    turned = replace(picture, width=30, height=40, orientation=6)

    described = describe(HEADER, turned)

    assert (described["Width"], described["Height"], described["Orientation"]) == (30, 40, 6)


def test_what_was_worked_around_is_noted(picture):
    described = describe(HEADER, replace(picture, notes=("the colour profile is broken and was ignored",)))

    assert described["Notes"] == ["the colour profile is broken and was ignored"]


def test_where_there_is_nothing_to_say_nothing_is_said(picture):
    described = describe(HEADER, replace(picture, notes=(), exif=None))

    assert "Notes" not in described
    assert None not in described.values()


def test_a_description_is_state_data_spelt_as_aws_spells_it(picture):
    described = describe(HEADER, picture)

    assert json.loads(json.dumps(described)) == described
    assert all(name[0].isupper() and name.isalnum() for name in described)

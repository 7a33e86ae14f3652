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
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(scope="module")
def picture() -> Picture:
    """What decoding tells of a plain JPEG of 40x30."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, "JPEG")
    return render(file.getvalue(), HEADER, parse("small=20x20")).picture


def test_a_plain_photo_is_described(picture):
    described = describe(HEADER, picture, SHA256)

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


def test_a_picture_is_described_by_its_colours_and_fingerprints(picture):
    described = describe(HEADER, picture, SHA256)

    assert described["Palette"][0]["Share"] == 1
    assert int(described["Palette"][0]["Hex"][1:], 16) == pytest.approx(0x008080, abs=0x020202)
    assert len(described["DHash"]) == 16
    assert described["ThumbHash"]
    assert described["Sha256"] == SHA256


def test_where_a_photo_was_taken_is_told_only_when_asked_for(picture):
    tags = Image.Exif()
    tags[271] = "Example"
    tags.get_ifd(34853).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    located = replace(picture, exif=tags.tobytes())

    untold, told = (describe(HEADER, located, SHA256, location=asked) for asked in (False, True))

    assert untold["Exif"] == {"Camera": "Example"}
    assert told["Exif"]["Location"]["Latitude"] == 52.5
    assert told["Exif"]["Location"]["Longitude"] == 13.4


def test_width_and_height_are_those_of_the_upright_picture(picture):
    turned = replace(picture, width=30, height=40, orientation=6)

    described = describe(HEADER, turned, SHA256)

    assert (described["Width"], described["Height"], described["Orientation"]) == (30, 40, 6)


def test_what_was_worked_around_is_noted(picture):
    described = describe(HEADER, replace(picture, notes=("the colour profile is broken and was ignored",)), SHA256)

    assert described["Notes"] == ["the colour profile is broken and was ignored"]


def test_where_there_is_nothing_to_say_nothing_is_said(picture):
    described = describe(HEADER, replace(picture, notes=(), exif=None), SHA256)

    assert "Notes" not in described
    assert None not in described.values()


def test_a_description_is_state_data_spelt_as_aws_spells_it(picture):
    described = describe(HEADER, picture, SHA256)

    assert json.loads(json.dumps(described)) == described
    assert all(name[0].isupper() and name.isalnum() for name in described)

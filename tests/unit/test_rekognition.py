import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline.models import Rendition
from imagepipeline.rekognition import best_rendition


def rendition(name: str, width: int, height: int, format_name: str = "JPEG") -> Rendition:
    return Rendition(name, f"hash/0A/{name}", width, height, format_name, 1000)


@pytest.mark.parametrize(
    ("found", "undistorted", "best"),
    [
        ([rendition("small", 100, 75), rendition("large", 1280, 960)], {"small", "large"}, "large"),
        ([rendition("large", 1280, 960), rendition("small", 100, 75)], {"small", "large"}, "large"),
        ([rendition("crop", 800, 800), rendition("plain", 320, 240)], {"plain"}, "plain"),
        ([rendition("crop", 800, 800), rendition("plain", 319, 240)], {"plain"}, "crop"),
        ([rendition("webp", 1280, 960, "WEBP"), rendition("jpeg", 640, 480)], {"webp", "jpeg"}, "jpeg"),
        ([rendition("webp", 1280, 960, "WEBP"), rendition("png", 640, 480, "PNG")], {"webp", "png"}, "png"),
        ([rendition("webp", 1280, 960, "WEBP"), rendition("jpeg", 120, 90)], {"webp", "jpeg"}, "webp"),
        ([rendition("webp", 1280, 960, "WEBP"), rendition("jpeg", 100, 75)], {"webp", "jpeg"}, "webp"),
        ([rendition("crop", 800, 800), rendition("avif", 400, 300, "AVIF")], {"avif"}, "avif"),
        ([rendition("crop", 400, 400), rendition("panorama", 1280, 40)], {"panorama"}, "crop"),
        ([rendition("crop", 800, 800), rendition("tinted", 900, 900)], set(), "tinted"),
    ],
    ids=[
        "the-larger",
        "in-any-order",
        "plain-before-cropped",
        "large-crop-before-tiny-plain",
        "readable-before-larger",
        "png-is-readable",
        "large-enough-before-readable",
        "seen-before-refused",
        "plain-before-readable",
        "cropped-before-refused",
        "whatever-there-is",
    ],
)
def test_rekognition_is_shown_the_rendition_that_shows_most(found, undistorted, best):
    assert best_rendition(found, frozenset(undistorted)).name == best


@given(st.permutations([rendition(str(side), side, side) for side in (79, 80, 100, 640, 1280)]))
def test_the_choice_does_not_depend_on_the_order(found):
    assert best_rendition(found, frozenset(r.name for r in found)).name == "1280"

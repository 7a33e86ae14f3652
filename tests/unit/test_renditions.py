"""The RENDITIONS parameter: what it means, and what its mistakes are told."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline import renditions
from imagepipeline.errors import ConfigError
from imagepipeline.renditions import RenditionSpec, parse


def test_the_default_is_three_jpegs_that_show_the_whole_picture():
    small, medium, large = parse(renditions.DEFAULT)

    assert small == RenditionSpec("small", 100, 100, "inside", "JPEG", 80, ())
    assert medium == RenditionSpec("medium", 640, 480, "inside", "JPEG", 80, ())
    assert large == RenditionSpec("large", 1280, 1280, "inside", "JPEG", 80, ())


def test_options_come_in_any_order():
    one = parse("card=400x300:cover:webp:q=70:sepia")
    other = parse("card=400x300:sepia:q=70:webp:cover")

    assert one == other == (RenditionSpec("card", 400, 300, "cover", "WEBP", 70, ("sepia",)),)


def test_filters_keep_their_order():
    (spec,) = parse("mood=9x9:blur:grayscale:sharpen")

    assert spec.filters == ("blur", "grayscale", "sharpen")


@pytest.mark.parametrize(("format_name", "quality"), [("jpeg", 80), ("webp", 80), ("avif", 60), ("png", None)])
def test_each_format_has_a_quality_of_its_own(format_name, quality):
    (spec,) = parse(f"a=10x10:{format_name}")

    assert spec.quality == quality


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "0 renditions; between 1 and 12"),
        (" ".join(f"r{n}=1x1" for n in range(13)), "13 renditions; between 1 and 12"),
        ("640x480", '"640x480" is not NAME=WIDTHxHEIGHT'),
        ("medium=640", '"640" in "medium=640" is not WIDTHxHEIGHT, e.g. 640x480'),
        ("medium=640x", '"640x" in "medium=640x" is not WIDTHxHEIGHT'),
        ("medium=640X480", '"640X480" in "medium=640X480" is not WIDTHxHEIGHT'),
        ("medium=0x480", '"0" in "medium=0x480" is not a side of 1 to 4096 pixels'),
        ("medium=640x4097", '"4097" in "medium=640x4097" is not a side of 1 to 4096 pixels'),
        ("Medium=640x480", '"Medium" in "Medium=640x480" is not a name: 1 to 32 of a-z, 0-9 and "-"'),
        ("=640x480", '"" in "=640x480" is not a name'),
        ("a=1x1 b=2x2 a=3x3", 'the name "a" is given to 2 renditions'),
        ("a=1x1:gif", '"gif" in "a=1x1:gif" is not one of inside, cover, face, jpeg, webp, avif, png, grayscale'),
        ("a=1x1:", '"" in "a=1x1:" is not one of'),
        ("a=1x1:q=0", '"q=0" in "a=1x1:q=0" is not a quality from q=1 to q=100'),
        ("a=1x1:q=101", '"q=101" in "a=1x1:q=101" is not a quality from q=1 to q=100'),
        ("a=1x1:webp:jpeg", '"a=1x1:webp:jpeg" has more than one format: webp, jpeg'),
        ("a=1x1:q=3:q=4", '"a=1x1:q=3:q=4" has more than one quality: q=3, q=4'),
        ("a=1x1:cover:inside", '"a=1x1:cover:inside" has more than one fit: cover, inside'),
        ("a=1x1:face", '"face" in "a=1x1:face" needs cover: write cover:face'),
        ("a=1x1:inside:face", '"face" in "a=1x1:inside:face" needs cover: write cover:face'),
        ("a=1x1:blur:blur", '"blur" is twice in "a=1x1:blur:blur"'),
        ("a=1x1:png:q=80", '"q=80" in "a=1x1:png:q=80": PNG is lossless, leave the quality out'),
    ],
)
def test_a_mistake_is_named_with_its_token_and_what_would_be_right(text, complaint):
    with pytest.raises(ConfigError, match=re.escape(f"RENDITIONS: {complaint}")):
        parse(text)


_NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=32)
_SIDES = st.integers(1, renditions.MAX_SIDE)
_FILTERS = st.lists(st.sampled_from(renditions.FILTERS), unique=True)


@st.composite
def _specs(draw):
    format_name = draw(st.sampled_from(renditions.FORMATS)).upper()
    fit = draw(st.sampled_from(renditions.FITS))
    return RenditionSpec(
        draw(_NAMES),
        draw(_SIDES),
        draw(_SIDES),
        fit,
        format_name,
        None if format_name == "PNG" else draw(st.integers(1, 100)),
        tuple(draw(_FILTERS)),
        draw(st.sampled_from([None, *renditions.FOCUSES])) if fit == "cover" else None,
    )


def _written(spec):
    quality = [f"q={spec.quality}"] if spec.quality else []
    focus = [spec.focus] if spec.focus else []
    options = [spec.fit, *focus, spec.format.lower(), *quality, *spec.filters]
    return f"{spec.name}={spec.width}x{spec.height}:" + ":".join(options)


@given(st.lists(_specs(), min_size=1, max_size=renditions.MAX_RENDITIONS, unique_by=lambda spec: spec.name))
def test_cloudformation_lets_through_whatever_can_be_meant(specs):
    text = " ".join(map(_written, specs))

    assert parse(text) == tuple(specs)
    assert re.fullmatch(renditions.ALLOWED_PATTERN, text)


@given(st.text("ab-=x:0149q cover", max_size=40))
def test_what_cloudformation_refuses_is_refused_by_the_function_too(text):
    if re.fullmatch(renditions.ALLOWED_PATTERN, text):
        return

    with pytest.raises(ConfigError):
        parse(text)


def test_the_pattern_uses_nothing_that_java_reads_differently():
    # Literals, classes, (?:…), |, * and {m,n}: the same in both. Nothing backslashed, no look-around, no other groups.
    assert not re.search(r"\\|\(\?[^:]|\([^?]|[$^]|[+*}?][+?]", renditions.ALLOWED_PATTERN)


def test_a_crop_or_a_filter_distorts():
    specs = parse("a=100x100 b=100x100:webp c=100x100:sepia d=100x100:cover")

    assert [spec.name for spec in specs if spec.undistorted] == ["a", "b"]

"""Sizes and crops: inside or covering the box, never enlarged, never below a pixel."""

import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageStat

from imagepipeline import geometry
from imagepipeline.renditions import MAX_SIDE, RenditionSpec
from tests.unit import samples
from tests.unit.photos import distance, opened, rendered, rendition, scaled

SIDES = st.integers(1, 20_000)
BOX_SIDES = st.integers(1, MAX_SIDE)


def _file(image: Image.Image, format_name: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, format_name)
    return file.getvalue()


def _box(width: int, height: int, fit: str) -> RenditionSpec:
    return RenditionSpec("box", width, height, fit)


@given(SIDES, SIDES, BOX_SIDES, BOX_SIDES)
def test_inside_fits_the_box_and_keeps_the_shape(width, height, box_width, box_height):
    plan = geometry.plan((width, height), _box(box_width, box_height, "inside"))

    assert plan.size == plan.scaled
    assert 1 <= plan.size[0] <= min(width, box_width)
    assert 1 <= plan.size[1] <= min(height, box_height)
    factor = min(1, box_width / width, box_height / height)
    assert plan.size[0] == pytest.approx(max(1, width * factor), abs=0.51)
    assert plan.size[1] == pytest.approx(max(1, height * factor), abs=0.51)


@given(SIDES, SIDES, BOX_SIDES, BOX_SIDES)
def test_cover_fills_a_crop_of_the_boxs_shape(width, height, box_width, box_height):
    plan = geometry.plan((width, height), _box(box_width, box_height, "cover"))

    assert 1 <= plan.size[0] <= plan.scaled[0] <= width
    assert 1 <= plan.size[1] <= plan.scaled[1] <= height
    factor = min(1, width / box_width, height / box_height)
    assert plan.size[0] == pytest.approx(max(1, box_width * factor), abs=0.51)
    assert plan.size[1] == pytest.approx(max(1, box_height * factor), abs=0.51)
    # One of the two sides is seen from edge to edge: no more is cropped than the shape asks for.
    assert plan.size[0] == plan.scaled[0] or plan.size[1] == plan.scaled[1]


@given(SIDES, SIDES, BOX_SIDES, BOX_SIDES, st.sampled_from(["inside", "cover"]))
def test_a_crop_is_within_the_picture_and_in_its_middle(width, height, box_width, box_height, fit):
    plan = geometry.plan((width, height), _box(box_width, box_height, fit))

    left, upper, right, lower = geometry.around(plan.scaled, plan.size, ())

    assert (right - left, lower - upper) == plan.size
    assert 0 <= plan.scaled[0] - right - left <= 1
    assert 0 <= plan.scaled[1] - lower - upper <= 1


FRACTIONS = st.floats(-0.1, 1.1)
FACES = st.lists(st.tuples(FRACTIONS, FRACTIONS, st.floats(0.01, 0.6), st.floats(0.01, 0.6)), max_size=5)


@given(SIDES, SIDES, BOX_SIDES, BOX_SIDES, FACES)
def test_a_crop_around_faces_is_within_the_picture(width, height, box_width, box_height, faces):
    plan = geometry.plan((width, height), _box(box_width, box_height, "cover"))

    left, upper, right, lower = geometry.around(plan.scaled, plan.size, faces)

    assert (right - left, lower - upper) == plan.size
    assert 0 <= left < right <= plan.scaled[0]
    assert 0 <= upper < lower <= plan.scaled[1]


def face(left: float, width: float = 0.1, top: float = 0.1, height: float = 0.2) -> geometry.Box:
    return left, top, width, height


@pytest.mark.parametrize(
    ("faces", "left"),
    [
        ([], 400),
        ([face(0.45)], 400),
        ([face(0.1)], 50),
        ([face(0.9)], 800),
        ([face(-0.05)], 0),
        ([face(0.1), face(0.2)], 100),
        ([face(0.1), face(0.8)], 50),
        ([face(0.1), face(0.8), face(0.19)], 95),
        ([face(0.3, width=0.4)], 400),
        ([face(0.5, width=0.4)], 600),
    ],
    ids=[
        "no face",
        "in the middle",
        "at the left",
        "at the right",
        "beyond the edge",
        "two that fit together",
        "two that do not fit: the larger",
        "a third that fits beside the largest",
        "a face wider than the crop",
        "such a face at the side",
    ],
)
def test_a_crop_is_centred_on_the_largest_faces_that_fit(faces, left):
    assert geometry.around((1000, 200), (200, 200), faces) == (left, 0, left + 200, 200)


def test_a_tall_picture_is_cropped_around_faces_too():
    assert geometry.around((200, 1000), (200, 200), [face(0.4, top=0.05, height=0.1)]) == (0, 0, 200, 200)
    assert geometry.around((200, 1000), (200, 200), [face(0.4, top=0.6, height=0.1)]) == (0, 550, 200, 750)


@pytest.mark.parametrize("draw", ["JPEG", "PNG"])
def test_a_crop_keeps_the_face_and_others_stay_in_the_centre(draw):
    picture = Image.new("RGB", (1200, 400), "white")
    picture.paste("red", (1000, 100, 1150, 300))
    seen = []

    def locate(jpeg, size):
        seen.append((Image.open(io.BytesIO(jpeg)), size))
        return [(1000 / 1200, 100 / 400, 150 / 1200, 200 / 400)]

    result = rendered(_file(picture, draw), "face=200x200:cover:face middle=200x200:cover", locate)

    [(examined, size)] = seen
    face, middle = (opened(result.renditions[name].data).convert("RGB") for name in ("face", "middle"))
    assert (examined.format, examined.size, size) == ("JPEG", (1200, 400), (1200, 400))
    assert face.getpixel((137, 100))[1] < 50  # red
    assert middle.getextrema()[1][0] > 200  # white everywhere


@pytest.mark.parametrize("wanted", ["box=200x200:cover", "box=200x200", "box=400x100:cover:face"])
def test_nobody_is_asked_for_faces_unless_a_crop_depends_on_them(wanted):
    def locate(jpeg, size):
        raise AssertionError

    assert rendered(_file(Image.new("RGB", (800, 200))), wanted, locate).renditions


def test_faces_are_looked_for_in_more_than_a_small_rendition_needs():
    sizes = []

    def locate(jpeg, size):
        sizes.append(size)
        return []

    rendered(_file(Image.new("RGB", (3000, 2000))), "tiny=50x50:cover:face", locate)

    assert sizes == [(1280, 853)]


@given(
    # Of a picture of a few blocks JPEG keeps too little to compare.
    st.tuples(st.integers(40, 300), st.integers(40, 300)),
    st.tuples(st.integers(8, 150), st.integers(8, 150)),
    st.sampled_from(
        [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("TIFF", "LA")]
    ),
    st.sampled_from(["inside", "cover"]),
)
def test_any_picture_in_any_box_looks_like_its_original(size, box, kind, fit):
    format_name, mode = kind
    options = {"quality": 95} if format_name == "JPEG" else {}
    file = samples.encoded(format_name, mode, size, **options)
    plan = geometry.plan(size, _box(*box, fit))
    assume(min(plan.size) >= 4)  # what a single pixel averages depends on the filter

    small = rendition(file, f"a={box[0]}x{box[1]}:{fit}:png")

    shown = samples.photo(*size, "L" if mode == "I;16" else mode)
    shown = shown.convert("RGBA") if shown.has_transparency_data else shown.convert("RGB")
    expected = scaled(shown, plan.scaled).crop(geometry.around(plan.scaled, plan.size, ()))
    assert small.size == plan.size
    assert distance(small.convert(expected.mode), expected) < 4


def test_a_small_picture_is_not_enlarged():
    file = samples.encoded("PNG", size=(20, 10))

    assert rendition(file, "a=100x100:png").size == (20, 10)
    assert rendition(file, "a=100x100:cover:png").size == (10, 10)
    assert rendition(file, "a=100x25:cover:png").size == (20, 5)


@pytest.mark.parametrize("fit", ["inside", "cover"])
@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (1, 1)])
def test_the_thinnest_picture_has_renditions(size, fit):
    result = rendered(samples.encoded("PNG", size=size), f"a=100x100:{fit} b=1x1:{fit}")

    for one in result.renditions.values():
        assert min(one.width, one.height) >= 1
        assert max(one.width, one.height) <= 100


def test_cover_shows_the_middle():
    wide = Image.new("RGB", (90, 30), "red")
    wide.paste("lime", (30, 0, 60, 30))
    file = io.BytesIO()
    wide.save(file, "PNG")

    card = rendition(file.getvalue(), "card=15x15:cover:png")

    assert card.size == (15, 15)
    assert distance(card.crop((1, 0, 14, 15)), Image.new("RGB", (13, 15), "lime")) < 3


def test_each_rendition_has_its_stated_size():
    wanted = "s=10x10 m=64x48:cover:webp l=120x120:avif x=90x90:png c=77x5:cover"

    result = rendered(samples.encoded("JPEG", size=(400, 300)), wanted)

    assert list(result.renditions) == ["s", "m", "l", "x", "c"]
    for name, one in result.renditions.items():
        with Image.open(io.BytesIO(one.data)) as image:
            assert (image.format, image.size, name) == (one.format, (one.width, one.height), one.name)


@pytest.mark.parametrize(
    ("size", "side", "output"),
    [
        ((1600, 1200), 900, "jpeg"),
        ((1602, 1201), 500, "jpeg"),
        ((999, 1333), 300, "jpeg"),
        ((999, 1333), 77, "jpeg"),
        ((999, 1333), 500, "webp"),
        ((1602, 1201), 300, "webp"),
    ],
)
def test_a_jpeg_decoded_at_a_smaller_scale_is_as_sharp_and_as_well_placed(size, side, output):
    # Rings as of a target: half a pixel off, or a filter too soft, shows along every edge.
    rings = Image.radial_gradient("L").resize(size).point([255 * (value // 30 % 2) for value in range(256)])
    photo = Image.merge("RGB", (rings, rings, samples.photo(*size).getchannel("R")))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95)

    small = rendition(file.getvalue(), f"a={side}x{side}:{output}:q=95")

    naive = io.BytesIO()
    scaled(photo, small.size).save(naive, output, quality=95)
    assert distance(small.convert("L"), Image.open(naive).convert("L")) < (4 if side < 100 else 2)


@pytest.mark.parametrize("side", [625, 690])  # decoded at 800, which is barely more
def test_the_finest_detail_is_as_strong_as_a_full_decode_leaves_it(side):
    texture = Image.effect_noise((1600, 1200), 60).filter(ImageFilter.GaussianBlur(1.2))
    file = io.BytesIO()
    texture.save(file, "JPEG", quality=95)

    small = rendition(file.getvalue(), f"a={side}x{side}:png").convert("L")

    expected, found = ImageStat.Stat(scaled(texture, small.size)), ImageStat.Stat(small)
    assert found.stddev == pytest.approx(expected.stddev, rel=0.03)
    assert found.mean == pytest.approx(expected.mean, abs=0.2)

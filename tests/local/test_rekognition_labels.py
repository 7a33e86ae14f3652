"""What the stand-in sees in pictures."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tests.local.stand_in import PHOTOS, StandIn, encoded, running_stand_in

CAT = PHOTOS / "cat.png"
ASTRONAUT = PHOTOS / "astronaut.jpg"
ORIENTATION = 0x0112  # the EXIF tag


@pytest.fixture(scope="module")
def rekognition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("rekognition")) as stand_in:
        yield stand_in


def names(labels: list[dict]) -> set[str]:
    return {label["Name"] for label in labels}


def named(labels: list[dict], name: str) -> dict:
    return next(label for label in labels if label["Name"] == name)


def plain(*stripes: tuple[str, int]) -> Image.Image:
    """Upright stripes, each of a colour and a width in pixels."""
    image = Image.new("RGB", (sum(width for _, width in stripes), 200))
    left = 0
    for color, width in stripes:
        image.paste(color, (left, 0, left + width, 200))
        left += width
    return image


def test_a_cat_is_a_cat_and_all_that_cats_are(rekognition):
    labels = rekognition.labels(CAT.read_bytes())

    assert names(labels) == {"Cat", "Pet", "Mammal", "Animal"}
    cat = named(labels, "Cat")
    assert {parent["Name"] for parent in cat["Parents"]} == {"Animal", "Mammal", "Pet"}
    assert cat["Categories"] == [{"Name": "Animals and Pets"}]
    [instance] = cat["Instances"]
    box = instance["BoundingBox"]
    # Between the eyes of the cat in this photo.
    assert box["Left"] < 0.55 < box["Left"] + box["Width"]
    assert box["Top"] < 0.42 < box["Top"] + box["Height"]


def test_an_astronauts_face_makes_a_person(rekognition):
    labels = rekognition.labels(ASTRONAUT.read_bytes())

    assert names(labels) == {"Person", "Head", "Face"}
    assert named(labels, "Person")["Aliases"] == [{"Name": "Human"}]
    [instance] = named(labels, "Face")["Instances"]
    box = instance["BoundingBox"]
    assert 0.3 < box["Left"] < box["Left"] + box["Width"] < 0.6
    assert 0.1 < box["Top"] < box["Top"] + box["Height"] < 0.4


@pytest.mark.parametrize("photo", ["coffee + saucer.jpg", "deep-field.jpg", "rocket-sideways.jpg"])
def test_a_photo_without_face_or_cat_has_no_labels(rekognition, photo):
    assert rekognition.labels((PHOTOS / photo).read_bytes()) == []


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8))


def gradient() -> Image.Image:
    return Image.linear_gradient("L").resize((640, 480))


def board() -> Image.Image:
    return Image.fromarray(np.indices((480, 640)).sum(axis=0).astype(np.uint8) // 16 % 2 * 255)


def text() -> Image.Image:
    page = Image.new("L", (640, 480), "white")
    ImageDraw.Draw(page).multiline_text((20, 20), "\n".join(["The quick brown fox jumps over it"] * 12), font_size=28)
    return page


@pytest.mark.parametrize("picture", [noise, gradient, board, text])
def test_what_no_camera_saw_has_no_labels(rekognition, picture):
    assert rekognition.labels(picture()) == []


def test_nobody_takes_its_answers_for_rekognitions(rekognition):
    answer = rekognition.client().detect_labels(Image={"Bytes": CAT.read_bytes()})

    assert answer["LabelModelVersion"] == "local-opencv"


def test_a_jpeg_is_turned_upright_by_its_exif_and_a_png_is_not(rekognition):
    lying = Image.open(CAT).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # "turn me by 90 degrees clockwise"

    jpeg, png = encoded(lying, "JPEG", exif=exif), encoded(lying, "PNG", exif=exif)

    assert "Cat" in names(rekognition.labels(jpeg))
    assert rekognition.labels(png) == []


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "I;16"])
def test_every_kind_of_png_is_seen(rekognition, mode):
    photo = Image.open(ASTRONAUT).convert("L")
    wide = Image.fromarray(np.asarray(photo, np.uint16) * 256)

    labels = rekognition.labels(wide if mode == "I;16" else photo.convert(mode))

    assert "Person" in names(labels)


def test_a_close_up_scaled_to_many_sizes_stays_a_cat(rekognition):
    photo = Image.open(CAT).convert("RGB")

    for width in (200, 451, 1280, 4000):
        labels = rekognition.labels(encoded(photo.resize((width, width * 2 // 3)), "JPEG", quality=80))
        assert "Cat" in names(labels), width


def test_labels_come_surest_first_and_no_more_than_asked_for(rekognition):
    both = Image.new("RGB", (1000, 512), "gray")
    both.paste(Image.open(ASTRONAUT).crop((100, 0, 400, 300)).resize((400, 400)), (600, 50))
    both.paste(Image.open(CAT).convert("RGB").resize((600, 400)), (0, 50))

    labels = rekognition.labels(both)
    first = rekognition.labels(both, MaxLabels=2)

    confidences = [label["Confidence"] for label in labels]
    assert names(labels) == {"Cat", "Pet", "Mammal", "Animal", "Person", "Head", "Face"}
    assert confidences == sorted(confidences, reverse=True)
    assert first == labels[:2]


def test_labels_below_the_asked_for_confidence_are_left_out(rekognition):
    surest = rekognition.labels(CAT.read_bytes())[0]["Confidence"]

    assert rekognition.labels(CAT.read_bytes(), MinConfidence=surest - 0.1) != []
    assert rekognition.labels(CAT.read_bytes(), MinConfidence=surest + 0.1) == []


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"LabelInclusionFilters": ["Cat", "Dog"]}, {"Cat"}),
        ({"LabelExclusionFilters": ["Cat", "Pet"]}, {"Mammal", "Animal"}),
        ({"LabelCategoryInclusionFilters": ["Person Description"]}, set()),
        ({"LabelCategoryExclusionFilters": ["Person Description"]}, {"Cat", "Pet", "Mammal", "Animal"}),
        ({"LabelCategoryExclusionFilters": ["Animals and Pets"]}, set()),
        ({"LabelInclusionFilters": ["Cat"], "LabelExclusionFilters": ["Cat"]}, set()),
    ],
)
def test_labels_can_be_filtered_by_name_and_category(rekognition, filters, left):
    assert names(rekognition.labels(CAT.read_bytes(), Settings={"GeneralLabels": filters})) == left


def test_dominant_colors_are_the_pictures_own_with_their_shares(rekognition):
    picture = plain(("#c8102e", 360), ("#0a64c8", 240))

    red, blue = rekognition.properties(picture)["DominantColors"]

    assert red == {
        "Red": 0xC8,
        "Green": 0x10,
        "Blue": 0x2E,
        "HexCode": "#c8102e",
        "CSSColor": "crimson",
        "SimplifiedColor": "red",
        "PixelPercent": pytest.approx(60, abs=1),
    }
    assert (blue["HexCode"], blue["SimplifiedColor"]) == ("#0a64c8", "blue")
    assert blue["PixelPercent"] == pytest.approx(40, abs=1)


def test_no_more_dominant_colors_than_asked_for(rekognition):
    picture = plain(("red", 300), ("lime", 200), ("blue", 100))

    properties = rekognition.properties(picture, Settings={"ImageProperties": {"MaxDominantColors": 2}})

    assert [color["CSSColor"] for color in properties["DominantColors"]] == ["red", "lime"]


@pytest.mark.parametrize(
    ("color", "simplified"),
    [
        ("black", "black"),
        ("white", "white"),
        ("darkslategrey", "grey"),
        ("darkolivegreen", "green"),
        ("gold", "yellow"),
        ("saddlebrown", "brown"),
        ("darkorange", "orange"),
        ("hotpink", "pink"),
        ("pink", "pink"),
        ("indigo", "purple"),
        ("navy", "blue"),
        ("firebrick", "red"),
    ],
)
def test_colors_are_simplified_to_plain_words(rekognition, color, simplified):
    [dominant] = rekognition.properties(plain((color, 200)))["DominantColors"]

    assert (dominant["CSSColor"], dominant["SimplifiedColor"]) == (color, simplified)


def test_a_blurred_photo_is_less_sharp_and_a_dark_one_less_bright_and_contrasty(rekognition):
    photo = Image.open(ASTRONAUT).convert("RGB")

    original = rekognition.properties(photo)["Quality"]
    blurred = rekognition.properties(photo.filter(ImageFilter.GaussianBlur(4)))["Quality"]
    dark = rekognition.properties(photo.point(lambda value: value // 4))["Quality"]

    assert blurred["Sharpness"] < original["Sharpness"] / 2
    assert dark["Brightness"] == pytest.approx(original["Brightness"] / 4, abs=1)
    assert dark["Contrast"] < original["Contrast"] / 2


def test_what_was_found_is_the_foreground(rekognition):
    face = Image.open(ASTRONAUT).crop((100, 0, 400, 300))
    picture = Image.new("RGB", (900, 600), "#0000c0")
    picture.paste(face, (550, 200))

    answer = rekognition.client().detect_labels(
        Image={"Bytes": encoded(picture)}, Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"]
    )

    properties = answer["ImageProperties"]
    assert properties["Background"]["DominantColors"][0]["HexCode"] == "#0000c0"
    assert "blue" not in {color["SimplifiedColor"] for color in properties["Foreground"]["DominantColors"]}
    assert named(answer["Labels"], "Face")["Instances"][0]["DominantColors"] != []


def test_a_picture_of_nothing_has_no_foreground(rekognition):
    assert rekognition.properties(plain(("teal", 300))).keys() == {"Quality", "DominantColors"}


def test_properties_alone_come_without_labels(rekognition):
    answer = rekognition.client().detect_labels(Image={"Bytes": CAT.read_bytes()}, Features=["IMAGE_PROPERTIES"])

    assert "Labels" not in answer


def test_a_face_is_described_by_its_place_eyes_and_tilt(rekognition):
    [face] = rekognition.client().detect_faces(Image={"Bytes": ASTRONAUT.read_bytes()})["FaceDetails"]

    box = face["BoundingBox"]
    left, right = face["Landmarks"]
    assert (left["Type"], right["Type"]) == ("eyeLeft", "eyeRight")
    assert box["Left"] < left["X"] < right["X"] < box["Left"] + box["Width"]
    assert box["Top"] < left["Y"] < box["Top"] + box["Height"] / 2
    assert -10 < face["Pose"]["Roll"] < 10


def test_a_head_leaning_to_its_side_has_that_roll(rekognition):
    leaning = Image.open(ASTRONAUT).rotate(10, Image.Resampling.BICUBIC)
    [upright] = rekognition.client().detect_faces(Image={"Bytes": ASTRONAUT.read_bytes()})["FaceDetails"]

    [face] = rekognition.client().detect_faces(Image={"Bytes": encoded(leaning)})["FaceDetails"]

    assert face["Pose"]["Roll"] == pytest.approx(upright["Pose"]["Roll"] - 10, abs=5)


def test_every_face_is_found_the_largest_first(rekognition):
    face = Image.open(ASTRONAUT).crop((120, 20, 360, 260))
    group = Image.new("RGB", (900, 400), "gray")
    group.paste(face.resize((220, 220)), (100, 100))
    group.paste(face.resize((300, 300)), (500, 50))

    large, small = rekognition.client().detect_faces(Image={"Bytes": encoded(group)}, Attributes=["ALL"])["FaceDetails"]

    assert small["BoundingBox"]["Left"] < 0.4 < large["BoundingBox"]["Left"]


def test_a_cat_is_no_face(rekognition):
    answer = rekognition.client().detect_faces(Image={"Bytes": CAT.read_bytes()})

    assert answer["FaceDetails"] == []

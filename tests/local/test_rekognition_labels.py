"""What the stand-in detects in images."""

from collections.abc import Iterator

import pytest
from PIL import Image

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


def test_a_cat_has_its_label_and_the_parents_of_it(rekognition):
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


def test_a_face_makes_a_person(rekognition):
    labels = rekognition.labels(ASTRONAUT.read_bytes())

    assert names(labels) == {"Person", "Head", "Face"}
    assert named(labels, "Person")["Aliases"] == [{"Name": "Human"}]
    [instance] = named(labels, "Face")["Instances"]
    box = instance["BoundingBox"]
    assert 0.3 < box["Left"] < box["Left"] + box["Width"] < 0.6
    assert 0.1 < box["Top"] < box["Top"] + box["Height"] < 0.4


@pytest.mark.parametrize("photo", ["coffee + saucer.jpg", "deep-field.jpg", "rocket-sideways.jpg"])
def test_an_image_without_a_face_or_cat_has_no_labels(rekognition, photo):
    assert rekognition.labels((PHOTOS / photo).read_bytes()) == []


def test_the_model_version_says_that_it_is_a_stand_in(rekognition):
    answer = rekognition.client().detect_labels(Image={"Bytes": CAT.read_bytes()})

    assert answer["LabelModelVersion"] == "local-opencv"


def test_exif_orientation_applies_to_jpegs_only(rekognition):
    lying = Image.open(CAT).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # "turn me by 90 degrees clockwise"

    jpeg, png = encoded(lying, "JPEG", exif=exif), encoded(lying, "PNG", exif=exif)

    assert "Cat" in names(rekognition.labels(jpeg))
    assert rekognition.labels(png) == []


def test_a_cat_is_detected_at_any_size(rekognition):
    photo = Image.open(CAT).convert("RGB")

    for width in (200, 451, 1280, 4000):
        labels = rekognition.labels(encoded(photo.resize((width, width * 2 // 3)), "JPEG", quality=80))
        assert "Cat" in names(labels), width


def test_max_labels_keeps_the_most_confident(rekognition):
    both = Image.new("RGB", (1000, 512), "gray")
    both.paste(Image.open(ASTRONAUT).crop((100, 0, 400, 300)).resize((400, 400)), (600, 50))
    both.paste(Image.open(CAT).convert("RGB").resize((600, 400)), (0, 50))

    labels = rekognition.labels(both)
    first = rekognition.labels(both, MaxLabels=2)

    confidences = [label["Confidence"] for label in labels]
    assert names(labels) == {"Cat", "Pet", "Mammal", "Animal", "Person", "Head", "Face"}
    assert confidences == sorted(confidences, reverse=True)
    assert first == labels[:2]


def test_min_confidence_excludes_labels(rekognition):
    highest = rekognition.labels(CAT.read_bytes())[0]["Confidence"]

    assert rekognition.labels(CAT.read_bytes(), MinConfidence=highest - 0.1) != []
    assert rekognition.labels(CAT.read_bytes(), MinConfidence=highest + 0.1) == []


def test_a_face_has_a_box_eyes_and_a_roll(rekognition):
    [face] = rekognition.client().detect_faces(Image={"Bytes": ASTRONAUT.read_bytes()})["FaceDetails"]

    box = face["BoundingBox"]
    left, right, mouth, _, nose = face["Landmarks"]
    assert [point["Type"] for point in face["Landmarks"]] == ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
    assert box["Left"] < left["X"] < nose["X"] < right["X"] < box["Left"] + box["Width"]
    assert box["Top"] < left["Y"] < nose["Y"] < mouth["Y"] < box["Top"] + box["Height"]
    assert -10 < face["Pose"]["Roll"] < 10
    assert face.keys() == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}  # AWS's default attributes


def test_the_roll_follows_a_tilted_head(rekognition):
    leaning = Image.open(ASTRONAUT).rotate(10, Image.Resampling.BICUBIC)
    [upright] = rekognition.client().detect_faces(Image={"Bytes": ASTRONAUT.read_bytes()})["FaceDetails"]

    [face] = rekognition.client().detect_faces(Image={"Bytes": encoded(leaning)})["FaceDetails"]

    assert face["Pose"]["Roll"] == pytest.approx(upright["Pose"]["Roll"] - 10, abs=5)


def test_faces_come_largest_first(rekognition):
    face = Image.open(ASTRONAUT).crop((120, 20, 360, 260))
    group = Image.new("RGB", (900, 400), "gray")
    group.paste(face.resize((220, 220)), (100, 100))
    group.paste(face.resize((300, 300)), (500, 50))

    large, small = rekognition.client().detect_faces(Image={"Bytes": encoded(group)}, Attributes=["ALL"])["FaceDetails"]

    assert small["BoundingBox"]["Left"] < 0.4 < large["BoundingBox"]["Left"]


@pytest.mark.parametrize(
    ("color", "path"), [("magenta", ["Explicit", "Explicit Nudity"]), ("cyan", ["Violence", "Weapons"])]
)
def test_a_color_stands_for_moderation_labels(rekognition, color, path):
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste(color, (0, 0, 300, 100))

    answer = rekognition.client().detect_moderation_labels(Image={"Bytes": encoded(picture, "JPEG", quality=80)})

    top, below = answer["ModerationLabels"]
    assert [top["Name"], below["Name"]] == path
    assert (top["ParentName"], below["ParentName"]) == ("", top["Name"])
    assert (top["TaxonomyLevel"], below["TaxonomyLevel"]) == (1, 2)
    assert below["Confidence"] == pytest.approx(75, abs=3)


def test_moderation_labels_need_their_confidence(rekognition):
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste("magenta", (0, 0, 160, 100))

    def found(**parameters: float) -> list:
        return rekognition.client().detect_moderation_labels(Image={"Bytes": encoded(picture)}, **parameters)[
            "ModerationLabels"
        ]

    assert found() == []
    assert len(found(MinConfidence=39)) == 2


@pytest.mark.parametrize("photo", sorted(PHOTOS.glob("*.*g")), ids=lambda photo: photo.name)
def test_the_sample_photos_have_no_moderation_labels(rekognition, photo):
    answer = rekognition.client().detect_moderation_labels(Image={"Bytes": photo.read_bytes()})

    assert answer["ModerationLabels"] == []


def test_a_cat_is_not_a_face(rekognition):
    answer = rekognition.client().detect_faces(Image={"Bytes": CAT.read_bytes()})

    assert answer["FaceDetails"] == []

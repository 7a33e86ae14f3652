"""Rekognition on the emulator: what it detects, what it refuses, and whose permissions it uses."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape
from PIL import Image

from local.samples import PHOTOS
from tests.local.emulated import Emulated

CAT = (PHOTOS / "cat.png").read_bytes()
ASTRONAUT = (PHOTOS / "astronaut.jpg").read_bytes()
PLAIN = Image.new("RGB", (200, 200))
KEY = "a cat+more.png"

DETECT = {"Effect": "Allow", "Action": "rekognition:DetectLabels", "Resource": "*"}
CALLING = """
import boto3
def handler(event, context):
    answer = boto3.client("rekognition").detect_labels(Image={"S3Object": event})
    return [label["Name"] for label in answer["Labels"]]
"""


@pytest.fixture(scope="module")
def rekognition(emulator: Emulated):
    """A client that validates every response against botocore's model."""
    client = emulator.client("rekognition")
    client.meta.events.register("after-call.rekognition", check_answer)
    return client


@pytest.fixture(scope="module")
def bucket(emulator: Emulated) -> str:
    """A bucket with a photo of a cat."""
    name = f"pictures-{uuid4().hex}"
    emulator.client("s3").create_bucket(Bucket=name)
    emulator.client("s3").put_object(Bucket=name, Key=KEY, Body=CAT)
    return name


def check_answer(http_response, model, **_: object) -> None:
    """Fail if a response differs from botocore's model, which botocore itself ignores when it parses responses."""
    if http_response.status_code == 200:
        assert_fits(json.loads(http_response.content), model.output_shape, model.name)


def assert_fits(value: object, shape: Shape, where: str) -> None:
    """Validate types, members and enumerations recursively."""
    types = {"structure": dict, "list": list, "string": str, "integer": int, "float": (int, float)}
    assert isinstance(value, types[shape.type_name]), f"{where} is {value!r}, not of type {shape.type_name}"
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), f"{where} has {value.keys() - shape.members.keys()}"
        for name, member in value.items():
            assert_fits(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for position, item in enumerate(value):
            assert_fits(item, shape.member, f"{where}[{position}]")
    else:
        assert value in shape.metadata.get("enum", [value]), f"{where} is {value}"


def encoded(image: Image.Image, format_name: str = "PNG", **options: object) -> bytes:
    """An image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def labels(rekognition, image: bytes, **parameters: object) -> dict[str, float]:
    """The confidence of each label, in the order of the response."""
    answer = rekognition.detect_labels(Image={"Bytes": image}, **parameters)
    return {label["Name"]: label["Confidence"] for label in answer["Labels"]}


def refusal(call, image: dict, **parameters: object) -> str:
    with pytest.raises(ClientError) as caught:
        call(Image=image, **parameters)
    return caught.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("photo", "names"),
    [
        ("cat.png", {"Cat", "Pet", "Mammal", "Animal"}),
        ("astronaut.jpg", {"Face", "Head", "Person"}),
        ("coffee + saucer.jpg", set()),
        ("deep-field.jpg", set()),
        ("rocket-sideways.jpg", set()),
    ],
)
def test_a_photo_has_the_labels_of_what_it_shows(rekognition, photo: str, names: set[str]):
    image = {"Bytes": (PHOTOS / photo).read_bytes()}

    answer = rekognition.detect_labels(Image=image)

    assert {label["Name"] for label in answer["Labels"]} == names
    assert answer["LabelModelVersion"] == "local-opencv"
    assert rekognition.detect_moderation_labels(Image=image)["ModerationLabels"] == []


@pytest.mark.parametrize("width", [200, 451, 1280, 4000])
def test_a_cat_is_detected_at_any_size(rekognition, width: int):
    photo = Image.open(io.BytesIO(CAT)).convert("RGB").resize((width, width * 2 // 3))

    assert "Cat" in labels(rekognition, encoded(photo, "JPEG", quality=80))


def test_labels_come_most_confident_first_and_can_be_limited(rekognition):
    both = Image.new("RGB", (1000, 512), "gray")
    both.paste(Image.open(io.BytesIO(ASTRONAUT)).crop((100, 0, 400, 300)).resize((400, 400)), (600, 50))
    both.paste(Image.open(io.BytesIO(CAT)).convert("RGB").resize((600, 400)), (0, 50))

    found = labels(rekognition, encoded(both))

    confidences = list(found.values())
    assert len(found) == 7
    assert confidences == sorted(confidences, reverse=True)
    assert list(labels(rekognition, encoded(both), MaxLabels=2)) == list(found)[:2]
    assert max(labels(rekognition, encoded(both), MinConfidence=confidences[0]).values()) == confidences[0]
    assert labels(rekognition, encoded(both), MinConfidence=confidences[0] + 0.1) == {}


def test_faces_come_largest_first_with_their_landmarks(rekognition):
    face = Image.open(io.BytesIO(ASTRONAUT)).crop((120, 20, 360, 260))
    group = Image.new("RGB", (900, 400), "gray")
    group.paste(face.resize((220, 220)), (100, 100))
    group.paste(face.resize((300, 300)), (500, 50))

    large, small = rekognition.detect_faces(Image={"Bytes": encoded(group)}, Attributes=["DEFAULT"])["FaceDetails"]

    box, points = large["BoundingBox"], {point["Type"]: point for point in large["Landmarks"]}
    assert small["BoundingBox"]["Left"] < 0.4 < box["Left"]
    assert (
        box["Left"]
        < points["eyeLeft"]["X"]
        < points["nose"]["X"]
        < points["eyeRight"]["X"]
        < box["Left"] + box["Width"]
    )
    assert (
        box["Top"]
        < points["eyeLeft"]["Y"]
        < points["nose"]["Y"]
        < points["mouthLeft"]["Y"]
        < box["Top"] + box["Height"]
    )
    assert rekognition.detect_faces(Image={"Bytes": CAT})["FaceDetails"] == []


@pytest.mark.parametrize(
    ("color", "path"), [("magenta", ["Explicit", "Explicit Nudity"]), ("cyan", ["Violence", "Weapons"])]
)
def test_a_color_stands_for_moderation_labels(rekognition, color: str, path: list[str]):
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste(color, (0, 0, 300, 100))
    image = {"Bytes": encoded(picture, "JPEG", quality=80)}

    top, below = rekognition.detect_moderation_labels(Image=image)["ModerationLabels"]

    assert [top["Name"], below["Name"]] == path
    assert (top["ParentName"], below["ParentName"]) == ("", top["Name"])
    assert (top["TaxonomyLevel"], below["TaxonomyLevel"]) == (1, 2)
    assert below["Confidence"] == pytest.approx(75, abs=3)
    assert rekognition.detect_moderation_labels(Image=image, MinConfidence=79)["ModerationLabels"] == []


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ({"Bytes": encoded(PLAIN, "WEBP")}, "InvalidImageFormatException"),
        ({"Bytes": ASTRONAUT[: len(ASTRONAUT) // 2]}, "InvalidImageFormatException"),
        ({"Bytes": encoded(Image.new("1", (79, 200)))}, "InvalidParameterException"),
        ({"Bytes": encoded(Image.new("1", (80, 10_001)))}, "ImageTooLargeException"),
        ({"Bytes": encoded(PLAIN).ljust(5 * 2**20 + 1, b"\0")}, "ValidationException"),
        ({"S3Object": {"Bucket": "no-such-bucket", "Name": KEY}}, "InvalidS3ObjectException"),
    ],
    ids=["WebP", "half a JPEG", "too small", "too large", "too long", "missing"],
)
def test_an_image_that_rekognition_would_not_examine_is_refused(rekognition, image: dict, error: str):
    assert refusal(rekognition.detect_labels, image) == error


def test_what_is_not_implemented_is_refused(rekognition):
    assert refusal(rekognition.detect_text, {"Bytes": CAT}) == "UnknownOperationException"
    assert refusal(rekognition.detect_labels, {"Bytes": CAT}, Features=["IMAGE_PROPERTIES"]) == (
        "InvalidParameterException"
    )


def test_an_object_above_15_mib_is_too_large(rekognition, emulator: Emulated, bucket: str):
    limit, s3 = 15 * 1024 * 1024, emulator.client("s3")
    s3.put_object(Bucket=bucket, Key="limit.png", Body=encoded(PLAIN).ljust(limit, b"\0"))
    s3.put_object(Bucket=bucket, Key="above.png", Body=encoded(PLAIN).ljust(limit + 1, b"\0"))

    assert rekognition.detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": "limit.png"}})["Labels"] == []
    assert refusal(rekognition.detect_labels, {"S3Object": {"Bucket": bucket, "Name": "above.png"}}) == (
        "ImageTooLargeException"
    )


@pytest.mark.parametrize(
    ("may_detect", "may_read", "outcome"),
    [(True, True, "Cat"), (True, False, "InvalidS3ObjectException"), (False, True, "rekognition:DetectLabels")],
)
def test_a_function_can_use_what_its_role_allows(
    emulator: Emulated, bucket: str, may_detect: bool, may_read: bool, outcome: str
):
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    allowed = [statement for statement, may in ((DETECT, may_detect), (read, may_read)) if may]
    function = emulator.function(CALLING, Role=emulator.role(*allowed), Timeout=60)

    answer = emulator.invoke(function, {"Bucket": bucket, "Name": KEY})

    assert outcome in str(answer)


def test_concurrent_callers_get_their_own_results(rekognition):
    photos = {"Animal": CAT, "Face": ASTRONAUT, None: encoded(PLAIN)}  # by their first labels

    with ThreadPoolExecutor(24) as callers:
        found = list(callers.map(lambda name: next(iter(labels(rekognition, photos[name])), None), list(photos) * 8))

    assert found == list(photos) * 8

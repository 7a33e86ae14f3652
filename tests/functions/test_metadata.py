import io
import json
import threading
import time

import pytest
from botocore.awsrequest import AWSResponse
from PIL import Image

from functions.metadata import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, RekognitionFailed, RekognitionThrottled, ServiceUnavailable
from tests.functions.deployed import SETTINGS, THUMBNAILS_BUCKET, invoke, picture, published, sample
from tests.in_memory import Calls, answer, refuse


def rendition(name: str, width: int, height: int, format_name: str = "JPEG") -> dict:
    """A rendition of a state, which is also in the bucket."""
    body = picture(width, height, format_name)
    key = f"hash/0A1/{name}.{format_name.lower()}"
    aws.client("s3").put_object(Bucket=THUMBNAILS_BUCKET, Key=key, Body=body)
    return {"Key": key, "Width": width, "Height": height, "Format": format_name, "Bytes": len(body)}


def metadata(renditions: dict | None = None, **more: object) -> dict:
    event = sample("metadata")
    return invoke(app, event | {"Renditions": renditions or event["Renditions"]} | more)


def test_the_picture_gains_its_labels_with_rounded_confidence():
    described = metadata()

    assert described == sample("metadata")["Picture"] | {
        "Labels": [{"Name": "Mobile Phone", "Confidence": 99.9}],  # moto sees one in every picture: 99.936…
        "LabelModelVersion": "3.0",
    }


# --------------------------------------------------------------------------------------------------- asking Rekognition


def test_it_is_asked_once_with_the_configured_confidence_and_count(setting):
    setting("LABELS_MIN_CONFIDENCE", "82.5")
    setting("LABELS_MAX_COUNT", "7")
    rekognition = Calls("rekognition")

    metadata()

    [asked] = rekognition.of("DetectLabels")
    assert rekognition.operations == ["DetectLabels"]
    assert (asked["MinConfidence"], asked["MaxLabels"]) == (82.5, 7)


def test_it_looks_at_the_largest_jpeg_in_the_bucket():
    small, large = rendition("small", 100, 75), rendition("large", 1280, 960)
    rekognition, s3 = Calls("rekognition"), Calls("s3")

    metadata({"small": small, "large": large})

    [asked] = rekognition.of("DetectLabels")
    assert asked["Image"] == {"S3Object": {"Bucket": THUMBNAILS_BUCKET, "Name": large["Key"]}}
    assert s3.operations == []  # the picture doesn't pass through the function


@pytest.mark.parametrize("other", ["card=800x800:cover", "card=800x800:sepia", "card=800x800:webp"])
def test_a_plain_rendition_is_preferred_to_a_larger_one_that_is_cropped_filtered_or_unreadable(setting, other):
    setting("RENDITIONS", f"{other} medium=640x480 small=100x100")
    card = rendition("card", 800, 800, "WEBP" if other.endswith("webp") else "JPEG")
    medium, small = rendition("medium", 640, 480), rendition("small", 100, 100)
    rekognition = Calls("rekognition")

    metadata({"card": card, "medium": medium, "small": small})

    assert rekognition.of("DetectLabels")[0]["Image"]["S3Object"]["Name"] == medium["Key"]


def test_an_undistorted_webp_is_preferred_to_a_jpeg_in_sepia(setting):
    setting("RENDITIONS", "mood=640x480:sepia plain=320x240:webp")
    renditions = {"mood": rendition("mood", 640, 480), "plain": rendition("plain", 320, 240, "WEBP")}
    rekognition = Calls("rekognition")

    metadata(renditions)

    assert seen_bytes(rekognition).size == (320, 240)


@pytest.mark.parametrize("format_name", ["WEBP", "AVIF"])
def test_where_no_rendition_is_readable_a_jpeg_of_the_largest_is_sent(setting, format_name):
    setting("RENDITIONS", f"small=100x100:{format_name.lower()} large=400x300:{format_name.lower()}")
    renditions = {
        "small": rendition("small", 100, 75, format_name),
        "large": rendition("large", 400, 300, format_name),
    }
    rekognition = Calls("rekognition")

    described = metadata(renditions)

    seen = seen_bytes(rekognition)
    assert (seen.format, seen.size) == ("JPEG", (400, 300))
    red, _, blue = seen.getpixel((50, 150))
    assert red > 200 > 50 > blue
    assert described["Labels"]


@pytest.mark.parametrize("byte_count", [15 * 2**20, 15 * 2**20 + 1])
def test_a_png_too_large_for_rekognition_is_passed_over(setting, byte_count):
    setting("RENDITIONS", "poster=4096x4096:png medium=640x480")
    poster = rendition("poster", 800, 600, "PNG") | {"Bytes": byte_count}
    medium = rendition("medium", 640, 480)
    rekognition = Calls("rekognition")

    metadata({"poster": poster, "medium": medium})

    expected = poster if byte_count == 15 * 2**20 else medium
    assert rekognition.of("DetectLabels")[0]["Image"]["S3Object"]["Name"] == expected["Key"]


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_what_is_too_large_for_a_request_is_sent_smaller(setting, format_name):
    setting("RENDITIONS", f"poster=4096x4096:{format_name.lower()}")
    poster = rendition("poster", 2048, 1536, format_name) | {"Bytes": 16 * 2**20}
    rekognition = Calls("rekognition")

    metadata({"poster": poster})

    seen = seen_bytes(rekognition)
    assert (seen.format, seen.size) == ("JPEG", (1920, 1440))


def seen_bytes(rekognition: Calls) -> Image.Image:
    return Image.open(io.BytesIO(rekognition.of("DetectLabels")[0]["Image"]["Bytes"]))


# -------------------------------------------------------------------------------------------------------- not asking it


def test_switched_off_means_that_nobody_is_called(setting):
    setting("DETECT_LABELS", "false")
    rekognition, s3 = Calls("rekognition"), Calls("s3")

    described = metadata()

    assert rekognition.operations == s3.operations == []
    assert described == sample("metadata")["Picture"] | {
        "Labels": [],
        "LabelsSkipped": {"Name": "SwitchedOff", "Message": "label detection is turned off (DetectLabels=false)"},
    }


@pytest.mark.parametrize(("width", "height"), [(79, 200), (200, 79), (1, 1)])
def test_a_picture_too_small_for_rekognition_is_described_without_labels_and_says_why(width, height):
    rekognition = Calls("rekognition")

    described = metadata({"small": rendition("small", width, height)})

    assert rekognition.operations == []
    assert described["Labels"] == []
    assert described["LabelsSkipped"] == {
        "Name": "TooSmallForLabels",
        "Message": f"the largest rendition is {width}x{height}; Rekognition needs at least 80 pixels on each side",
    }


def test_80_pixels_a_side_are_enough():
    rekognition = Calls("rekognition")

    metadata({"small": rendition("small", 80, 80)})

    assert rekognition.operations == ["DetectLabels"]


# ------------------------------------------------------------------------------------------------ faces and moderation

FACE = {
    "BoundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.25, "Height": 0.25},
    "Confidence": 99.9,
    "Landmarks": [{"Type": "nose", "X": 0.4, "Y": 0.6}],
    "Pose": {"Roll": 1.0, "Yaw": 2.0, "Pitch": 3.0},
}
WEAPONS = {"Name": "Weapons", "ParentName": "Violence", "Confidence": 91.3, "TaxonomyLevel": 2}
EVERYTHING = ["DetectFaces", "DetectLabels", "DetectModerationLabels"]


@pytest.fixture
def everything(setting):
    """Everything is switched on, and Rekognition sees a face and a weapon."""
    setting("DETECT_FACES", "true")
    setting("MODERATION", "record")
    answer("rekognition", "DetectFaces", {"FaceDetails": [FACE]})
    moderation = {"ModerationLabels": [WEAPONS], "ModerationModelVersion": "7.0"}
    answer("rekognition", "DetectModerationLabels", moderation)


def test_findings_need_the_confidence_that_is_set(everything, setting):
    setting("MODERATION", "quarantine")
    setting("MODERATION_MIN_CONFIDENCE", "80")
    rekognition = Calls("rekognition")

    metadata()

    [asked] = rekognition.of("DetectModerationLabels")
    assert asked["MinConfidence"] == 80


def test_the_picture_gains_its_faces_and_moderation_labels(everything):
    described = metadata()

    assert described == sample("metadata")["Picture"] | {
        "Labels": [{"Name": "Mobile Phone", "Confidence": 99.9}],
        "LabelModelVersion": "3.0",
        "Faces": [FACE],
        "ModerationLabels": [WEAPONS],
        "ModerationModelVersion": "7.0",
    }


def test_all_questions_are_about_one_rendition_that_is_converted_once(everything, setting):
    setting("RENDITIONS", "only=400x300:webp")
    renditions = {"only": rendition("only", 400, 300, "WEBP")}
    rekognition, s3 = Calls("rekognition"), Calls("s3")

    metadata(renditions)

    first, second, third = (asked["Image"]["Bytes"] for operation in EVERYTHING for asked in rekognition.of(operation))
    assert first == second == third
    assert s3.operations == ["GetObject"]


def test_rekognition_is_asked_everything_at_the_same_time(everything):
    together = threading.Barrier(3, timeout=20)
    for operation in EVERYTHING:
        aws.client("rekognition").meta.events.register(
            f"before-parameter-build.rekognition.{operation}", lambda **_: together.wait()
        )

    assert metadata()["Faces"] == [FACE]


@pytest.mark.parametrize("configured", ["card=200x200:cover", "medium=640x480"])
def test_faces_in_a_crop_are_placed_in_the_whole_picture(everything, setting, configured):
    setting("RENDITIONS", configured)  # perhaps after the rendition was created

    described = metadata({"card": rendition("card", 200, 200)})

    # The square shows the middle 427 of 640 pixels.
    assert described["Faces"][0]["BoundingBox"] == {
        "Left": pytest.approx((106.5 + 427 / 4) / 640, abs=1e-4),
        "Top": 0.5,
        "Width": pytest.approx(427 / 4 / 640, abs=1e-4),
        "Height": 0.25,
    }


def test_each_answer_that_a_small_picture_has_not_has_its_reason(everything):
    described = metadata({"small": rendition("small", 200, 79)})

    assert described["Labels"] == []
    assert not {"Faces", "ModerationLabels"} & described.keys()
    for name in ("Labels", "Faces", "Moderation"):
        assert described[f"{name}Skipped"]["Name"] == f"TooSmallFor{name}"


# ---------------------------------------------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize("operation", EVERYTHING)
@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_throttling_has_a_name_of_its_own_because_it_is_worth_hours_of_patience(everything, operation, code):
    refuse("rekognition", operation, code)

    with pytest.raises(RekognitionThrottled, match=f"^Rekognition is throttling: .*{code}, says AWS"):
        metadata(RetryCount=198)


REFUSALS = ["InternalServerError", "InvalidS3ObjectException", "ImageTooLargeException", "AccessDeniedException"]


@pytest.mark.parametrize("code", REFUSALS)
def test_any_other_refusal_is_told_as_rekognition_s_failure(code):
    refuse("rekognition", "DetectLabels", code)

    with pytest.raises(RekognitionFailed, match=f"^Rekognition failed: .*{code}, says AWS"):
        metadata(RetryCount=1)


@pytest.mark.parametrize(
    ("operation", "missing"),
    [("DetectLabels", "Labels"), ("DetectFaces", "Faces"), ("DetectModerationLabels", "Moderation")],
)
@pytest.mark.parametrize(
    ("code", "retries", "name"),
    [("ThrottlingException", 199, "RekognitionThrottled"), ("AccessDeniedException", 2, "RekognitionFailed")],
)
def test_the_last_attempt_costs_only_the_answer_that_failed(everything, operation, missing, code, retries, name):
    refuse("rekognition", operation, code)

    described = metadata(RetryCount=retries)

    assert described[f"{missing}Error"]["Name"] == name
    assert f"{code}, says AWS" in described[f"{missing}Error"]["Message"]
    assert [attribute for attribute in described if attribute.endswith("Error")] == [f"{missing}Error"]
    answers = {
        "Labels": described["Labels"],
        "Faces": "Faces" in described,
        "Moderation": "ModerationLabels" in described,
    }
    assert [answered for answered, there in answers.items() if not there] == [missing]


def test_throttling_is_waited_for_although_another_call_has_failed(everything):
    refuse("rekognition", "DetectLabels", "AccessDeniedException")
    refuse("rekognition", "DetectFaces", "ThrottlingException")

    with pytest.raises(RekognitionThrottled):
        metadata(RetryCount=100)


def test_an_answer_that_came_is_not_asked_for_again(everything):
    renditions = {"medium": rendition("medium", 640, 480)}
    end_throttling = refuse("rekognition", "DetectFaces", "ThrottlingException")
    rekognition = Calls("rekognition")

    with pytest.raises(RekognitionThrottled):
        metadata(renditions)
    with pytest.raises(RekognitionThrottled):
        metadata(renditions, RetryCount=1)
    end_throttling()
    described = metadata(renditions, RetryCount=2)

    assert len(rekognition.of("DetectLabels")) == len(rekognition.of("DetectModerationLabels")) == 1
    assert (described["Faces"], described["ModerationLabels"]) == ([FACE], [WEAPONS])
    assert described["Labels"]


def test_what_is_kept_lies_beside_the_renditions_so_that_it_is_removed_with_them(everything):
    refuse("rekognition", "DetectFaces", "ThrottlingException")

    with pytest.raises(RekognitionThrottled):
        metadata({"medium": rendition("medium", 640, 480)})

    kept = aws.client("s3").get_object(Bucket=THUMBNAILS_BUCKET, Key="hash/0A1/answers.json")["Body"].read()
    assert json.loads(kept).keys() == {"Labels", "LabelModelVersion", "ModerationLabels", "ModerationModelVersion"}


def test_nothing_is_kept_where_everything_is_answered_or_refused(everything):
    s3 = Calls("s3")

    metadata()
    for operation in EVERYTHING:
        refuse("rekognition", operation, "ThrottlingException")
    with pytest.raises(RekognitionThrottled):
        metadata()

    assert s3.operations == []


def test_a_redrive_asks_only_for_what_its_record_lacks(everything):
    known = {"Labels": [{"Name": "Cat", "Confidence": 98.7}], "LabelModelVersion": "2.0", "ModerationLabels": []}
    event = sample("metadata")
    rekognition = Calls("rekognition")

    described = metadata(Event=event["Event"] | {"Answers": known})

    assert rekognition.operations == ["DetectFaces"]
    assert described == event["Picture"] | known | {"Faces": [FACE]}


@pytest.mark.parametrize(
    "found", [{"Faces": [FACE]}, {"FacesError": {"Name": "RekognitionFailed", "Message": "AccessDenied"}}]
)
def test_faces_that_a_crop_needed_are_not_asked_for_again(everything, found):
    picture = sample("metadata")["Picture"] | found
    rekognition = Calls("rekognition")

    described = metadata(Picture=picture)

    assert sorted(rekognition.operations) == ["DetectLabels", "DetectModerationLabels"]
    assert described.items() >= found.items()
    assert {"Faces", "FacesError"} & described.keys() == found.keys()


def test_a_redrive_forgets_answers_that_are_switched_off_now(setting):
    known = {"Labels": [], "Faces": [FACE]}

    described = metadata(Event=sample("metadata")["Event"] | {"Answers": known})

    assert "Faces" not in described


def test_a_busy_s3_is_not_blamed_on_rekognition(setting):
    setting("RENDITIONS", "only=400x300:webp")
    renditions = {"only": rendition("only", 400, 300, "WEBP")}
    refuse("s3", "GetObject", "SlowDown", 503)

    with pytest.raises(ServiceUnavailable, match=r"^S3 is unavailable"):
        metadata(renditions)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        *(
            (name, None, "is not set")
            for name in SETTINGS
            if name.startswith(("LABELS", "DETECT", "MODER", "RENDI", "THUMB"))
        ),
        ("DETECT_LABELS", "yes", '"yes" is neither true nor false'),
        ("DETECT_FACES", "on", '"on" is neither true nor false'),
        ("MODERATION", "true", '"true" is none of off, record, quarantine'),
        ("LABELS_MIN_CONFIDENCE", "high", '"high" is not a number'),
        ("LABELS_MIN_CONFIDENCE", "101", "101 is not between 0 and 100"),
        ("LABELS_MAX_COUNT", "0", "0 is not between 1 and 100"),
        ("LABELS_MAX_COUNT", "2.5", '"2.5" is not a whole number'),
        ("RENDITIONS", "small", '"small" is not NAME=WIDTHxHEIGHT'),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting, name, value, problem):
    setting("MODERATION", "record")
    setting(name, value)

    with pytest.raises(ConfigError, match=f"^{name}: {problem}"):
        metadata()


# ------------------------------------------------------------------------------------------------------ what is counted


def test_a_call_that_is_billed_is_counted(capsys):
    metadata()

    [metric] = published(capsys)
    assert metric["RekognitionCalls"] == [1]
    assert "RekognitionThrottles" not in metric


def test_every_refused_attempt_counts_as_a_throttle(capsys, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # botocore's pauses between attempts
    answer = json.dumps({"__type": "ThrottlingException", "message": "slow down"}).encode()
    answers_with(400, answer)

    with pytest.raises(RekognitionThrottled):
        metadata()

    [metric] = published(capsys)
    assert metric["RekognitionThrottles"] == [3]
    assert "RekognitionCalls" not in metric


@pytest.mark.filterwarnings("error::UserWarning")
def test_where_labels_are_switched_off_nothing_is_counted(capsys, setting):
    setting("DETECT_LABELS", "false")

    metadata()

    assert published(capsys) == []


def answers_with(http_status: int, body: bytes) -> None:
    """Have Rekognition answer every request of the network with this."""

    class Raw(io.BytesIO):
        def stream(self, **_):
            yield self.read()

    def answer(**_):
        return AWSResponse("", http_status, {}, Raw(body))

    aws.client("rekognition").meta.events.register_first("before-send.rekognition.DetectLabels", answer)

import io
import os
import threading
from urllib.parse import quote

import pytest
from PIL import Image

from functions.thumbnails import app
from imagepipeline import aws
from imagepipeline.errors import (
    ConfigError,
    DamagedImage,
    RekognitionFailed,
    RekognitionThrottled,
    ServiceUnavailable,
    UploadGone,
    UploadReplaced,
)
from tests.functions.deployed import (
    THUMBNAILS_BUCKET,
    UPLOADS_BUCKET,
    invoke,
    keep_versions,
    picture,
    sample,
    upload,
)
from tests.in_memory import Calls, answer, refuse

EXECUTION = sample("thumbnails")["Execution"]


def header(width: int, height: int, format_name: str = "JPEG") -> dict:
    return sample("thumbnails")["Header"] | {"Width": width, "Height": height, "Format": format_name}


def thumbnails(body: bytes, header: dict, key: str = "uploads/photo.jpg", **upload_attributes: str) -> dict:
    return invoke(app, {"Event": upload(body, key, **upload_attributes), "Execution": EXECUTION, "Header": header})


def stored(rendition: dict) -> dict:
    return aws.client("s3").get_object(Bucket=THUMBNAILS_BUCKET, Key=rendition["Key"])


def opened(rendition: dict) -> Image.Image:
    return Image.open(io.BytesIO(stored(rendition)["Body"].read()))


def all_stored() -> list[str]:
    answer = aws.client("s3").list_objects_v2(Bucket=THUMBNAILS_BUCKET)
    return [found["Key"] for found in answer.get("Contents", [])]


# ------------------------------------------------------------------------------------------------------- what comes out


def test_every_rendition_is_stored_as_it_is_described():
    renditions = thumbnails(picture(2000, 1000), header(2000, 1000))["Renditions"]

    assert {name: (r["Width"], r["Height"]) for name, r in renditions.items()} == {
        "small": (100, 50),
        "medium": (640, 320),
        "large": (1280, 640),
    }
    for rendition in renditions.values():
        assert opened(rendition).size == (rendition["Width"], rendition["Height"])
        assert opened(rendition).format == rendition["Format"]
        assert stored(rendition)["ContentLength"] == rendition["Bytes"]


def test_a_small_picture_is_not_enlarged():
    renditions = thumbnails(picture(300, 200), header(300, 200))["Renditions"]

    assert (renditions["large"]["Width"], renditions["large"]["Height"]) == (300, 200)


def test_a_photo_taken_sideways_comes_out_upright():
    photo = Image.open(io.BytesIO(picture(400, 300)))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what is left now belongs at the top
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=exif)

    answer = thumbnails(file.getvalue(), header(400, 300))

    small = opened(answer["Renditions"]["small"]).convert("RGB")
    top, bottom = small.getpixel((37, 10)), small.getpixel((37, 90))
    assert small.size == (75, 100)
    assert top[0] > 200 > 50 > top[2]
    assert bottom[2] > 200 > 50 > bottom[0]
    assert (answer["Picture"]["Width"], answer["Picture"]["Height"]) == (300, 400)


@pytest.mark.parametrize(
    ("format_name", "content_type", "extension"),
    [
        ("jpeg", "image/jpeg", ".jpg"),
        ("png", "image/png", ".png"),
        ("webp", "image/webp", ".webp"),
        ("avif", "image/avif", ".avif"),
    ],
)
def test_a_browser_is_told_what_a_rendition_is_and_to_keep_it(setting, format_name, content_type, extension):
    setting("RENDITIONS", f"card=64x64:{format_name}")

    card = thumbnails(picture(100, 100), header(100, 100))["Renditions"]["card"]

    assert stored(card)["ContentType"] == content_type
    assert stored(card)["CacheControl"] == "public, max-age=31536000, immutable"
    assert card["Key"].endswith(f"/card{extension}")


# -------------------------------------------------------------------------------------------------------- what it costs


def test_the_original_is_downloaded_once_and_each_rendition_written_once():
    event = {"Event": upload(picture(1000, 800, noise=True)), "Execution": EXECUTION, "Header": header(1000, 800)}
    s3 = Calls("s3")

    invoke(app, event)

    assert s3.operations == ["GetObject", "PutObject", "PutObject", "PutObject"]
    assert "Range" not in s3.of("GetObject")[0]
    assert s3.of("GetObject")[0]["IfMatch"] == f'"{event["Event"]["detail"]["object"]["etag"]}"'
    assert s3.bytes_received == event["Event"]["detail"]["object"]["size"]


def test_renditions_are_written_at_the_same_time(monkeypatch):
    met, threads = threading.Barrier(3, timeout=10), threading.active_count()
    write = app.objects.write_rendition

    def write_with_the_others(*arguments):
        met.wait()
        write(*arguments)

    monkeypatch.setattr(app.objects, "write_rendition", write_with_the_others)

    assert len(thumbnails(picture(50, 40), header(50, 40))["Renditions"]) == 3
    assert threading.active_count() == threads  # the next image's worker process is forked from this one


# ----------------------------------------------------------------------------------------------------------------- keys


def test_no_two_uploads_share_a_rendition(setting):
    setting("RENDITIONS", "small=20x20:jpeg large=40x40:webp")
    keys = [
        "uploads/a/x.jpg",
        "uploads/b/x.jpg",
        "uploads/x.jpg",
        "uploads/x.png",
        "uploads/X.jpg",
        "uploads/x.jpg ",
        "uploads/x+y.jpg",
        "uploads/x y.jpg",
        "uploads/x%20y.jpg",
        "uploads/x%2By.jpg",
        "uploads/100%.jpg",
        "uploads/🐈.jpg",
        "uploads/u\u0308.jpg",
        "uploads/\u00fc.jpg",
        "uploads/../x.jpg",
        "uploads//x.jpg",
        "uploads/" + "🐈" * 254,
        "uploads/" + "x" * 1015 + "y",
        "uploads/" + "x" * 1016,
    ]

    for key in keys:
        thumbnails(picture(50, 40), header(50, 40), key)

    assert len(all_stored()) == 2 * len(keys)


def test_a_key_of_1024_bytes_gives_short_keys_that_need_no_escaping_in_a_url():
    longest = "uploads/" + "🐈" * 254

    renditions = thumbnails(picture(50, 40), header(50, 40), longest)["Renditions"]

    assert len(longest.encode()) == 1024
    assert all(quote(rendition["Key"]) == rendition["Key"] for rendition in renditions.values())
    assert all(len(rendition["Key"]) < 128 for rendition in renditions.values())


def test_a_replacement_leaves_the_renditions_of_its_predecessor_alone():
    before = thumbnails(picture(50, 40), header(50, 40), sequencer="00A1")["Renditions"]["small"]

    after = thumbnails(picture(40, 50), header(40, 50), sequencer="00A2")["Renditions"]["small"]

    assert opened(before).size == (50, 40)
    assert opened(after).size == (40, 50)


def test_a_retry_writes_the_same_objects_again():
    first = thumbnails(picture(50, 40), header(50, 40))

    second = thumbnails(picture(50, 40), header(50, 40))

    assert second == first
    assert len(all_stored()) == 3


# ---------------------------------------------------------------------------------------------------- what can go wrong


def test_a_photo_that_is_cut_off_is_rejected_and_leaves_nothing_behind():
    photo = picture(400, 300, noise=True)

    with pytest.raises(DamagedImage, match=r"^the JPEG is damaged: "):
        thumbnails(photo[: len(photo) // 2], header(400, 300))

    assert all_stored() == []


def test_noise_in_the_place_of_pixels_is_rejected():
    body = picture(40, 30, "PNG")
    start = body.index(b"IDAT") + 4

    with pytest.raises(DamagedImage):
        thumbnails(body[:start] + os.urandom(len(body) - start), header(40, 30, "PNG"))


def test_an_upload_that_was_replaced_after_validation_is_not_taken_for_the_old_one():
    event = {"Event": upload(picture(40, 30)), "Execution": EXECUTION, "Header": header(40, 30)}
    upload(picture(30, 40))

    with pytest.raises(UploadReplaced):
        invoke(app, event)

    assert all_stored() == []


def test_with_versions_the_same_bytes_uploaded_again_are_another_upload():
    keep_versions()
    event = {"Event": upload(picture(40, 30)), "Execution": EXECUTION, "Header": header(40, 30)}
    upload(picture(40, 30))

    with pytest.raises(UploadReplaced):
        invoke(app, event)

    assert all_stored() == []


def test_an_upload_that_was_deleted_after_validation_is_gone():
    event = {"Event": upload(picture(40, 30)), "Execution": EXECUTION, "Header": header(40, 30)}
    aws.client("s3").delete_object(Bucket=UPLOADS_BUCKET, Key="uploads/photo.jpg")

    with pytest.raises(UploadGone):
        invoke(app, event)


@pytest.mark.parametrize("operation", ["GetObject", "PutObject"])
def test_an_s3_that_is_busy_is_worth_another_try(operation):
    event = {"Event": upload(picture(40, 30)), "Execution": EXECUTION, "Header": header(40, 30)}
    refuse("s3", operation, "SlowDown", 503)

    with pytest.raises(ServiceUnavailable, match=r"^S3 is unavailable: .*SlowDown"):
        invoke(app, event)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "RENDITIONS: is not set"),
        ("small", 'RENDITIONS: "small" is not NAME=WIDTHxHEIGHT'),
        ("small=100x100 large=0x9", 'RENDITIONS: "0" in "large=0x9" is not a side'),
        ("small=100x100:jpg", 'RENDITIONS: "jpg" in "small=100x100:jpg" is not one of'),
    ],
)
def test_renditions_that_make_no_sense_are_named_before_anything_is_written(setting, value, problem):
    setting("RENDITIONS", value)

    with pytest.raises(ConfigError, match=f"^{problem}"):
        thumbnails(picture(40, 30), header(40, 30))

    assert all_stored() == []


def test_a_missing_bucket_is_named(setting):
    setting("THUMBNAILS_BUCKET", None)

    with pytest.raises(ConfigError, match=r"^THUMBNAILS_BUCKET: is not set$"):
        thumbnails(picture(40, 30), header(40, 30))


# -------------------------------------------------------------------------------------------------- crops around faces

FACE = {"BoundingBox": {"Left": 0.0, "Top": 0.2, "Width": 0.1, "Height": 0.3}, "Confidence": 99.9, "Landmarks": []}


@pytest.fixture
def face_crop(setting):
    """A square that keeps faces, of pictures with a face at the left: red at the left, and blue at the right."""
    setting("RENDITIONS", "card=100x100:cover:face whole=400x400")
    answer("rekognition", "DetectFaces", {"FaceDetails": [FACE]})


def face_thumbnails(event_attributes: dict | None = None, **payload: object) -> dict:
    event = upload(picture(400, 100)) | (event_attributes or {})
    return invoke(app, {"Event": event, "Execution": EXECUTION, "Header": header(400, 100), **payload})


def is_at_the_left(rendition: dict) -> bool:
    """Whether the crop is all red; the middle of the picture is red and blue."""
    right = opened(rendition).convert("RGB").getpixel((95, 50))
    return right[0] > 200 > 50 > right[2]


@pytest.mark.parametrize("detect", ["true", "false"])
def test_a_crop_keeps_the_face_and_the_record_has_it_if_it_should(face_crop, setting, detect):
    setting("DETECT_FACES", detect)
    rekognition = Calls("rekognition")

    answered = face_thumbnails()

    [asked] = rekognition.of("DetectFaces")
    assert Image.open(io.BytesIO(asked["Image"]["Bytes"])).size == (400, 100)
    assert is_at_the_left(answered["Renditions"]["card"])
    assert ("Faces" in answered["Picture"]) == (detect == "true")


def test_a_picture_without_faces_is_cropped_from_the_centre(face_crop):
    refuse("rekognition", "DetectFaces", "AccessDeniedException")

    with pytest.raises(RekognitionFailed):
        face_thumbnails()
    answered = face_thumbnails(RetryCount=2)

    assert not is_at_the_left(answered["Renditions"]["card"])
    assert answered["Picture"]["FacesError"]["Name"] == "RekognitionFailed"


def test_throttling_is_waited_for_before_a_crop(face_crop):
    refuse("rekognition", "DetectFaces", "ThrottlingException")

    with pytest.raises(RekognitionThrottled):
        face_thumbnails(RetryCount=198)
    assert all_stored() == []
    assert face_thumbnails(RetryCount=199)["Picture"]["FacesError"]["Name"] == "RekognitionThrottled"


def test_a_redrive_crops_around_faces_that_the_record_has(face_crop):
    rekognition = Calls("rekognition")

    answered = face_thumbnails({"Answers": {"Faces": [FACE]}})

    assert rekognition.operations == []
    assert is_at_the_left(answered["Renditions"]["card"])


def test_a_picture_too_small_for_rekognition_is_cropped_from_the_centre(face_crop):
    rekognition = Calls("rekognition")

    event = {"Event": upload(picture(400, 79)), "Execution": EXECUTION, "Header": header(400, 79)}
    answered = invoke(app, event)

    assert rekognition.operations == []
    assert "FacesError" not in answered["Picture"]

"""What an uploader and a reader of the deployed pipeline see."""

import io

import pytest
from PIL import Image

from tests.integration.conftest import PHOTOS

pytestmark = pytest.mark.xdist_group("deployed")

ODD_NAMES = [
    "uploads/a name with spaces.jpg",
    "uploads/a+b.jpg",
    "uploads/100%25 and 100%.jpg",
    "uploads/Grüße 😀.jpg",
    "uploads/deep/er/than/most.jpg",
    "uploads/quote'\"&<>#;=@.jpg",
    "uploads/" + "n" * 1012 + ".jpg",
]


def as_png(data: bytes) -> bytes:
    png = io.BytesIO()
    Image.open(io.BytesIO(data)).save(png, "PNG")
    return png.getvalue()


def test_a_photo_becomes_renditions_a_record_a_mail_and_a_status(deployed):
    record = deployed.process("uploads/trip/cat.png", (PHOTOS / "cat.png").read_bytes())

    assert record["Status"] == "COMPLETED"
    assert (record["Format"], record["Width"], record["Height"]) == ("PNG", 451, 300)
    assert "Cat" in [label["Name"] for label in record["Labels"]]
    assert {name: picture.size for name, picture in deployed.renditions(record).items()} == {
        "small": (100, 67),
        "medium": (451, 300),
        "large": (451, 300),
    }

    [mail] = deployed.mails("uploads/trip/cat.png")
    assert mail.subject == "Image pipeline: an image is ready"
    assert mail.attributes == {"processing_status": "SUCCESS", "imageId": "uploads/trip/cat.png"}
    assert "uploads/trip/cat.png" in mail.body
    assert "451 x 300 PNG" in mail.body
    assert "Cat" in mail.body

    [event] = deployed.events("uploads/trip/cat.png")
    assert (event["Outcome"], event["ThumbnailsBucket"]) == ("COMPLETED", deployed.outputs["ThumbnailsBucket"])
    assert event["Record"] == {name: value for name, value in record.items() if name != "ExecutionArn"}

    status, body = deployed.status_of("uploads/trip/cat.png")
    assert status == 200
    assert body.items() <= record.items()
    assert all(isinstance(body[name], int) for name in ("Width", "Height", "Bytes"))
    steps = ("ValidateImage", "CreateThumbnails", "ExtractMetadata", "StoreResult")
    assert record["Attempts"] == dict.fromkeys(steps, 1)


def test_a_photo_taken_sideways_is_stored_upright_and_without_metadata(deployed):
    record = deployed.process("uploads/sideways.jpg", (PHOTOS / "rocket-sideways.jpg").read_bytes())

    pictures = deployed.renditions(record)
    assert Image.open(PHOTOS / "rocket-sideways.jpg").size == (427, 640)
    assert (record["Width"], record["Height"], record["Orientation"]) == (640, 427, 6)
    assert pictures["small"].size == (100, 67)
    assert not pictures["large"].getexif()


def test_a_photo_costs_six_state_transitions(deployed, photo):
    record = deployed.process("uploads/transitions.jpg", photo)

    assert len(deployed.history(record["ExecutionArn"])) == 6


@pytest.mark.parametrize("key", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_any_name_that_s3_takes_comes_through_unharmed(deployed, photo, key):
    record = deployed.process(key, photo)

    assert record["Status"] == "COMPLETED"
    assert deployed.rendition_keys() >= {rendition["Key"] for rendition in record["Renditions"].values()}
    [mail] = deployed.mails(key)
    assert mail.attributes["processing_status"] == "SUCCESS"
    assert deployed.status_of(key)[1]["ImageKey"] == key


def test_names_that_differ_little_never_share_renditions(deployed, photo):
    records = [deployed.process(key, photo) for key in ("uploads/a/x.jpg", "uploads/b/x.jpg", "uploads/x.jpg")]
    records.append(deployed.process("uploads/x.png", as_png(photo)))

    keys = [rendition["Key"] for record in records for rendition in record["Renditions"].values()]
    assert len(set(keys)) == 4 * 3
    assert deployed.rendition_keys() >= set(keys)


def test_a_document_called_png_is_rejected_and_told_with_its_reason(deployed):
    record = deployed.process("uploads/invoice.png", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"0" * 5000)

    assert record["Status"] == "REJECTED"
    assert record["Error"]["Name"] == "UnsupportedFormat"
    assert "PDF" in record["Error"]["Message"]
    assert "Renditions" not in record

    [mail] = deployed.mails("uploads/invoice.png")
    assert mail.attributes == {"processing_status": "FAILURE", "imageId": "uploads/invoice.png"}
    assert mail.subject == "Image pipeline: an image was not processed"
    assert "uploads/invoice.png" in mail.body
    assert record["Error"]["Message"] in mail.body

    [event] = deployed.events("uploads/invoice.png")
    assert event["Outcome"] == "REJECTED"
    assert event["Record"] == {n: value for n, value in record.items() if n not in ("ExecutionArn", "AnnouncedAt")}

    status, body = deployed.status_of("uploads/invoice.png")
    assert (status, body["Status"], body["Error"]) == (200, "REJECTED", record["Error"])


def test_a_rejection_is_no_failed_execution(deployed):
    record = deployed.process("uploads/empty.jpg", b"")

    assert record["Error"]["Name"] == "EmptyFile"
    [execution] = deployed.settled("uploads/empty.jpg")
    assert execution["status"] == "SUCCEEDED"


def test_a_photo_that_is_cut_off_is_rejected_not_tolerated(deployed, photo):
    record = deployed.process("uploads/cut.jpg", photo[: len(photo) // 2])

    assert (record["Status"], record["Error"]["Name"]) == ("REJECTED", "DamagedImage")
    assert record["FailedStep"] == "CreateThumbnails"


def test_our_own_failure_is_recorded_told_and_ends_the_execution_as_failed(deployed, photo):
    with deployed.function_setting("ThumbnailsFunction", RENDITIONS="small=100"):
        record = deployed.process("uploads/unlucky.jpg", photo)

    assert record["Status"] == "FAILED"
    assert record["Error"] == {"Name": "ConfigError", "Message": record["Error"]["Message"]}
    assert "RENDITIONS" in record["Error"]["Message"]
    [mail] = deployed.mails("uploads/unlucky.jpg")
    assert mail.attributes["processing_status"] == "FAILURE"
    assert "ConfigError, in CreateThumbnails" in mail.body
    assert deployed.status_of("uploads/unlucky.jpg")[1]["Status"] == "FAILED"
    [execution] = deployed.eventually(
        lambda: [e for e in deployed.executions_of("uploads/unlucky.jpg") if e["status"] != "RUNNING"]
    )
    assert (execution["status"], execution["error"]) == ("FAILED", "ConfigError")
    [event] = deployed.events("uploads/unlucky.jpg")
    assert (event["Outcome"], event["Record"]["Error"]) == ("FAILED", record["Error"])


def test_a_folder_marker_leaves_no_record_and_no_notification(deployed):
    deployed.put("uploads/holidays/", b"")

    deployed.eventually(lambda: deployed.executions_of("uploads/holidays/"))
    deployed.settled("uploads/holidays/")
    assert deployed.record("uploads/holidays/") is None
    assert deployed.mails("uploads/holidays/") == []


def test_an_object_outside_uploads_is_nobodys_business(deployed, photo):
    deployed.put("elsewhere/photo.jpg", photo)
    deployed.process("uploads/after.jpg", photo)

    assert deployed.executions_of("elsewhere/photo.jpg") == []
    assert deployed.record("elsewhere/photo.jpg") is None


def test_an_unknown_image_is_not_found(deployed):
    assert deployed.status_of("uploads/never-seen.jpg") == (
        404,
        {"message": "Image details not found for the given image identifier."},
    )


@pytest.mark.parametrize(
    "path", ["images/uploads/cat.png", "images/uploads//status", "images/private/cat.png/status", "images/x/status"]
)
def test_nonsense_is_answered_with_what_would_be_right(deployed, path):
    status, body = deployed.status(path)

    assert status == 400
    assert "/images/uploads/" in body["message"]


def test_a_record_in_process_says_so(deployed, photo):
    deployed.put("uploads/slow.jpg", photo)

    seen = deployed.eventually(lambda: (answer := deployed.status_of("uploads/slow.jpg"))[0] == 200 and answer[1])
    assert seen["Status"] in ("PROCESSING", "COMPLETED")
    deployed.eventually(lambda: deployed.status_of("uploads/slow.jpg")[1]["Status"] == "COMPLETED")

"""What an uploader and a reader of the deployed pipeline see."""

import pytest
from PIL import Image

from tests.integration.conftest import PHOTOS

pytestmark = pytest.mark.xdist_group("deployed")


def test_a_photo_has_renditions_a_record_a_notification_and_a_status(deployed, key):
    record = deployed.process(key, (PHOTOS / "cat.png").read_bytes())

    assert record["Status"] == "COMPLETED"
    assert (record["Format"], record["Width"], record["Height"]) == ("PNG", 451, 300)
    assert "Cat" in [label["Name"] for label in record["Labels"]]
    assert record["Faces"] == record["ModerationLabels"] == []
    assert {name: picture.size for name, picture in deployed.renditions(record).items()} == {
        "small": (100, 67),
        "medium": (451, 300),
        "large": (451, 300),
    }

    [mail] = deployed.mails(key)
    assert mail.subject == "Image pipeline: an image is ready"
    assert mail.attributes == {"processing_status": "SUCCESS", "imageId": key}
    assert key in mail.body
    assert "451 x 300 PNG" in mail.body
    assert "Cat" in mail.body

    [event] = deployed.events(key)
    assert (event["Outcome"], event["ThumbnailsBucket"]) == ("COMPLETED", deployed.outputs["ThumbnailsBucket"])
    assert event["Record"] == {name: value for name, value in record.items() if name != "ExecutionArn"}

    status, body = deployed.status_of(key)
    assert status == 200
    assert body.items() <= record.items()
    assert all(isinstance(body[name], int) for name in ("Width", "Height", "Bytes"))
    steps = ("ValidateImage", "CreateThumbnails", "ExtractMetadata", "StoreResult")
    assert record["Attempts"] == dict.fromkeys(steps, 1)
    assert [execution["status"] for execution in deployed.settled(key)] == ["SUCCEEDED"]


def test_a_sideways_photo_has_upright_renditions_without_metadata(deployed):
    record = deployed.process("uploads/sideways.jpg", (PHOTOS / "rocket-sideways.jpg").read_bytes())

    pictures = deployed.renditions(record)
    assert Image.open(PHOTOS / "rocket-sideways.jpg").size == (427, 640)
    assert (record["Width"], record["Height"], record["Orientation"]) == (640, 427, 6)
    assert pictures["small"].size == (100, 67)
    assert not pictures["large"].getexif()


def test_a_document_is_rejected_with_its_reason(deployed, key):
    record = deployed.process(key, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"0" * 5000)

    assert record["Status"] == "REJECTED"
    assert record["Error"]["Name"] == "UnsupportedFormat"
    assert "PDF" in record["Error"]["Message"]
    assert "Renditions" not in record
    assert [execution["status"] for execution in deployed.settled(key)] == ["SUCCEEDED"]

    [mail] = deployed.mails(key)
    assert mail.attributes == {"processing_status": "FAILURE", "imageId": key}
    assert mail.subject == "Image pipeline: an image was not processed"
    assert key in mail.body
    assert record["Error"]["Message"] in mail.body

    [event] = deployed.events(key)
    assert event["Outcome"] == "REJECTED"
    assert event["Record"] == {n: value for n, value in record.items() if n not in ("ExecutionArn", "AnnouncedAt")}

    status, body = deployed.status_of(key)
    assert (status, body["Status"], body["Error"]) == (200, "REJECTED", record["Error"])


def test_a_truncated_photo_is_rejected(deployed, photo):
    record = deployed.process("uploads/cut.jpg", photo[: len(photo) // 2])

    assert (record["Status"], record["Error"]["Name"]) == ("REJECTED", "DamagedImage")
    assert record["FailedStep"] == "CreateThumbnails"


def test_a_failure_of_the_pipeline_is_recorded_and_announced(deployed, photo):
    with deployed.function_setting("ThumbnailsFunction", RENDITIONS="small=100"):
        record = deployed.process("uploads/unlucky.jpg", photo)

    assert record["Status"] == "FAILED"
    assert record["Error"] == {"Name": "ConfigError", "Message": record["Error"]["Message"]}
    assert "RENDITIONS" in record["Error"]["Message"]
    [mail] = deployed.mails("uploads/unlucky.jpg")
    assert mail.attributes["processing_status"] == "FAILURE"
    assert "ConfigError, in CreateThumbnails" in mail.body
    assert deployed.status_of("uploads/unlucky.jpg")[1]["Status"] == "FAILED"
    execution, *_ = deployed.settled("uploads/unlucky.jpg")
    assert (execution["status"], execution["error"]) == ("FAILED", "ConfigError")
    [event] = deployed.events("uploads/unlucky.jpg")
    assert (event["Outcome"], event["Record"]["Error"]) == ("FAILED", record["Error"])

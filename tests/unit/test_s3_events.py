"""Events that stand in for S3's, in the structure that its guide documents."""

from datetime import datetime

from imagepipeline.s3_events import object_created, object_deleted

NOON_IN_BERLIN = datetime.fromisoformat("2026-06-01T12:00:00.987+02:00")
ABOUT = {"sequencer": "0A", "time": NOON_IN_BERLIN, "reason": "Redrive"}


def test_an_upload_event_describes_the_version():
    event = object_created("photos", "uploads/a+b.jpg", size=12, etag="e1", version_id="3sL4kq", **ABOUT)

    assert event == {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-06-01T10:00:00Z",
        "detail": {
            "bucket": {"name": "photos"},
            "object": {
                "key": "uploads/a+b.jpg",
                "size": 12,
                "etag": "e1",
                "version-id": "3sL4kq",
                "sequencer": "0A",
            },
            "reason": "Redrive",
        },
    }


def test_without_versions_the_version_id_is_left_out():
    event = object_created("photos", "uploads/a.jpg", size=12, etag="e1", version_id="null", **ABOUT)

    assert "version-id" not in event["detail"]["object"]


def test_a_deletion_event_names_the_key_and_nothing_else():
    event = object_deleted("photos", "uploads/a.jpg", **ABOUT)

    assert event["detail-type"] == "Object Deleted"
    assert event["detail"]["object"] == {"key": "uploads/a.jpg", "sequencer": "0A"}

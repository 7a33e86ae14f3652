from datetime import UTC, datetime, timedelta

import pytest

from functions.resolve_current_version import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, ServiceUnavailable
from imagepipeline.items import to_item
from imagepipeline.keys import comparable, just_after
from imagepipeline.models import Upload
from tests.functions.deployed import (
    IMAGES_TABLE,
    UPLOADS_BUCKET,
    invoke,
    keep_versions,
    picture,
    sample,
    upload,
)
from tests.in_memory import Calls, refuse

KEY = sample("resolve_current_version")["Event"]["detail"]["object"]["key"]


def deletion(at: datetime) -> dict:
    event = sample("resolve_current_version")
    event["Event"]["time"] = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return event


def object_of(event: dict) -> dict:
    return event["detail"]["object"]


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def in_an_hour() -> datetime:
    """A time that no object is newer than, however slow this test."""
    return datetime.now(UTC) + timedelta(hours=1)


def record(uploaded: dict) -> None:
    upload = Upload.from_event(uploaded)
    item = {"ImageKey": upload.key, "VersionId": upload.version_id, "Sequencer": upload.sequencer}
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(item))


def delete(**which: str) -> None:
    aws.client("s3").delete_object(Bucket=UPLOADS_BUCKET, Key=KEY, **which)


def test_where_nothing_is_left_the_record_goes():
    record(upload(picture(40, 30), KEY))
    delete()

    assert invoke(app, sample("resolve_current_version")) == {"Action": "REMOVE"}


def test_what_was_uploaded_since_has_an_event_of_its_own():
    upload(picture(40, 30), KEY)

    assert invoke(app, deletion(an_hour_ago())) == {"Action": "KEEP"}


def test_an_object_without_versions_was_uploaded_since_whatever_the_clocks_say():
    upload(picture(40, 30), KEY)

    assert invoke(app, deletion(in_an_hour())) == {"Action": "KEEP"}


def test_with_versions_too_what_was_uploaded_since_has_an_event_of_its_own():
    keep_versions()
    upload(picture(40, 30), KEY)

    assert invoke(app, deletion(an_hour_ago())) == {"Action": "KEEP"}


def test_with_versions_a_delete_marker_leaves_nothing():
    keep_versions()
    record(upload(picture(40, 30), KEY))
    delete()

    assert invoke(app, deletion(in_an_hour())) == {"Action": "REMOVE"}


def test_with_versions_an_upload_above_the_delete_marker_has_an_event_of_its_own_whatever_the_clocks_say():
    keep_versions()
    record(upload(picture(40, 30), KEY))
    marker = aws.client("s3").delete_object(Bucket=UPLOADS_BUCKET, Key=KEY)["VersionId"]
    upload(picture(30, 40), KEY)
    event = deletion(in_an_hour())
    object_of(event["Event"])["version-id"] = marker

    assert invoke(app, event) == {"Action": "KEEP"}


def test_with_versions_the_version_that_a_deletion_uncovered_is_processed_as_if_uploaded_then():
    keep_versions()
    older = upload(picture(40, 30), KEY)
    newer = upload(picture(30, 40), KEY)
    record(newer)
    delete(VersionId=object_of(newer)["version-id"])
    event = deletion(in_an_hour())

    answer = invoke(app, event)

    assert answer["Action"] == "PROCESS"
    created = answer["Event"]
    assert created["detail"]["bucket"] == {"name": UPLOADS_BUCKET}
    assert created["detail"]["object"] == {
        "key": KEY,
        "size": object_of(older)["size"],
        "etag": object_of(older)["etag"],
        "version-id": object_of(older)["version-id"],
        "sequencer": just_after(comparable(object_of(event["Event"])["sequencer"])),
    }
    assert created["time"] == event["Event"]["time"]


def test_the_object_from_before_there_were_versions_is_processed_when_a_deletion_uncovers_it():
    upload(picture(40, 30), KEY)
    keep_versions()
    newer = upload(picture(30, 40), KEY)
    record(newer)
    delete(VersionId=object_of(newer)["version-id"])
    event = deletion(in_an_hour())
    object_of(event["Event"])["version-id"] = object_of(newer)["version-id"]

    answer = invoke(app, event)

    assert answer["Action"] == "PROCESS"
    assert "version-id" not in answer["Event"]["detail"]["object"]


def test_with_versions_the_deletion_of_an_old_version_changes_nothing():
    keep_versions()
    older = upload(picture(40, 30), KEY)
    newer = upload(picture(30, 40), KEY)
    record(newer)
    delete(VersionId=object_of(older)["version-id"])

    assert invoke(app, deletion(in_an_hour())) == {"Action": "KEEP"}


@pytest.mark.parametrize("versioned", [False, True])
def test_a_folder_marker_counts_as_no_object(versioned: bool):
    if versioned:
        keep_versions()
    marker = upload(b"", "uploads/2026/")

    assert invoke(app, {"Event": marker}) == {"Action": "REMOVE"}


def test_nothing_is_downloaded():
    upload(picture(40, 30), KEY)
    s3 = Calls("s3")

    invoke(app, sample("resolve_current_version"))

    assert s3.operations == ["ListObjectVersions"]


@pytest.mark.parametrize(("service", "operation"), [("s3", "ListObjectVersions"), ("dynamodb", "GetItem")])
def test_a_busy_service_is_worth_another_try(service, operation):
    refuse(service, operation, "ThrottlingException" if service == "dynamodb" else "503", 503)

    with pytest.raises(ServiceUnavailable):
        invoke(app, sample("resolve_current_version"))


def test_a_missing_setting_is_named(setting):
    setting("IMAGES_TABLE", None)

    with pytest.raises(ConfigError, match=r"^IMAGES_TABLE: is not set$"):
        invoke(app, sample("resolve_current_version"))

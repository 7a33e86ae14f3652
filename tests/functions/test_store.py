import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from functions.store import app
from imagepipeline import aws, records
from imagepipeline.errors import ConfigError, RenditionsNotRemoved, ServiceUnavailable, Superseded
from imagepipeline.items import to_item
from imagepipeline.keys import comparable, rendition_key
from imagepipeline.models import Execution, Upload
from tests.event_schema import require_valid
from tests.functions.deployed import IMAGES_TABLE, THUMBNAILS_BUCKET, invoke, published, sample
from tests.in_memory import refuse

EVENT = sample("store")
UPLOAD, EXECUTION = Upload.from_event(EVENT["Event"]), Execution.from_state(EVENT["Execution"])
KEY = UPLOAD.key
NAMED = [rendition["Key"] for rendition in EVENT["Renditions"].values()]
OLDER, NEWER = "00691FBA00", "00691FBAFF"  # sequencers around the sample's
OTHER_EXECUTION = EXECUTION.arn + "0"

BEGUN = {
    "ImageKey": KEY,
    "Sequencer": UPLOAD.sequencer,
    "VersionId": UPLOAD.version_id,
    "ETag": UPLOAD.etag,
    "Bytes": UPLOAD.size,
    "ReceivedAt": UPLOAD.received_at,
    "StartedAt": EXECUTION.started_at,
    "ExecutionArn": EXECUTION.arn,
}

# Whoever is overtaken counts nothing, and Powertools must not be surprised by that in the log.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")


def begin(**attributes: object) -> None:
    """Write what the state machine wrote at the beginning, or another execution since."""
    begun = BEGUN | {"Status": "PROCESSING"}
    item = to_item(begun | attributes)
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=item)


def put_renditions(*keys: str) -> None:
    for key in keys:
        aws.client("s3").put_object(Bucket=THUMBNAILS_BUCKET, Key=key, Body=b"jpeg")


def stored_renditions() -> list[str]:
    answer = aws.client("s3").list_objects_v2(Bucket=THUMBNAILS_BUCKET)
    return [found["Key"] for found in answer.get("Contents", [])]


def record() -> dict | None:
    return records.find(IMAGES_TABLE, KEY)


# ----------------------------------------------------------------------------------------------------------- the record


def test_the_record_tells_everything_that_the_steps_found_out():
    begin()

    invoke(app, EVENT)

    stored = record()
    completed_at = stored.pop("CompletedAt")
    expected = BEGUN | EVENT["Metadata"] | {"Status": "COMPLETED"}
    expected |= {name: EVENT[name] for name in ("Renditions", "Attempts")}
    assert stored == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", completed_at)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(completed_at)) < timedelta(minutes=5)


def test_numbers_come_back_as_the_numbers_they_were():
    begin()
    event = EVENT | {"Metadata": EVENT["Metadata"] | {"Exif": {"FNumber": 1.8, "ExposureTime": 0.000125, "Iso": 50}}}

    invoke(app, event)

    assert record()["Exif"] == {"FNumber": 1.8, "ExposureTime": 0.000125, "Iso": 50}
    assert isinstance(record()["Exif"]["Iso"], int)


def test_a_retry_of_the_same_write_is_harmless():
    begin()
    put_renditions(*NAMED)
    first = invoke(app, EVENT)

    second = invoke(app, EVENT)

    assert (second["Message"], second["PrintableKey"]) == (first["Message"], EVENT["Event"]["detail"]["object"]["key"])
    assert json.loads(second["Event"])["Record"]["CompletedAt"] == record()["CompletedAt"]
    assert record()["Status"] == "COMPLETED"
    assert stored_renditions() == sorted(NAMED)


# ------------------------------------------------------------------------------------------------------------ overtaken


@pytest.mark.parametrize(
    "newest",
    [
        {"Sequencer": comparable(NEWER), "ExecutionArn": OTHER_EXECUTION},
        {"Sequencer": comparable(NEWER), "ExecutionArn": OTHER_EXECUTION, "Status": "COMPLETED"},
        {"ExecutionArn": OTHER_EXECUTION},
    ],
    ids=["a-newer-upload", "a-newer-upload-that-is-done", "another-execution-for-the-same-upload"],
)
def test_who_was_overtaken_writes_nothing_and_announces_nothing(newest):
    begin(**newest)
    before = record()

    with pytest.raises(Superseded):
        invoke(app, EVENT)

    assert record() == before


def test_a_late_result_does_not_overwrite_an_announced_failure():
    begin(Status="FAILED", Error={"Name": "States.Timeout", "Message": "the task timed out"})
    put_renditions(*NAMED)
    before = record()

    with pytest.raises(Superseded):
        invoke(app, EVENT)

    assert record() == before


def test_a_deleted_upload_does_not_come_back():
    with pytest.raises(Superseded):
        invoke(app, EVENT)

    assert record() is None


def test_who_was_overtaken_removes_no_rendition_of_the_one_that_was_faster():
    newer = rendition_key(KEY, comparable(NEWER), OTHER_EXECUTION, "small", "JPEG")
    begin(Sequencer=comparable(NEWER), ExecutionArn=OTHER_EXECUTION, Status="COMPLETED")
    put_renditions(newer)

    with pytest.raises(Superseded):
        invoke(app, EVENT)

    assert newer in stored_renditions()


@pytest.mark.parametrize("listing_fails", [False, True])
def test_who_is_overtaken_while_renditions_are_removed_announces_nothing(listing_fails):
    def overtake(**_: object) -> None:
        begin(Sequencer=comparable(NEWER), ExecutionArn=OTHER_EXECUTION)
        if listing_fails:
            refuse("s3", "ListObjectsV2", "SlowDown", 503)

    begin()
    aws.client("s3").meta.events.register("provide-client-params.s3.ListObjectsV2", overtake)

    with pytest.raises(Superseded):
        invoke(app, EVENT)


# ----------------------------------------------------------------------------------------------------------- quarantine

FLAGGED = {"ModerationLabels": [{"Name": "Weapons", "ParentName": "Violence", "Confidence": 93.1, "TaxonomyLevel": 2}]}
TOO_SMALL = {"Name": "TooSmallForModeration", "Message": "the largest rendition is 60x60"}
FAILED_TO_EXAMINE = {"Name": "RekognitionThrottled", "Message": "Rekognition is throttling: slow down"}


def described(**moderation: object) -> dict:
    return EVENT | {"Metadata": EVENT["Metadata"] | moderation}


@pytest.mark.parametrize(
    ("moderation", "name"),
    [
        (FLAGGED, "Flagged"),
        ({"ModerationError": FAILED_TO_EXAMINE}, "RekognitionThrottled"),
        ({"ModerationLabels": [], "ModerationError": FAILED_TO_EXAMINE}, "RekognitionThrottled"),
        ({"ModerationSkipped": TOO_SMALL}, "TooSmallForModeration"),
        ({"ModerationLabels": [], "ModerationSkipped": TOO_SMALL}, "TooSmallForModeration"),
        ({}, "NotExamined"),
    ],
    ids=[
        "flagged",
        "failed",
        "an answer and an error",
        "too small",
        "an answer, too small",
        "neither an answer nor a reason",
    ],
)
def test_an_image_that_may_not_be_shown_is_held(setting, moderation, name):
    setting("MODERATION", "quarantine")
    begin()
    put_renditions(*NAMED)

    answer = invoke(app, described(**moderation))

    assert answer["Status"] == record()["Status"] == json.loads(answer["Event"])["Outcome"] == "HELD"
    assert record()["HeldBecause"]["Name"] == name
    assert "Renditions" not in json.loads(answer["Event"])["Record"]
    assert stored_renditions() == sorted(NAMED)  # for the moderator


def test_an_image_in_which_nothing_was_found_is_completed(setting):
    setting("MODERATION", "quarantine")
    begin()

    assert invoke(app, described(ModerationLabels=[]))["Status"] == record()["Status"] == "COMPLETED"


@pytest.mark.parametrize("mode", ["off", "record"])
def test_nothing_is_held_unless_that_is_asked_for(setting, mode):
    setting("MODERATION", mode)
    begin()

    assert invoke(app, described(**FLAGGED))["Status"] == "COMPLETED"


def test_the_renditions_of_a_former_upload_go_when_its_replacement_is_held(setting):
    setting("MODERATION", "quarantine")
    begin()
    put_renditions(rendition_key(KEY, comparable(OLDER), OTHER_EXECUTION, "small", "JPEG"), *NAMED)

    invoke(app, described(**FLAGGED))

    assert stored_renditions() == sorted(NAMED)


def test_a_released_image_is_completed_with_the_decision(setting):
    setting("MODERATION", "quarantine")
    begin(Status="HELD")
    event = described(**FLAGGED)

    answer = invoke(app, event | {"Event": event["Event"] | {"Decision": {"Action": "RELEASE"}}})

    assert answer["Status"] == "COMPLETED"
    assert (record()["Status"], record()["Decision"]) == ("COMPLETED", {"Action": "RELEASE"})


def test_no_other_decision_completes_a_flagged_image(setting):
    setting("MODERATION", "quarantine")
    begin()
    event = described(**FLAGGED)

    assert invoke(app, event | {"Event": event["Event"] | {"Decision": {"Action": "REJECT"}}})["Status"] == "HELD"


def test_a_held_image_s_message_says_why_and_what_to_do(setting):
    setting("MODERATION", "quarantine")
    begin()

    assert invoke(app, described(**FLAGGED))["Message"] == (
        "An image is held for review.\n"
        "\n"
        "  Image       uploads/rocket-sideways.jpg\n"
        "  Picture     640 x 427 JPEG, 50.5 kB\n"
        "  Reason      Weapons 93 %\n"
        "  Decide      image-pipeline release, or image-pipeline reject, with the key\n"
        "  Status      https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
        "/images/uploads/rocket-sideways.jpg/status\n"
    )


def test_a_held_image_is_not_counted_as_completed(setting, capsys):
    setting("MODERATION", "quarantine")
    begin()

    invoke(app, described(**FLAGGED))

    [metric] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    assert metric["ImagesHeld"] == [1]
    assert "ImagesCompleted" not in metric


# ----------------------------------------------------------------------------------------- renditions of former uploads


def test_the_renditions_of_former_uploads_go_and_all_others_stay():
    former = rendition_key(KEY, comparable(OLDER), OTHER_EXECUTION, "small", "JPEG")
    of_another_image = rendition_key("uploads/another.jpg", comparable(OLDER), OTHER_EXECUTION, "small", "JPEG")
    begin()
    put_renditions(former, of_another_image, *NAMED)

    invoke(app, EVENT)

    assert stored_renditions() == sorted([of_another_image, *NAMED])


def test_former_renditions_stay_until_the_new_record_stands():
    former = rendition_key(KEY, comparable(OLDER), OTHER_EXECUTION, "small", "JPEG")
    begin()
    put_renditions(former)
    refuse("dynamodb", "PutItem", "ProvisionedThroughputExceededException")

    with pytest.raises(ServiceUnavailable):
        invoke(app, EVENT)

    assert stored_renditions() == [former]


@pytest.mark.parametrize("operation", ["ListObjectsV2", "DeleteObjects"])
def test_renditions_that_can_t_be_removed_are_told_of_while_the_record_stands(operation):
    begin()
    put_renditions(rendition_key(KEY, comparable(OLDER), OTHER_EXECUTION, "small", "JPEG"))
    refuse("s3", operation, "SlowDown", 503)

    with pytest.raises(
        RenditionsNotRemoved, match=r"^outdated renditions were not removed: S3 is unavailable: .*SlowDown"
    ):
        invoke(app, EVENT)

    assert record()["Status"] == "COMPLETED"


# --------------------------------------------------------------------------------------------------------- what is told


def test_the_message_is_one_a_person_is_glad_to_read():
    begin()
    event = json.loads(json.dumps(EVENT))
    event["Metadata"] |= {
        "Exif": {"Camera": "Example One", "TakenAt": "2026-08-14T18:02:11+02:00"},
        "Labels": [{"Name": "Rocket", "Confidence": 98.7}, {"Name": "Night", "Confidence": 88.4}],
    }

    message = invoke(app, event)["Message"]

    assert message == (
        "An image is ready.\n"
        "\n"
        "  Image       uploads/rocket-sideways.jpg\n"
        "  Picture     640 x 427 JPEG, 50.5 kB\n"
        "  Taken       2026-08-14T18:02:11+02:00\n"
        "  Camera      Example One\n"
        "  Renditions  small 100 x 67, medium 640 x 427, large 640 x 427\n"
        "  Labels      Rocket 99 %, Night 88 %\n"
        "  Status      https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
        "/images/uploads/rocket-sideways.jpg/status\n"
    )


def test_the_event_holds_what_a_program_needs_and_no_internals():
    begin()

    event = json.loads(invoke(app, EVENT)["Event"])

    require_valid(event)
    assert event["Record"] == {name: value for name, value in record().items() if name != "ExecutionArn"}
    assert (event["UploadsBucket"], event["ThumbnailsBucket"]) == (UPLOAD.bucket, THUMBNAILS_BUCKET)


def test_no_character_of_a_key_makes_sns_refuse_the_event():
    event = json.loads(json.dumps(EVENT))
    event["Event"]["detail"]["object"]["key"] = key = "uploads/\ufffe\x7f\x01🐈.jpg"
    begin(ImageKey=key)

    document = invoke(app, event)["Event"]

    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document)["Record"]["ImageKey"] == key


# ------------------------------------------------------------------------------------------------------ what is counted


def test_a_completed_image_is_counted_once_with_its_bytes_and_latency(capsys):
    begin()

    invoke(app, EVENT)

    [metric] = published(capsys)
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "ImagePipeline"
    assert metric["ImagesCompleted"] == [1]
    assert metric["BytesProcessed"] == [UPLOAD.size]
    taken = datetime.fromisoformat(record()["CompletedAt"]) - datetime.fromisoformat(UPLOAD.received_at)
    assert metric["Latency"] == [taken.total_seconds()]


def test_an_image_that_somebody_asked_for_again_says_nothing_of_latency(capsys):
    begin()
    event = json.loads(json.dumps(EVENT))
    event["Event"]["detail"]["reason"] = "Redrive"

    invoke(app, event)

    [metric] = published(capsys)
    assert metric["ImagesCompleted"] == [1]
    assert "Latency" not in metric


def test_an_image_whose_former_renditions_stay_is_counted_by_the_next_attempt(capsys):
    begin()
    put_renditions(rendition_key(KEY, comparable(OLDER), OTHER_EXECUTION, "small", "JPEG"))
    refuse("s3", "DeleteObjects", "SlowDown", 503)

    with pytest.raises(RenditionsNotRemoved):
        invoke(app, EVENT)

    assert published(capsys) == []


# ---------------------------------------------------------------------------------------------------- what can go wrong


def test_a_busy_table_is_worth_another_try():
    begin()
    refuse("dynamodb", "PutItem", "ThrottlingException")

    with pytest.raises(ServiceUnavailable, match=r"^DynamoDB is unavailable: .*ThrottlingException"):
        invoke(app, EVENT)


@pytest.mark.parametrize("name", ["IMAGES_TABLE", "THUMBNAILS_BUCKET", "STATUS_API"])
def test_a_missing_setting_is_named(setting, name):
    begin()
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, EVENT)

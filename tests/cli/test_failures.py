"""What is listed as a failure, and where it is found."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli import failures
from cli.failures import UndeliveredEvents, in_housekeeping, in_image_pipeline, in_stack, in_table, of_record
from cli.stack import Stack
from imagepipeline import keys
from imagepipeline.executions import ended_early
from tests.cli.stand_in import RENDITIONS, StateMachinesStandIn, write
from tests.cli.test_redrive import refused

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WHY = {"Name": "ConfigError", "Message": "RENDITIONS: wrong"}


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()


def kind(**attributes: object) -> str | None:
    record = {"ImageKey": "uploads/a.jpg", "StartedAt": ago(days=1), "CompletedAt": ago(days=1), **attributes}
    failure = of_record(record, NOW)
    return failure and failure.kind


def s3_event(detail_type: str, key: str, sequencer: str = "0B") -> dict:
    return {"detail-type": detail_type, "detail": {"object": {"key": key, "sequencer": sequencer}}}


def send(stack: Stack, body: str, **attributes: str) -> None:
    stack.sqs.send_message(
        QueueUrl=stack.outputs["UndeliveredEventsQueue"],
        MessageBody=body,
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


# ------------------------------------------------------------------------------------------------------------- records


def test_a_completed_image_is_no_failure() -> None:
    assert kind(Status="COMPLETED") is None


def test_a_failed_image_is_listed_announced_or_not() -> None:
    assert kind(Status="FAILED", Error=WHY, AnnouncedAt=ago(days=1)) == "FAILED"
    assert kind(Status="FAILED", Error=WHY) == "FAILED"


def test_processing_for_longer_than_usual_may_be_stuck() -> None:
    assert kind(Status="PROCESSING", StartedAt=ago(minutes=1)) is None
    assert kind(Status="PROCESSING", StartedAt=ago(minutes=30)) == "STUCK"


@pytest.mark.parametrize("record", [{"Status": "REJECTED"}, {"Status": "COMPLETED", "NotificationError": WHY}])
def test_a_missing_notification_counts_after_its_retries(record: dict) -> None:
    assert kind(**record, Error=WHY, CompletedAt=ago(minutes=1)) != "UNANNOUNCED"
    assert kind(**record, Error=WHY, CompletedAt=ago(minutes=30)) == "UNANNOUNCED"
    assert kind(**record, Error=WHY, CompletedAt=ago(minutes=30), AnnouncedAt=ago(minutes=29)) != "UNANNOUNCED"


def test_the_error_of_sns_explains_a_missing_notification() -> None:
    record = {"ImageKey": "uploads/a.jpg", "Status": "COMPLETED", "CompletedAt": ago(days=1), "NotificationError": WHY}

    assert of_record(record, NOW).error == WHY


def test_failed_labels_are_listed_and_skipped_labels_are_not() -> None:
    assert kind(Status="COMPLETED", AnnouncedAt=ago(days=1), LabelsError=WHY) == "UNLABELLED"
    assert kind(Status="COMPLETED", AnnouncedAt=ago(days=1), LabelsSkipped=WHY) is None


@pytest.mark.parametrize("attribute", ["FacesError", "ModerationError"])
def test_an_image_without_another_answer_of_rekognition_is_listed(stack: Stack, attribute: str) -> None:
    times = {"StartedAt": ago(days=1), "CompletedAt": ago(days=1), "AnnouncedAt": ago(days=1)}
    write(stack, "uploads/plain.jpg", **{attribute: WHY}, **times)

    [failure] = in_table(stack, NOW)

    assert (failure.kind, failure.error) == ("INCOMPLETE", WHY)


def test_a_held_image_waits_for_a_moderator_unless_it_can_be_examined_again() -> None:
    record = {"ImageKey": "uploads/a.jpg", "Status": "HELD", "HeldBecause": WHY, "CompletedAt": ago(days=1)}

    failure = of_record(record, NOW)

    assert (failure.kind, failure.error, failure.advice) == ("HELD", WHY, "release or reject it")
    assert kind(Status="HELD", HeldBecause=WHY, LabelsError=WHY) == "HELD"
    assert kind(Status="HELD", HeldBecause=WHY, ModerationError=WHY) == "INCOMPLETE"
    assert kind(Status="HELD", HeldBecause=WHY, NotificationError=WHY) == "UNANNOUNCED"


def test_an_image_that_a_moderator_rejected_lacks_nothing() -> None:
    assert kind(Status="REJECTED", Error=WHY, AnnouncedAt=ago(days=1), ModerationError=WHY) == "REJECTED"


def test_failures_are_found_among_the_good_and_rejections_are_optional(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    machines.answers["uploads/busy.jpg"] = machines.answers["uploads/stuck.jpg"] = None
    busy = machines.start("ImagePipeline", s3_event("Object Created", "uploads/busy.jpg"))
    over = machines.start("ImagePipeline", s3_event("Object Created", "uploads/stuck.jpg"))
    machines.end(over, "ABORTED")
    times = {"StartedAt": ago(days=1), "CompletedAt": ago(days=1), "AnnouncedAt": ago(days=1)}
    for number in range(10):
        write(stack, f"uploads/good{number}.jpg", **times)
    write(stack, "uploads/failed.jpg", Status="FAILED", Error=WHY, FailedStep="CreateThumbnails", **times)
    write(stack, "uploads/bad.jpg", Status="REJECTED", Error=WHY, **times)
    write(stack, "uploads/plain.jpg", LabelsError=WHY, **times)
    write(stack, "uploads/nude.jpg", Status="HELD", HeldBecause=WHY, **times)
    write(stack, "uploads/stuck.jpg", Status="PROCESSING", StartedAt=ago(hours=1), ExecutionArn=over)
    write(stack, "uploads/busy.jpg", Status="PROCESSING", StartedAt=ago(hours=1), ExecutionArn=busy)
    write(stack, "uploads/fresh.jpg", Status="PROCESSING", StartedAt=ago(minutes=1), ExecutionArn=over)

    read: list[int] = []
    found = {failure.key: failure.kind for failure in in_table(stack, NOW, on_progress=read.append)}
    with_rejected = {failure.key: failure.kind for failure in in_table(stack, NOW, rejected=True)}

    assert found == {
        "uploads/failed.jpg": "FAILED",
        "uploads/nude.jpg": "HELD",
        "uploads/plain.jpg": "UNLABELLED",
        "uploads/stuck.jpg": "STUCK",
    }
    assert with_rejected == found | {"uploads/bad.jpg": "REJECTED"}
    assert sum(read) == 6  # and none of the good ones


# --------------------------------------------------------------------------------------------------------------- queue


def test_reading_the_queue_removes_nothing_from_it(stack: Stack) -> None:
    for number in range(25):
        send(stack, json.dumps(s3_event("Object Created", f"uploads/{number}.jpg")), ERROR_MESSAGE="gone")

    with UndeliveredEvents(stack) as first:
        hidden = stack.sqs.receive_message(QueueUrl=stack.outputs["UndeliveredEventsQueue"])
    with UndeliveredEvents(stack) as second:
        pass

    assert "Messages" not in hidden
    assert len(first.failures) == len(second.failures) == 25
    assert {failure.key for failure in first.failures} == {f"uploads/{number}.jpg" for number in range(25)}


def test_a_message_says_why_it_was_not_delivered(stack: Stack) -> None:
    body = json.dumps(s3_event("Object Deleted", "uploads/a.jpg"))
    send(stack, body, ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="not authorized")

    with UndeliveredEvents(stack) as undelivered:
        [failure] = undelivered.failures

    assert failure.error == {"Name": "NO_PERMISSIONS", "Message": "Object Deleted: not authorized"}
    assert failure.event.machine == "Housekeeping"


def test_a_message_that_is_not_an_event_is_listed(stack: Stack) -> None:
    send(stack, "hello")

    with UndeliveredEvents(stack) as undelivered:
        [failure] = undelivered.failures

    assert (failure.key, failure.error["Name"]) == ("", "NotAnEvent")
    assert failure.advice == "inspect it in the queue, and delete it there"


# ------------------------------------------------------------------------------------------------------- image pipeline


LATER = datetime.now(UTC) + timedelta(minutes=30)


@pytest.fixture
def ended(machines: StateMachinesStandIn):
    """Starts an execution, of Housekeeping if not said otherwise, that ends early."""

    def end(event: dict, status: str = "FAILED", machine: str = "Housekeeping") -> str:
        key = event["detail"].get("object", {}).get("key", "uploads/a.jpg")
        machines.answers[key] = None
        arn = machines.start(machine, event)
        machines.end(arn, status)
        return arn

    return end


def image_pipeline(stack: Stack, now: datetime = LATER, **options: object) -> list[tuple[str, str, str]]:
    found = in_image_pipeline(stack, now, **options)
    return [(failure.key, failure.kind, failure.error["Name"]) for failure in found]


@pytest.mark.parametrize("status", ["FAILED", "ABORTED"])  # moto gives those that timed out no stopDate
def test_a_completed_image_whose_execution_ended_early_is_unannounced(stack: Stack, ended, status: str) -> None:
    execution = ended(s3_event("Object Created", "uploads/a.jpg"), status, "ImagePipeline")
    write(stack, "uploads/a.jpg", ExecutionArn=execution)

    assert image_pipeline(stack) == [("uploads/a.jpg", "UNANNOUNCED", f"Execution.{status}")]
    assert image_pipeline(stack, datetime.now(UTC)) == []
    assert image_pipeline(stack, explained={execution}) == []
    write(stack, "uploads/a.jpg", ExecutionArn=execution, Status="HELD")
    assert image_pipeline(stack) == [("uploads/a.jpg", "UNANNOUNCED", f"Execution.{status}")]


@pytest.mark.parametrize("record", [{"ExecutionArn": "arn:recovery"}, {"AnnouncedAt": ago(days=1)}])
def test_an_execution_that_was_recovered_is_not_listed(stack: Stack, ended, record: dict) -> None:
    execution = ended(s3_event("Object Created", "uploads/a.jpg"), "ABORTED", "ImagePipeline")
    write(stack, "uploads/a.jpg", **{"ExecutionArn": execution} | record)

    assert image_pipeline(stack) == []


def test_an_upload_without_a_record_is_stuck_while_it_exists(stack: Stack, ended) -> None:
    ended(s3_event("Object Created", "uploads/a.jpg"), "ABORTED", "ImagePipeline")
    without_object = image_pipeline(stack)
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"photo")

    assert without_object == []
    assert image_pipeline(stack) == [("uploads/a.jpg", "STUCK", "Execution.ABORTED")]


def test_an_upload_that_s3_describes_to_nobody_does_not_end_the_list(stack: Stack, ended) -> None:
    ended(s3_event("Object Created", "uploads/a.jpg"), "ABORTED", "ImagePipeline")

    with refused(stack.s3, "HeadObject", "400"):  # as about an object whose key only its uploader has
        assert image_pipeline(stack) == [("uploads/a.jpg", "STUCK", "Execution.ABORTED")]


def test_a_failed_image_is_listed_once(stack: Stack, ended) -> None:
    execution = ended(s3_event("Object Created", "uploads/a.jpg"), "FAILED", "ImagePipeline")
    write(stack, "uploads/a.jpg", Status="FAILED", Error=WHY, CompletedAt=ago(days=1), ExecutionArn=execution)

    assert [(failure.key, failure.kind) for failure in in_stack(stack, LATER)] == [("uploads/a.jpg", "FAILED")]


# -------------------------------------------------------------------------------------------------------- housekeeping


def housekeeping(stack: Stack) -> list[tuple[str, str]]:
    return [(failure.key, failure.kind) for failure in in_housekeeping(stack, datetime.now(UTC))]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_record_without_its_object_was_not_removed(stack: Stack, ended, status: str) -> None:
    write(stack, "uploads/a.jpg")
    ended(s3_event("Object Deleted", "uploads/a.jpg"), status)
    ended(s3_event("Object Deleted", "uploads/a.jpg"), status)

    assert housekeeping(stack) == [("uploads/a.jpg", "NOT_REMOVED")]


def test_a_deletion_that_succeeded_later_is_not_listed(stack: Stack, ended) -> None:
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_a_deletion_followed_by_a_new_upload_is_not_listed(stack: Stack, ended) -> None:
    write(stack, "uploads/a.jpg")
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"new")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_renditions_that_no_record_names_are_listed(stack: Stack, ended) -> None:
    left = keys.rendition_key("uploads/a.jpg", keys.comparable("0A"), "execution", "small", "JPEG")
    stack.s3.put_object(Bucket=stack.outputs["ThumbnailsBucket"], Key=left, Body=b"small")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == [("uploads/a.jpg", "NOT_REMOVED")]


def test_renditions_that_the_record_names_are_not_listed(stack: Stack, ended) -> None:
    named = RENDITIONS["small"] | {"Key": keys.renditions_prefix("uploads/a.jpg") + "A/small.jpg"}
    write(stack, "uploads/a.jpg", Renditions={"small": named})
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"new")
    stack.s3.put_object(Bucket=stack.outputs["ThumbnailsBucket"], Key=named["Key"], Body=b"small")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_an_image_that_is_being_processed_keeps_its_renditions(stack: Stack, ended) -> None:
    written = keys.rendition_key("uploads/a.jpg", keys.comparable("0A"), "execution", "small", "JPEG")
    stack.s3.put_object(Bucket=stack.outputs["ThumbnailsBucket"], Key=written, Body=b"small")
    write(stack, "uploads/a.jpg", Status="PROCESSING")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


@pytest.mark.parametrize(("express", "listed"), [(True, [("uploads/a.jpg", "STUCK")]), (False, [])])
def test_an_upload_that_was_handed_over_in_vain_is_stuck_while_it_exists(
    stack: Stack, ended, express: bool, listed: list[tuple[str, str]]
) -> None:
    """A Standard execution that ended early is listed itself."""
    if express:
        stack.outputs["ExecutionsTable"] = "executions"
    ended(ended_early("arn:abandoned", json.dumps(s3_event("Object Created", "uploads/a.jpg"))))
    without_object = housekeeping(stack)
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"photo")

    assert without_object == []
    assert housekeeping(stack) == listed


def test_an_execution_started_by_hand_is_ignored(stack: Stack, machines: StateMachinesStandIn) -> None:
    machines.end(machines.start("Housekeeping", {"hello": "world"}), "FAILED")

    assert housekeeping(stack) == []


def test_executions_older_than_two_weeks_are_ignored(stack: Stack, ended) -> None:
    write(stack, "uploads/a.jpg")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert in_housekeeping(stack, datetime.now(UTC) + failures.LOOK_BACK + timedelta(minutes=1)) == []

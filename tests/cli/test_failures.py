"""What counts as failed, and where it is found."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli import failures
from cli.failures import UndeliveredEvents, in_housekeeping, in_table, of_record
from cli.stack import Stack
from imagepipeline import keys
from tests.cli.stand_in import RENDITIONS, StateMachinesStandIn, write

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


def test_an_image_that_came_through_and_was_told_is_no_failure() -> None:
    assert kind(Status="COMPLETED", AnnouncedAt=ago(days=1)) is None


def test_a_failed_image_is_one_told_or_not() -> None:
    assert kind(Status="FAILED", Error=WHY, AnnouncedAt=ago(days=1)) == "FAILED"
    assert kind(Status="FAILED", Error=WHY) == "FAILED"


def test_an_image_may_be_stuck_when_it_takes_longer_than_most() -> None:
    assert kind(Status="PROCESSING", StartedAt=ago(minutes=1)) is None
    assert kind(Status="PROCESSING", StartedAt=ago(minutes=30)) == "STUCK"


@pytest.mark.parametrize("status", ["COMPLETED", "REJECTED"])
def test_an_end_that_nobody_was_told_of_is_one_after_the_tries_to_tell(status: str) -> None:
    assert kind(Status=status, Error=WHY, CompletedAt=ago(minutes=1)) != "UNANNOUNCED"
    assert kind(Status=status, Error=WHY, CompletedAt=ago(minutes=30)) == "UNANNOUNCED"


def test_what_sns_said_is_the_reason_of_an_untold_end() -> None:
    record = {"ImageKey": "uploads/a.jpg", "Status": "COMPLETED", "CompletedAt": ago(days=1), "NotificationError": WHY}

    assert of_record(record, NOW).error == WHY


def test_missing_labels_are_a_failure_and_unwanted_ones_are_not() -> None:
    assert kind(Status="COMPLETED", AnnouncedAt=ago(days=1), LabelsError=WHY) == "UNLABELLED"
    assert kind(Status="COMPLETED", AnnouncedAt=ago(days=1), LabelsSkipped=WHY) is None


def test_the_table_is_searched_whole_and_rejections_only_when_asked_for(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    machines.answers["uploads/busy.jpg"] = machines.answers["uploads/stuck.jpg"] = None
    busy = machines.start("ImagePipeline", s3_event("Object Created", "uploads/busy.jpg"))
    over = machines.start("ImagePipeline", s3_event("Object Created", "uploads/stuck.jpg"))
    machines.end(over, "ABORTED")
    times = {"StartedAt": ago(days=1), "CompletedAt": ago(days=1), "AnnouncedAt": ago(days=1)}
    for number in range(50):
        write(stack, f"uploads/good{number}.jpg", **times)
    write(stack, "uploads/failed.jpg", Status="FAILED", Error=WHY, FailedStep="CreateThumbnails", **times)
    write(stack, "uploads/bad.jpg", Status="REJECTED", Error=WHY, **times)
    write(stack, "uploads/plain.jpg", LabelsError=WHY, **times)
    write(stack, "uploads/stuck.jpg", Status="PROCESSING", StartedAt=ago(hours=1), ExecutionArn=over)
    write(stack, "uploads/busy.jpg", Status="PROCESSING", StartedAt=ago(hours=1), ExecutionArn=busy)
    write(stack, "uploads/fresh.jpg", Status="PROCESSING", StartedAt=ago(minutes=1), ExecutionArn=over)

    found = {failure.key: failure.kind for failure in in_table(stack, NOW)}
    with_rejected = {failure.key: failure.kind for failure in in_table(stack, NOW, rejected=True)}

    assert found == {"uploads/failed.jpg": "FAILED", "uploads/plain.jpg": "UNLABELLED", "uploads/stuck.jpg": "STUCK"}
    assert with_rejected == found | {"uploads/bad.jpg": "REJECTED"}


# --------------------------------------------------------------------------------------------------------------- queue


def test_looking_at_the_queue_takes_nothing_from_it(stack: Stack) -> None:
    for number in range(25):
        send(stack, json.dumps(s3_event("Object Created", f"uploads/{number}.jpg")), ERROR_MESSAGE="gone")

    with UndeliveredEvents(stack) as first:
        hidden = stack.sqs.receive_message(QueueUrl=stack.outputs["UndeliveredEventsQueue"])
    with UndeliveredEvents(stack) as second:
        pass

    assert "Messages" not in hidden
    assert len(first.failures) == len(second.failures) == 25
    assert {failure.key for failure in first.failures} == {f"uploads/{number}.jpg" for number in range(25)}


def test_a_message_tells_why_it_was_not_delivered(stack: Stack) -> None:
    body = json.dumps(s3_event("Object Deleted", "uploads/a.jpg"))
    send(stack, body, ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="not authorized")

    with UndeliveredEvents(stack) as undelivered:
        [failure] = undelivered.failures

    assert failure.error == {"Name": "NO_PERMISSIONS", "Message": "Object Deleted: not authorized"}
    assert failure.event.machine == "Housekeeping"


def test_a_message_that_is_no_event_is_told_and_left(stack: Stack) -> None:
    send(stack, "hello")

    with UndeliveredEvents(stack) as undelivered:
        [failure] = undelivered.failures

    assert (failure.key, failure.error["Name"]) == ("", "NotAnEvent")
    assert failure.advice == "read it in the queue, and delete it there"


# -------------------------------------------------------------------------------------------------------- housekeeping


@pytest.fixture
def ended(machines: StateMachinesStandIn):
    """Starts an execution of Housekeeping that fails."""

    def end(event: dict, status: str = "FAILED") -> str:
        key = event["detail"].get("object", {}).get("key", "uploads/a.jpg")
        machines.answers[key] = None
        arn = machines.start("Housekeeping", event)
        machines.end(arn, status)
        return arn

    return end


def housekeeping(stack: Stack) -> list[tuple[str, str]]:
    return [(failure.key, failure.kind) for failure in in_housekeeping(stack, datetime.now(UTC))]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_record_whose_object_is_gone_was_not_removed(stack: Stack, ended, status: str) -> None:
    write(stack, "uploads/a.jpg")
    ended(s3_event("Object Deleted", "uploads/a.jpg"), status)
    ended(s3_event("Object Deleted", "uploads/a.jpg"), status)

    assert housekeeping(stack) == [("uploads/a.jpg", "NOT_REMOVED")]


def test_a_deletion_that_was_followed_later_is_no_failure(stack: Stack, ended) -> None:
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_an_upload_that_came_after_the_deletion_is_no_failure(stack: Stack, ended) -> None:
    write(stack, "uploads/a.jpg")
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"new")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_renditions_that_no_record_names_were_not_removed(stack: Stack, ended) -> None:
    left = keys.rendition_key("uploads/a.jpg", keys.comparable("0A"), "small", "JPEG")
    stack.s3.put_object(Bucket=stack.outputs["ThumbnailsBucket"], Key=left, Body=b"small")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == [("uploads/a.jpg", "NOT_REMOVED")]


def test_renditions_that_the_record_names_are_where_they_belong(stack: Stack, ended) -> None:
    named = RENDITIONS["small"] | {"Key": keys.renditions_prefix("uploads/a.jpg") + "A/small.jpg"}
    write(stack, "uploads/a.jpg", Renditions={"small": named})
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"new")
    stack.s3.put_object(Bucket=stack.outputs["ThumbnailsBucket"], Key=named["Key"], Body=b"small")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert housekeeping(stack) == []


def test_a_record_whose_execution_ended_early_is_stuck_until_it_is_taken_over(stack: Stack, ended) -> None:
    cause = json.dumps(s3_event("Object Created", "uploads/a.jpg"))
    told = {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": "arn:ended", "status": "ABORTED", "input": cause},
    }
    ended(told)

    write(stack, "uploads/a.jpg", Status="PROCESSING", ExecutionArn="arn:ended")
    stuck = housekeeping(stack)
    write(stack, "uploads/a.jpg", Status="PROCESSING", ExecutionArn="arn:newer")
    taken_over = housekeeping(stack)

    assert stuck == [("uploads/a.jpg", "STUCK")]
    assert taken_over == []


def test_what_was_tried_out_by_hand_is_no_failure(stack: Stack, machines: StateMachinesStandIn) -> None:
    machines.end(machines.start("Housekeeping", {"hello": "world"}), "FAILED")

    assert housekeeping(stack) == []


def test_what_failed_long_ago_is_not_searched_for(stack: Stack, ended) -> None:
    write(stack, "uploads/a.jpg")
    ended(s3_event("Object Deleted", "uploads/a.jpg"))

    assert in_housekeeping(stack, datetime.now(UTC) + failures.LOOK_BACK + timedelta(minutes=1)) == []

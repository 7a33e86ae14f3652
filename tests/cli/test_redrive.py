"""Redriving: what is started, what is not, and how the outcome is reported."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from cli import redrive as redrive_module
from cli.failures import FAILED, NOT_REMOVED, Failure, UndeliveredEvents
from cli.following import Result
from cli.redrive import redrive
from cli.stack import Stack
from tests.cli.stand_in import NOW, RENDITIONS, StateMachinesStandIn, wait_until, write

KEY = "uploads/a.jpg"
WHY = {"Name": "ConfigError", "Message": "RENDITIONS: wrong"}
SEQUENCER = "0A".ljust(64, "0")
ONE_MORE = "0A" + "0" * 61 + "1"


def failed(stack: Stack, key: str = KEY, **attributes: object) -> Failure:
    """An upload whose record says FAILED, as `failures` finds it."""
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key=key, Body=b"photo")
    record = {"Status": "FAILED", "Sequencer": SEQUENCER, "Error": WHY, "AnnouncedAt": NOW, "ExecutionArn": "arn:old"}
    write(stack, key, **record | attributes)
    return Failure(key, FAILED, WHY, NOW)


def queued(stack: Stack, sequencer: str, detail_type: str = "Object Created") -> dict:
    """An event in the queue."""
    document = {
        "detail-type": detail_type,
        "time": NOW,
        "detail": {"object": {"key": KEY, "size": 5, "etag": "e", "sequencer": sequencer}},
    }
    stack.sqs.send_message(QueueUrl=stack.outputs["UndeliveredEventsQueue"], MessageBody=json.dumps(document))
    return document


def statuses(results: Iterator[Result]) -> dict[str, str]:
    return {result.key: result.status for result in results}


def messages(stack: Stack) -> int:
    with UndeliveredEvents(stack) as undelivered:
        return len(undelivered.failures)


@contextmanager
def refused(client, operation: str, code: str, http_status: int = 400) -> Iterator[None]:
    """Makes every call of an operation fail."""
    answer = {
        "Error": {"Code": code, "Message": "AWS's own message"},
        "ResponseMetadata": {"HTTPStatusCode": http_status},
    }
    event = f"before-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"

    def refuse(**_: object) -> tuple[AWSResponse, dict]:
        return AWSResponse("", http_status, {}, None), answer

    client.meta.events.register(event, refuse)
    yield
    client.meta.events.unregister(event, refuse)


# ------------------------------------------------------------------------------------------------------ what is started


def test_a_failed_image_is_started_with_its_current_object(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack, ETag="of the past", Bytes=1)

    [result] = redrive(stack, [KEY], [failure], timeout=20)

    assert (result.status, result.record["Renditions"]) == ("COMPLETED", RENDITIONS)
    [event] = machines.started()
    described = event["detail"]["object"]
    head = stack.s3.head_object(Bucket=stack.uploads_bucket, Key=KEY)
    assert described == {"key": KEY, "size": 5, "etag": head["ETag"].strip('"'), "sequencer": ONE_MORE}
    assert event["detail"]["bucket"] == {"name": stack.uploads_bucket}


def test_the_event_names_the_version_in_a_versioned_bucket(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_bucket_versioning(Bucket=stack.uploads_bucket, VersioningConfiguration={"Status": "Enabled"})
    failure = failed(stack)

    list(redrive(stack, [KEY], [failure], timeout=20))

    version = stack.s3.head_object(Bucket=stack.uploads_bucket, Key=KEY)["VersionId"]
    assert machines.started()[0]["detail"]["object"]["version-id"] == version


LABELLED = {"Status": "COMPLETED", "Labels": [{"Name": "Cat", "Confidence": 98}], "FacesError": WHY}


@pytest.mark.parametrize(
    ("attributes", "sent"),
    [
        (LABELLED, {"Labels": LABELLED["Labels"]}),
        (LABELLED | {"ETag": "of the past"}, None),
        (LABELLED | {"VersionId": "older"}, None),
        ({**LABELLED, "FacesError": None, "Faces": []}, None),
    ],
    ids=["an answer is missing", "another object", "another version", "nothing is missing"],
)
def test_the_answers_of_the_same_object_are_sent_along(
    machines: StateMachinesStandIn, stack: Stack, attributes: dict, sent: dict | None
) -> None:
    same = {"ETag": hashlib.md5(b"photo", usedforsecurity=False).hexdigest(), "VersionId": "null"}
    record = {name: value for name, value in (same | attributes).items() if value is not None}
    failure = failed(stack, **record)

    list(redrive(stack, [KEY], [failure], always=True, timeout=20))

    assert machines.started()[0].get("Answers") == sent


@pytest.mark.parametrize(("replaced", "stands"), [(False, True), (True, False)])
def test_a_release_stands_for_the_object_that_a_moderator_has_seen(
    machines: StateMachinesStandIn, stack: Stack, replaced: bool, stands: bool
) -> None:
    etag = stack.s3.put_object(Bucket=stack.uploads_bucket, Key=KEY, Body=b"photo")["ETag"].strip('"')
    about = {"ETag": "another" if replaced else etag, "VersionId": "null", "Sequencer": SEQUENCER}
    write(stack, KEY, **about, Decision={"Action": "RELEASE"}, AnnouncedAt=NOW)

    list(redrive(stack, [KEY], [], always=True, timeout=20))

    assert ("Decision" in machines.started()[0]) == stands


def test_an_upload_without_a_record_is_started(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key=KEY, Body=b"photo")

    assert statuses(redrive(stack, [KEY], [], always=True, timeout=20)) == {KEY: "COMPLETED"}


def test_two_simultaneous_redrives_report_the_same_outcome(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None
    both: list[Result] = []
    runs = [
        threading.Thread(target=lambda: both.extend(redrive(stack, [KEY], [failure], timeout=20))) for _ in range(2)
    ]
    for run in runs:
        run.start()
    wait_until(lambda: machines.running() == 2)
    machines.answers.clear()
    for run in runs:
        run.join()

    assert [result.status for result in both] == ["COMPLETED", "COMPLETED"]
    assert [event["detail"]["object"]["sequencer"] for event in machines.started()] == [ONE_MORE, ONE_MORE]


def test_a_record_without_an_object_is_removed(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)

    results = statuses(redrive(stack, [KEY], [failure], timeout=20))

    assert results == {KEY: "REMOVED"}
    assert stack.records([KEY]) == {}
    assert machines.started() == []
    [event] = machines.started("Housekeeping")
    assert (event["detail-type"], event["detail"]["object"]["sequencer"]) == ("Object Deleted", ONE_MORE)


def test_nothing_is_removed_if_s3_denies_access_to_the_object(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)

    with refused(stack.s3, "HeadObject", "403", 403), pytest.raises(ClientError, match="403"):
        list(redrive(stack, [KEY], [failure], timeout=20))

    assert machines.started("Housekeeping") == []
    assert KEY in stack.records([KEY])


def test_a_key_without_object_and_record_is_not_found(machines: StateMachinesStandIn, stack: Stack) -> None:
    assert statuses(redrive(stack, [KEY], [], always=True)) == {KEY: "NOT_FOUND"}
    assert machines.started() == machines.started("Housekeeping") == []


def test_an_image_being_processed_is_followed_and_not_started_twice(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    machines.answers[KEY] = None
    failed(stack)
    running = machines.start("ImagePipeline", queued(stack, "0B"))
    write(stack, KEY, Status="PROCESSING", Sequencer="0B", ExecutionArn=running)

    def finish() -> None:
        write(stack, KEY, Sequencer="0B", ExecutionArn=running)
        machines.end(running, "SUCCEEDED")

    threading.Timer(0.1, finish).start()
    results = statuses(redrive(stack, [KEY], [], always=True, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert len(machines.started()) == 1


@pytest.mark.parametrize("execution", ["over", "forgotten"])
def test_an_image_whose_execution_ended_is_started_again(
    machines: StateMachinesStandIn, stack: Stack, execution: str
) -> None:
    failed(stack)
    arn = machines.start("Housekeeping", queued(stack, "01"))
    machines.end(arn, "ABORTED")
    if execution == "forgotten":
        arn = arn[:-1] + "-"
    write(stack, KEY, Status="PROCESSING", Sequencer=SEQUENCER, ExecutionArn=arn)

    assert statuses(redrive(stack, [KEY], [], always=True, timeout=20)) == {KEY: "COMPLETED"}


# --------------------------------------------------------------------------------------------- events from failures


def test_an_undelivered_event_is_started_unchanged_and_then_deleted(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failed(stack)
    document = queued(stack, "0B")

    with UndeliveredEvents(stack) as undelivered:
        results = statuses(redrive(stack, [KEY], undelivered.failures, undelivered, always=True, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert machines.started() == [document]
    assert messages(stack) == 0


def test_an_older_event_does_not_replace_a_redrive(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    document = queued(stack, "09")

    with UndeliveredEvents(stack) as undelivered:
        results = statuses(redrive(stack, [KEY], [failure, *undelivered.failures], undelivered, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert machines.started()[0] == document
    assert machines.started()[1]["detail"]["object"]["sequencer"] == ONE_MORE
    assert messages(stack) == 0


def test_an_undelivered_deletion_starts_housekeeping(machines: StateMachinesStandIn, stack: Stack) -> None:
    failed(stack)
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)
    document = queued(stack, "0B", "Object Deleted")

    with UndeliveredEvents(stack) as undelivered:
        results = statuses(redrive(stack, [KEY], undelivered.failures, undelivered, timeout=20))

    assert results == {KEY: "REMOVED"}
    assert machines.started("Housekeeping") == [document]
    assert messages(stack) == 0


def test_an_event_that_cannot_be_started_stays_in_the_queue(machines: StateMachinesStandIn, stack: Stack) -> None:
    queued(stack, "0B")

    with refused(stack.stepfunctions, "StartExecution", "InvalidName"), UndeliveredEvents(stack) as undelivered:
        [result] = redrive(stack, [KEY], undelivered.failures, undelivered, timeout=20)

    assert (result.status, result.error["Name"]) == ("NOT_STARTED", "InvalidName")
    assert messages(stack) == 1


def test_a_failed_housekeeping_event_is_started_alone(machines: StateMachinesStandIn, stack: Stack) -> None:
    failed(stack, Status="COMPLETED")
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)
    document = queued(stack, "0B", "Object Deleted")
    with UndeliveredEvents(stack) as undelivered:
        event = undelivered.failures[0].event

    results = statuses(redrive(stack, [KEY], [Failure(KEY, NOT_REMOVED, WHY, NOW, event=event)], timeout=20))

    assert results == {KEY: "REMOVED"}
    assert machines.started("Housekeeping") == [document]
    assert machines.started() == []


# ------------------------------------------------------------------------------------------------------- the outcome


def test_an_image_that_fails_again_shows_the_reason(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = {"Status": "FAILED", "Error": WHY}

    [result] = redrive(stack, [KEY], [failure], timeout=20)

    assert (result.status, result.error) == ("FAILED", WHY)


def test_the_record_of_a_newer_upload_shows_the_outcome(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = {"Sequencer": "0C", "Format": "PNG"}

    [result] = redrive(stack, [KEY], [failure], timeout=20)

    assert (result.status, result.record["Format"]) == ("COMPLETED", "PNG")


def test_a_completed_image_is_followed_until_its_execution_succeeds(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None
    results: list[Result] = []
    run = threading.Thread(target=lambda: results.extend(redrive(stack, [KEY], [failure], timeout=20)))
    run.start()
    wait_until(machines.started)
    [execution] = machines.executions("ImagePipeline")
    write(stack, KEY, Sequencer=ONE_MORE, ExecutionArn=execution.execution_arn)
    time.sleep(0.1)
    seen_while_it_ran = list(results)

    machines.end(execution.execution_arn, "SUCCEEDED")
    run.join()

    assert seen_while_it_ran == []
    assert [result.status for result in results] == ["COMPLETED"]


def test_an_image_whose_execution_is_still_running_is_unfinished(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None

    [result] = redrive(stack, [KEY], [failure], timeout=0.1)

    assert result.status == "UNFINISHED"
    assert result.error["Message"] == "not finished after 0.1 s: its execution is still running"


def test_a_rejection_without_a_notification_is_unfinished(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None

    def reject(**_: object) -> None:
        write(stack, KEY, Status="REJECTED", Sequencer=ONE_MORE, ExecutionArn="arn:new")

    stack.stepfunctions.meta.events.register("after-call.sfn.StartExecution", reject)

    [result] = redrive(stack, [KEY], [failure], timeout=0.1)

    assert result.status == "UNFINISHED"
    assert "is REJECTED, and no notification was recorded" in result.error["Message"]


def test_an_execution_without_effect_is_reported_before_the_timeout(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None

    def end() -> None:
        wait_until(machines.started)
        machines.end(machines.executions("ImagePipeline")[0].execution_arn, "SUCCEEDED")

    threading.Thread(target=end).start()
    [result] = redrive(stack, [KEY], [failure], timeout=60)

    assert result.status == "UNFINISHED"
    assert "left the record as it was" in result.error["Message"]


def test_an_execution_that_could_not_begin_is_followed_to_the_next_one(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None

    def resume() -> None:
        wait_until(machines.started)
        machines.end(machines.executions("ImagePipeline")[0].execution_arn, "FAILED")
        time.sleep(0.1)
        write(stack, KEY, Sequencer=ONE_MORE, AnnouncedAt="now")

    threading.Thread(target=resume).start()
    [result] = redrive(stack, [KEY], [failure], timeout=60)

    assert result.status == "COMPLETED"


def test_only_a_few_of_many_images_run_at_a_time(
    machines: StateMachinesStandIn, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_module, "IN_FLIGHT", 3)
    found = [failed(stack, f"uploads/{number}.jpg") for number in range(9)]
    most = []
    stack.stepfunctions.meta.events.register(
        "before-call.sfn.StartExecution", lambda **_: most.append(machines.running())
    )

    results = statuses(redrive(stack, [failure.key for failure in found], found, timeout=60))

    assert results == {failure.key: "COMPLETED" for failure in found}
    assert max(most) < 3


def test_after_a_stop_nothing_more_is_started(
    machines: StateMachinesStandIn, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_module, "IN_FLIGHT", 2)
    found = [failed(stack, f"uploads/{number}.jpg") for number in range(5)]
    machines.answers = {failure.key: None for failure in found}
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    results = statuses(redrive(stack, [failure.key for failure in found], found, timeout=60, stop=stop))

    assert results == {"uploads/0.jpg": "UNFINISHED", "uploads/1.jpg": "UNFINISHED"}
    assert len(machines.started()) == 2


def test_started_images_are_reported_before_a_fatal_error(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None
    table = stack.outputs["ImagesTable"]
    threading.Timer(0.1, lambda: stack.dynamodb.delete_table(TableName=table)).start()
    results = []

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        results.extend(redrive(stack, [KEY], [failure], timeout=60))

    assert statuses(results) == {KEY: "UNFINISHED"}

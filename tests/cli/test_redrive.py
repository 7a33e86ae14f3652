"""Running again what failed: what is started, what isn't, and how its end is told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from cli import redrive as redrive_module
from cli.failures import FAILED, NOT_REMOVED, Failure, UndeliveredEvents
from cli.following import Result
from cli.redrive import redrive
from cli.stack import Stack
from tests.cli.stand_in import NOW, RENDITIONS, StateMachinesStandIn, write

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


def ends(results: Iterator[Result]) -> dict[str, str]:
    return {result.key: result.status for result in results}


def messages(stack: Stack) -> int:
    with UndeliveredEvents(stack) as undelivered:
        return len(undelivered.failures)


@contextmanager
def refused(client, operation: str, code: str, http_status: int = 400) -> Iterator[None]:
    """Has every call of an operation answered with an error."""
    answer = {
        "Error": {"Code": code, "Message": "AWS's own words"},
        "ResponseMetadata": {"HTTPStatusCode": http_status},
    }
    event = f"before-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"

    def refuse(**_: object) -> tuple[AWSResponse, dict]:
        return AWSResponse("", http_status, {}, None), answer

    client.meta.events.register(event, refuse)
    yield
    client.meta.events.unregister(event, refuse)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------------------ what is started


def test_a_failed_image_is_started_as_the_object_is_now_just_after_its_record(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack, ETag="of the past", Bytes=1)

    [result] = redrive(stack, [KEY], [failure], timeout=20)

    assert (result.status, result.record["Renditions"]) == ("COMPLETED", RENDITIONS)
    [event] = machines.started()
    described = event["detail"]["object"]
    head = stack.s3.head_object(Bucket=stack.uploads_bucket, Key=KEY)
    assert described == {"key": KEY, "size": 5, "etag": head["ETag"].strip('"'), "sequencer": ONE_MORE}
    assert event["detail"]["bucket"] == {"name": stack.uploads_bucket}


def test_in_a_versioned_bucket_the_version_is_told(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_bucket_versioning(Bucket=stack.uploads_bucket, VersioningConfiguration={"Status": "Enabled"})
    failure = failed(stack)

    list(redrive(stack, [KEY], [failure], timeout=20))

    version = stack.s3.head_object(Bucket=stack.uploads_bucket, Key=KEY)["VersionId"]
    assert machines.started()[0]["detail"]["object"]["version-id"] == version


def test_an_upload_without_a_record_is_started(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key=KEY, Body=b"photo")

    assert ends(redrive(stack, [KEY], [], always=True, timeout=20)) == {KEY: "COMPLETED"}


def test_of_two_redrives_at_once_one_is_superseded_and_both_tell_the_end(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
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


def test_a_record_without_an_object_goes(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)

    results = ends(redrive(stack, [KEY], [failure], timeout=20))

    assert results == {KEY: "REMOVED"}
    assert stack.records([KEY]) == {}
    assert machines.started() == []
    [event] = machines.started("Housekeeping")
    assert (event["detail-type"], event["detail"]["object"]["sequencer"]) == ("Object Deleted", ONE_MORE)


def test_where_s3_does_not_say_whether_there_is_an_object_nothing_goes(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)

    with refused(stack.s3, "HeadObject", "403", 403), pytest.raises(ClientError, match="403"):
        list(redrive(stack, [KEY], [failure], timeout=20))

    assert machines.started("Housekeeping") == []
    assert KEY in stack.records([KEY])


def test_a_key_that_nobody_knows_is_not_found(machines: StateMachinesStandIn, stack: Stack) -> None:
    assert ends(redrive(stack, [KEY], [], always=True)) == {KEY: "NOT_FOUND"}
    assert machines.started() == machines.started("Housekeeping") == []


def test_an_image_that_is_being_processed_is_followed_and_not_started_twice(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    machines.answers[KEY] = None
    failed(stack)
    running = machines.start("ImagePipeline", queued(stack, "0B"))
    write(stack, KEY, Status="PROCESSING", Sequencer="0B", ExecutionArn=running)

    def finish() -> None:
        write(stack, KEY, Sequencer="0B", ExecutionArn=running)
        machines.end(running, "SUCCEEDED")

    threading.Timer(1, finish).start()
    results = ends(redrive(stack, [KEY], [], always=True, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert len(machines.started()) == 1


@pytest.mark.parametrize("execution", ["over", "forgotten"])
def test_an_image_whose_execution_is_no_more_is_started_again(
    machines: StateMachinesStandIn, stack: Stack, execution: str
) -> None:
    failed(stack)
    arn = machines.start("Housekeeping", queued(stack, "01"))
    machines.end(arn, "ABORTED")
    if execution == "forgotten":
        arn = arn[:-1] + "-"
    write(stack, KEY, Status="PROCESSING", Sequencer=SEQUENCER, ExecutionArn=arn)

    assert ends(redrive(stack, [KEY], [], always=True, timeout=20)) == {KEY: "COMPLETED"}


# --------------------------------------------------------------------------------------------------- events as they are


def test_an_event_from_the_queue_is_started_as_it_is_and_then_taken_out(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failed(stack)
    document = queued(stack, "0B")

    with UndeliveredEvents(stack) as undelivered:
        results = ends(redrive(stack, [KEY], undelivered.failures, undelivered, always=True, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert machines.started() == [document]
    assert messages(stack) == 0


def test_an_event_older_than_a_failed_record_does_not_stand_for_its_redrive(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    document = queued(stack, "09")

    with UndeliveredEvents(stack) as undelivered:
        results = ends(redrive(stack, [KEY], [failure, *undelivered.failures], undelivered, timeout=20))

    assert results == {KEY: "COMPLETED"}
    assert machines.started()[0] == document
    assert machines.started()[1]["detail"]["object"]["sequencer"] == ONE_MORE
    assert messages(stack) == 0


def test_a_deletion_from_the_queue_goes_to_housekeeping(machines: StateMachinesStandIn, stack: Stack) -> None:
    failed(stack)
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)
    document = queued(stack, "0B", "Object Deleted")

    with UndeliveredEvents(stack) as undelivered:
        results = ends(redrive(stack, [KEY], undelivered.failures, undelivered, timeout=20))

    assert results == {KEY: "REMOVED"}
    assert machines.started("Housekeeping") == [document]
    assert messages(stack) == 0


def test_an_event_that_can_not_be_started_stays_in_the_queue(machines: StateMachinesStandIn, stack: Stack) -> None:
    queued(stack, "0B")

    with refused(stack.stepfunctions, "StartExecution", "InvalidName"), UndeliveredEvents(stack) as undelivered:
        [result] = redrive(stack, [KEY], undelivered.failures, undelivered, timeout=20)

    assert (result.status, result.error["Name"]) == ("NOT_STARTED", "InvalidName")
    assert messages(stack) == 1


def test_what_housekeeping_could_not_do_is_tried_again_and_no_image_with_it(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failed(stack, Status="COMPLETED")
    stack.s3.delete_object(Bucket=stack.uploads_bucket, Key=KEY)
    document = queued(stack, "0B", "Object Deleted")
    with UndeliveredEvents(stack) as undelivered:
        event = undelivered.failures[0].event

    results = ends(redrive(stack, [KEY], [Failure(KEY, NOT_REMOVED, WHY, NOW, event=event)], timeout=20))

    assert results == {KEY: "REMOVED"}
    assert machines.started("Housekeeping") == [document]
    assert machines.started() == []


# ------------------------------------------------------------------------------------------------------- how it is told


def test_an_image_that_fails_again_says_why(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = {"Status": "FAILED", "Error": WHY}

    [result] = redrive(stack, [KEY], [failure], timeout=20)

    assert (result.status, result.error) == ("FAILED", WHY)


def test_a_newer_upload_that_took_the_key_over_tells_the_end(machines: StateMachinesStandIn, stack: Stack) -> None:
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
    time.sleep(1)
    seen_while_it_ran = list(results)

    machines.end(execution.execution_arn, "SUCCEEDED")
    run.join()

    assert seen_while_it_ran == []
    assert [result.status for result in results] == ["COMPLETED"]


def test_a_rejection_without_a_notification_is_unfinished(machines: StateMachinesStandIn, stack: Stack) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None
    rejected = {"Status": "REJECTED", "Sequencer": ONE_MORE, "ExecutionArn": "arn:new"}
    threading.Timer(1, lambda: write(stack, KEY, **rejected)).start()

    [result] = redrive(stack, [KEY], [failure], timeout=3)

    assert result.status == "UNFINISHED"
    assert "is REJECTED, and no notification was recorded" in result.error["Message"]


def test_what_is_over_and_changed_nothing_is_told_before_the_time_is_up(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None

    def end() -> None:
        wait_until(machines.started)
        machines.end(machines.executions("ImagePipeline")[0].execution_arn, "FAILED")

    threading.Thread(target=end).start()
    [result] = redrive(stack, [KEY], [failure], timeout=60)

    assert result.status == "UNFINISHED"
    assert "left the record as it was" in result.error["Message"]


def test_many_are_run_again_a_few_at_a_time(
    machines: StateMachinesStandIn, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_module, "IN_FLIGHT", 3)
    found = [failed(stack, f"uploads/{number}.jpg") for number in range(20)]
    most = []
    stack.stepfunctions.meta.events.register(
        "before-call.sfn.StartExecution", lambda **_: most.append(machines.running())
    )

    results = ends(redrive(stack, [failure.key for failure in found], found, timeout=60))

    assert results == {failure.key: "COMPLETED" for failure in found}
    assert max(most) < 3


def test_after_a_stop_nothing_more_is_started_and_the_rest_is_named(
    machines: StateMachinesStandIn, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive_module, "IN_FLIGHT", 2)
    found = [failed(stack, f"uploads/{number}.jpg") for number in range(5)]
    machines.answers = {failure.key: None for failure in found}
    stop = threading.Event()
    threading.Timer(1, stop.set).start()

    results = ends(redrive(stack, [failure.key for failure in found], found, timeout=60, stop=stop))

    assert results == {"uploads/0.jpg": "UNFINISHED", "uploads/1.jpg": "UNFINISHED"}
    assert len(machines.started()) == 2


def test_where_nothing_can_be_read_any_more_what_is_under_way_is_named_before_the_error(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    failure = failed(stack)
    machines.answers[KEY] = None
    table = stack.outputs["ImagesTable"]
    threading.Timer(1, lambda: stack.dynamodb.delete_table(TableName=table)).start()
    results = []

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        results.extend(redrive(stack, [KEY], [failure], timeout=60))

    assert ends(results) == {KEY: "UNFINISHED"}

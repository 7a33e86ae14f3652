"""Pausing and resuming: where events of new uploads go, and that none is lost on the way back."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from cli import pausing
from cli.main import main
from cli.stack import Stack
from tests.cli.stand_in import NOW, StateMachinesStandIn
from tests.cli.test_redrive import refused


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto's queues are not made for several; tests/integration/test_pausing.py has them."""
    monkeypatch.setattr(pausing, "_THREADS", 1)


def target(stack: Stack) -> dict:
    [found] = stack.session.client("events").list_targets_by_rule(Rule=stack.outputs["UploadsRule"])["Targets"]
    return found


def send(stack: Stack, *names: str) -> None:
    """Have events wait in the queue."""
    for name in names:
        described = {"key": f"uploads/{name}.jpg", "size": 5, "etag": "e", "sequencer": "0A"}
        document = {
            "detail-type": "Object Created",
            "time": NOW,
            "detail": {"object": described, "reason": "PutObject"},
        }
        stack.sqs.send_message(QueueUrl=stack.outputs["PausedUploadsQueue"], MessageBody=json.dumps(document))


def release(stack: Stack, stop: threading.Event | None = None) -> tuple[int, int]:
    return pausing.release(stack, stop or threading.Event(), lambda started: None, settling=0.01)


@contextmanager
def interrupted() -> Iterator[None]:
    """A run that fails, and whose messages are visible again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pausing, "_HIDDEN_SECONDS", 0)
        with pytest.raises(ClientError):
            yield


def keys_started(stack: Stack) -> list[str]:
    started = StateMachinesStandIn(stack).started()
    return sorted(event["detail"]["object"]["key"] for event in started)


def test_pausing_puts_the_queue_in_the_place_of_the_state_machine(stack: Stack):
    before = target(stack)

    assert pausing.pause(stack)

    assert target(stack)["Id"] == before["Id"]  # replaced in one write, so that no event finds no target
    assert target(stack)["Arn"].startswith("arn:aws:sqs:")
    assert "RoleArn" not in target(stack)


def test_resuming_restores_the_target_exactly(stack: Stack):
    before = target(stack)
    pausing.pause(stack)

    assert pausing.resume(stack)

    assert target(stack) == before


def test_pausing_and_resuming_twice_changes_nothing_more(stack: Stack):
    calls = (pausing.resume, pausing.pause, pausing.pause, pausing.resume, pausing.resume)

    assert [call(stack) for call in calls] == [False, True, False, True, False]


def test_every_upload_that_waited_is_started_once(stack: Stack):
    names = [f"{number:02}" for number in range(25)]
    send(stack, *names)

    assert release(stack) == (25, 0)

    assert keys_started(stack) == [f"uploads/{name}.jpg" for name in names]
    assert pausing.waiting(stack) == 0
    assert release(stack) == (0, 0)


def test_an_event_that_waited_says_so_and_is_otherwise_unchanged(stack: Stack):
    send(stack, "a")

    release(stack)

    [event] = StateMachinesStandIn(stack).started()
    assert event["detail"].pop("reason") == "Paused"
    assert event["detail"]["object"] == {"key": "uploads/a.jpg", "size": 5, "etag": "e", "sequencer": "0A"}
    assert event["time"] == NOW


def test_an_upload_that_cannot_be_started_still_waits(stack: Stack):
    send(stack, "a", "b")

    with refused(stack.stepfunctions, "StartExecution", "AccessDeniedException"), interrupted():
        release(stack)

    assert pausing.waiting(stack) == 2
    assert release(stack) == (2, 0)


def test_whoever_interrupts_starts_no_more_and_loses_nothing(stack: Stack):
    stop = threading.Event()
    stop.set()
    send(stack, "a")

    assert release(stack, stop) == (0, 0)

    assert pausing.waiting(stack) == 1


def test_a_run_that_ended_before_it_deleted_a_message_starts_it_again(stack: Stack):
    send(stack, "a")

    with refused(stack.sqs, "DeleteMessage", "ServiceUnavailable"), interrupted():
        release(stack)
    release(stack)

    assert keys_started(stack)[-2:] == 2 * ["uploads/a.jpg"]


def test_a_message_that_is_no_event_stays_and_is_counted(stack: Stack):
    stack.sqs.send_message(QueueUrl=stack.outputs["PausedUploadsQueue"], MessageBody="hello")

    assert release(stack) == (0, 1)

    assert pausing.waiting(stack) == 1


def test_an_upload_behind_messages_that_are_no_events_is_started(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    send(stack, "a")
    [event] = stack.sqs.receive_message(QueueUrl=stack.outputs["PausedUploadsQueue"])["Messages"]
    foreign = event | {"MessageId": "foreign", "Body": "hello"}
    batches = iter([[foreign], [foreign], [event], []])  # SQS returns what it has hidden for a minute once more
    monkeypatch.setattr(pausing._Drain, "_receive", lambda self: next(batches))

    assert pausing.release(stack, threading.Event(), lambda started: None, settling=0) == (1, 1)


def test_the_command_says_what_waits_and_how_to_go_on(stack: Stack, capsys):
    assert main(["pause", "--stack", "photos", "--json"]) == 0
    send(stack, "a", "b")
    paused = capsys.readouterr()
    assert main(["resume", "--stack", "photos", "--json", "--settling", "0.01"]) == 0
    resumed = capsys.readouterr()

    assert json.loads(paused.out) == {"Paused": True, "Waiting": 0}
    assert "image-pipeline resume" in paused.err
    assert json.loads(resumed.out) == {"Paused": False, "Started": 2, "NotEvents": 0}
    assert "2 that waited were started" in resumed.err


def test_the_command_fails_if_messages_are_left(stack: Stack, capsys):
    stack.sqs.send_message(QueueUrl=stack.outputs["PausedUploadsQueue"], MessageBody="hello")

    assert main(["resume", "--stack", "photos", "--settling", "0.01"]) == 1

    assert "not events of uploads" in capsys.readouterr().err


def test_a_rule_without_its_target_is_named(stack: Stack, capsys: pytest.CaptureFixture[str]):
    rule = stack.outputs["UploadsRule"]
    stack.session.client("events").remove_targets(Rule=rule, Ids=["Pipeline"])

    assert main(["pause", "--stack", "photos"]) == 2

    assert f"the rule {rule} has 0 targets instead of one: correct it, or deploy again" in capsys.readouterr().err

"""Pausing and resuming: where events of new uploads go, and that none is lost on the way back."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from botocore.exceptions import ClientError

from cli import pausing as pausing_module
from cli.main import main
from cli.pausing import Switch
from cli.stack import Stack
from tests.cli.stand_in import NOW, REGION, StateMachinesStandIn
from tests.cli.test_redrive import refused


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto's queues are not made for several; tests/integration/test_pausing.py has them."""
    monkeypatch.setattr(pausing_module, "_THREADS", 1)


@pytest.fixture
def switch(stack: Stack) -> Switch:
    return Switch(stack, boto3.client("events", region_name=REGION))


def target(switch: Switch) -> dict:
    [found] = switch.events.list_targets_by_rule(Rule=switch.stack.outputs["UploadsRule"])["Targets"]
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


def release(switch: Switch, stop: threading.Event | None = None) -> tuple[int, int]:
    return switch.release(stop or threading.Event(), lambda started: None, settling=0.01)


@contextmanager
def interrupted() -> Iterator[None]:
    """A run that fails, and whose messages are visible again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pausing_module, "_HIDDEN_SECONDS", 0)
        with pytest.raises(ClientError):
            yield


def keys_started(stack: Stack) -> list[str]:
    started = StateMachinesStandIn(stack).started()
    return sorted(event["detail"]["object"]["key"] for event in started)


def test_pausing_puts_the_queue_in_the_place_of_the_state_machine(switch: Switch):
    before = target(switch)

    assert switch.pause()

    assert target(switch)["Id"] == before["Id"]  # replaced in one write, so that no event finds no target
    assert target(switch)["Arn"].startswith("arn:aws:sqs:")
    assert "RoleArn" not in target(switch)


def test_resuming_restores_the_target_exactly(switch: Switch):
    before = target(switch)
    switch.pause()

    assert switch.resume()

    assert target(switch) == before


def test_pausing_and_resuming_twice_changes_nothing_more(switch: Switch):
    assert [switch.resume(), switch.pause(), switch.pause(), switch.resume(), switch.resume()] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_every_upload_that_waited_is_started_once(switch: Switch):
    names = [f"{number:02}" for number in range(25)]
    send(switch.stack, *names)

    assert release(switch) == (25, 0)

    assert keys_started(switch.stack) == [f"uploads/{name}.jpg" for name in names]
    assert switch.waiting() == 0
    assert release(switch) == (0, 0)


def test_an_event_that_waited_says_so_and_is_otherwise_unchanged(switch: Switch):
    send(switch.stack, "a")

    release(switch)

    [event] = StateMachinesStandIn(switch.stack).started()
    assert event["detail"].pop("reason") == "Paused"
    assert event["detail"]["object"] == {"key": "uploads/a.jpg", "size": 5, "etag": "e", "sequencer": "0A"}
    assert event["time"] == NOW


def test_an_upload_that_cannot_be_started_still_waits(switch: Switch):
    send(switch.stack, "a", "b")

    with refused(switch.stack.stepfunctions, "StartExecution", "AccessDeniedException"), interrupted():
        release(switch)

    assert switch.waiting() == 2
    assert release(switch) == (2, 0)


def test_whoever_interrupts_starts_no_more_and_loses_nothing(switch: Switch):
    stop = threading.Event()
    stop.set()
    send(switch.stack, "a")

    assert release(switch, stop) == (0, 0)

    assert switch.waiting() == 1


def test_a_run_that_ended_before_it_deleted_a_message_starts_it_again(switch: Switch):
    send(switch.stack, "a")

    with refused(switch.stack.sqs, "DeleteMessage", "ServiceUnavailable"), interrupted():
        release(switch)
    release(switch)

    assert keys_started(switch.stack)[-2:] == 2 * ["uploads/a.jpg"]


def test_a_message_that_is_no_event_stays_and_is_counted(switch: Switch):
    switch.stack.sqs.send_message(QueueUrl=switch.stack.outputs["PausedUploadsQueue"], MessageBody="hello")

    assert release(switch) == (0, 1)

    assert switch.waiting() == 1


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


def test_a_rule_without_its_target_is_named(stack: Stack, switch: Switch, capsys: pytest.CaptureFixture[str]):
    rule = stack.outputs["UploadsRule"]
    switch.events.remove_targets(Rule=rule, Ids=["Pipeline"])

    assert main(["pause", "--stack", "photos"]) == 2

    assert f"the rule {rule} has 0 targets instead of one: correct it, or deploy again" in capsys.readouterr().err

"""Releasing and rejecting images that are held."""

import json
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.decide import decide
from cli.following import Result
from cli.main import main
from cli.stack import Stack
from imagepipeline.quarantine import Action
from tests.cli.stand_in import NOW, RENDITIONS, StateMachinesStandIn, wait_until, write

KEY = "uploads/a.jpg"
SEQUENCER = "0A".ljust(64, "0")
HELD = {
    "Status": "HELD",
    "Sequencer": SEQUENCER,
    "VersionId": "null",
    "ETag": "9b2cf535f27731c974343645a3985328",
    "Bytes": 5,
    "ReceivedAt": NOW,
    "CompletedAt": NOW,
    "ExecutionArn": "arn:old",
    "HeldBecause": {"Name": "Flagged", "Message": "Weapons 93 %"},
    "Renditions": RENDITIONS,
}


def run(*arguments: str) -> int:
    return main([*arguments, "--stack", "photos"])


def release(stack: Stack, machines: StateMachinesStandIn) -> tuple[threading.Thread, list[Result]]:
    """Starts to release an image, and returns when its execution runs, which the stand-in leaves running."""
    write(stack, KEY, **HELD)
    machines.answers[KEY] = None
    results: list[Result] = []
    releasing = threading.Thread(target=lambda: results.extend(decide(stack, [KEY], Action.RELEASE, timeout=20)))
    releasing.start()
    wait_until(machines.started)
    return releasing, results


@pytest.mark.parametrize(("command", "status"), [("release", "COMPLETED"), ("reject", "REJECTED")])
def test_a_decision_is_followed_until_it_is_announced(
    machines: StateMachinesStandIn, stack: Stack, command: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(stack, KEY, **HELD)

    assert run(command, KEY, "--timeout", "20") == 0

    [event] = machines.started()
    assert event["Decision"] == {"Action": command.upper()}
    assert event["detail"]["object"]["sequencer"] == SEQUENCER
    assert capsys.readouterr().out.startswith(f"{status}\t{KEY}\t")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (HELD | {"Status": "COMPLETED"}, "the image is not held: its status is COMPLETED"),
        (HELD | {"Status": "PROCESSING"}, "the image is not held: its status is PROCESSING"),
        (None, "there is no record of this key"),
    ],
    ids=["completed", "processing", "no record"],
)
def test_what_is_not_held_is_not_decided_about(
    machines: StateMachinesStandIn, stack: Stack, record: dict | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if record:
        write(stack, KEY, **record)

    assert run("release", KEY) == 1

    assert machines.started() == []
    assert reason in capsys.readouterr().out


def test_an_image_that_was_replaced_since_it_was_looked_at_is_left_alone(
    machines: StateMachinesStandIn, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    write(stack, KEY, **HELD)

    assert run("release", KEY, "--sequencer", "09".ljust(64, "0")) == 1

    assert machines.started() == []
    assert "look at it again" in capsys.readouterr().out


def test_a_sequencer_is_about_one_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("release", KEY, "uploads/b.jpg", "--sequencer", SEQUENCER) == 2


def test_a_decision_that_was_overtaken_is_reported(machines: StateMachinesStandIn, stack: Stack) -> None:
    run, results = release(stack, machines)

    write(stack, KEY, **HELD | {"Sequencer": "0B".ljust(64, "0")})
    machines.answers.clear()
    run.join()

    assert [(result.status, result.record["Status"]) for result in results] == [("NOT_APPLIED", "HELD")]


def test_a_decision_about_an_image_that_is_deleted_meanwhile_leaves_nothing(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    run, results = release(stack, machines)

    stack.dynamodb.delete_item(TableName=stack.outputs["ImagesTable"], Key={"ImageKey": {"S": KEY}})
    machines.answers.clear()
    run.join()

    assert [result.status for result in results] == ["REMOVED"]


def test_an_interrupted_decision_is_followed_until_another_execution_applies_it(
    machines: StateMachinesStandIn, stack: Stack
) -> None:
    run, results = release(stack, machines)
    [execution] = machines.executions("ImagePipeline")

    machines.end(execution.execution_arn, "ABORTED")
    time.sleep(0.1)
    assert results == []
    write(stack, KEY, **HELD | {"Status": "COMPLETED"})
    run.join()

    assert [result.status for result in results] == ["COMPLETED"]


def test_status_shows_why_an_image_is_held_and_the_image(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    large = RENDITIONS["small"] | {"Key": "1f/A1/large.jpg", "Width": 1280, "Height": 960}
    write(stack, KEY, **HELD | {"Renditions": RENDITIONS | {"large": large}})

    assert run("status", KEY, "--url", "--json") == 1

    shown = json.loads(capsys.readouterr().out)
    url = urlsplit(shown["Url"])
    assert (shown["Status"], shown["HeldBecause"]) == ("HELD", HELD["HeldBecause"])
    assert url.path.endswith("/1f/A1/large.jpg")
    assert parse_qs(url.query)["X-Amz-Expires"] == ["900"]


def test_status_prints_the_reason_of_a_held_image_in_a_line(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    write(stack, KEY, **HELD)

    run("status", KEY)

    assert capsys.readouterr().out.rstrip("\n").endswith("\tFlagged: Weapons 93 %")

"""What the command says about a stack whose workflow is Express, by the table of its executions."""

import dataclasses
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cli.decide import decide
from cli.failures import STUCK, UNANNOUNCED, in_stack
from cli.redrive import redrive
from cli.stack import Stack
from imagepipeline.quarantine import Action
from imagepipeline.s3_events import object_created
from tests.cli.stand_in import RENDITIONS, StateMachinesStandIn, write

NOW = datetime.now(UTC)
TABLE = "executions"


@pytest.fixture
def express(stack: Stack) -> Stack:
    """The stack, with the table of an Express workflow."""
    key = {"ExecutionArn": "HASH", "RegisteredAt": "RANGE"}
    stack.dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in key],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in key.items()],
    )
    return dataclasses.replace(stack, outputs={**stack.outputs, "ExecutionsTable": TABLE})


@pytest.fixture
def register(express: Stack) -> Callable[..., str]:
    def register(key: str, age: timedelta, resumptions: int = 0) -> str:
        """An execution that registered itself some time ago, and did not succeed. Returns its ARN."""
        arn = arn_of(express, key)
        event = object_created(
            express.uploads_bucket,
            key,
            size=1,
            etag="e",
            version_id="null",
            sequencer="A1",
            time=NOW,
            reason="PutObject",
        )
        item = {"ExecutionArn": arn, "RegisteredAt": (NOW - age).isoformat(), "Input": json.dumps(event)}
        typed = {name: {"S": value} for name, value in item.items()} | {"Resumptions": {"N": str(resumptions)}}
        express.dynamodb.put_item(TableName=TABLE, Item=typed)
        return arn

    return register


def arn_of(stack: Stack, key: str) -> str:
    """The ARN of an Express execution for a key."""
    machine = stack.outputs["ImagePipeline"]
    return f"{machine.replace(':stateMachine:', ':express:')}:{key.rpartition('/')[2]}:5b6c"


@pytest.mark.parametrize(
    ("age", "resumptions", "status"),
    [(1, 0, "RUNNING"), (7, 0, "TIMED_OUT"), (7, 1, "RUNNING"), (50, 9, "RUNNING"), (70, 9, "TIMED_OUT")],
)
def test_an_execution_is_running_until_the_sweep_should_have_found_it(
    express: Stack, register: Callable[..., str], age: int, resumptions: int, status: str
):
    arn = register("uploads/a.jpg", timedelta(minutes=age), resumptions)

    assert express.execution_status(arn) == status


def test_an_execution_that_is_not_registered_has_succeeded(express: Stack):
    assert express.execution_status(arn_of(express, "uploads/a.jpg")) == "SUCCEEDED"


def test_an_image_that_waits_for_its_next_try_is_not_stuck(express: Stack, register: Callable[..., str]):
    started = (NOW - timedelta(minutes=40)).isoformat()
    arn = register("uploads/waiting.jpg", timedelta(minutes=40), resumptions=3)
    write(express, "uploads/waiting.jpg", Status="PROCESSING", ExecutionArn=arn, StartedAt=started)
    lost = arn_of(express, "uploads/lost.jpg")
    write(express, "uploads/lost.jpg", Status="PROCESSING", ExecutionArn=lost, StartedAt=started)

    assert [(failure.key, failure.kind) for failure in in_stack(express, NOW)] == [("uploads/lost.jpg", STUCK)]


def test_what_the_sweep_left_is_listed(express: Stack, register: Callable[..., str]):
    express.s3.put_object(Bucket=express.uploads_bucket, Key="uploads/never-begun.jpg")
    register("uploads/never-begun.jpg", timedelta(minutes=20))
    arn = register("uploads/silent.jpg", timedelta(minutes=20))
    write(express, "uploads/silent.jpg", ExecutionArn=arn, CompletedAt=NOW.isoformat(), Renditions=RENDITIONS)
    register("uploads/running.jpg", timedelta(minutes=1))

    found = {failure.key: failure.kind for failure in in_stack(express, NOW)}

    assert found == {"uploads/never-begun.jpg": STUCK, "uploads/silent.jpg": UNANNOUNCED}


def test_a_decision_waits_for_an_execution_that_has_yet_to_register_itself(express: Stack):
    record = {"Sequencer": "0A".ljust(64, "0"), "VersionId": "null", "ETag": "e", "Bytes": 5, "Renditions": RENDITIONS}
    why = {"Name": "Flagged", "Message": "Weapons 93 %"}
    write(express, "uploads/a.jpg", **record, Status="HELD", HeldBecause=why)
    applied = threading.Timer(0.1, write, [express, "uploads/a.jpg"], record)
    applied.start()

    (result,) = decide(express, ["uploads/a.jpg"], Action.RELEASE, timeout=20)

    applied.join()
    assert result.status == "COMPLETED"


def test_a_redrive_waits_for_an_execution_that_has_yet_to_register_itself(express: Stack):
    express.s3.put_object(Bucket=express.uploads_bucket, Key="uploads/a.jpg")

    with StateMachinesStandIn(express):
        (result,) = redrive(express, ["uploads/a.jpg"], [], always=True)

    assert result.status == "COMPLETED"

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from functions.sweep import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, ServiceUnavailable
from imagepipeline.executions import OVERDUE_AFTER, RegisteredExecution
from tests.functions.deployed import EXECUTIONS_TABLE, HOUSEKEEPING, deploy_housekeeping, invoke, sample
from tests.in_memory import Calls, refuse

EVENT = sample("upload")


@pytest.fixture(autouse=True)
def housekeeping(deployed) -> None:
    deploy_housekeeping()


def register(name: str, age: timedelta, resumptions: int = 0) -> str:
    """An execution that registered itself some time ago. Returns its ARN."""
    arn = f"arn:aws:states:us-east-1:111122223333:express:image-pipeline:{name}:1"
    aws.client("dynamodb").put_item(
        TableName=EXECUTIONS_TABLE,
        Item={
            "ExecutionArn": {"S": arn},
            "RegisteredAt": {"S": (datetime.now(UTC) - age).isoformat()},
            "Input": {"S": json.dumps(EVENT)},
            "Resumptions": {"N": str(resumptions)},
        },
    )
    return arn


def registered() -> set[str]:
    items = aws.client("dynamodb").scan(TableName=EXECUTIONS_TABLE)["Items"]
    return {item["ExecutionArn"]["S"] for item in items}


def handed_over() -> list[dict]:
    """The inputs of Housekeeping's executions."""
    stepfunctions = boto3.client("stepfunctions")
    listed = stepfunctions.list_executions(stateMachineArn=HOUSEKEEPING)["executions"]
    described = (stepfunctions.describe_execution(executionArn=found["executionArn"]) for found in listed)
    return [json.loads(execution["input"]) for execution in described]


def test_an_execution_that_ended_early_is_handed_to_housekeeping():
    arn = register("ended", timedelta(minutes=7))

    answer = invoke(app, sample("sweep"))

    assert answer == {"Registered": 1, "Stuck": 0, "HandedOver": 1}
    (event,) = handed_over()
    assert event["detail-type"] == "Step Functions Execution Status Change"
    assert event["detail"] == {"executionArn": arn, "status": "TIMED_OUT", "input": json.dumps(EVENT)}
    assert registered() == set()


def test_an_execution_that_may_be_running_is_left_alone():
    arn = register("running", timedelta(minutes=5, seconds=50))

    answer = invoke(app, sample("sweep"))

    assert answer["HandedOver"] == 0
    assert registered() == {arn}


def test_an_image_that_was_resumed_often_waits_longer():
    waiting = register("waiting", timedelta(minutes=40), resumptions=3)
    register("due", timedelta(minutes=50), resumptions=3)

    answer = invoke(app, sample("sweep"))

    assert answer == {"Registered": 2, "Stuck": 2, "HandedOver": 1}
    assert registered() == {waiting}


def test_the_waits_before_thirty_resumptions_are_more_than_a_day():
    waits = [RegisteredExecution("arn", "2026-03-01T12:00:00Z", number).due() for number in range(30)]
    began = RegisteredExecution("arn", "2026-03-01T12:00:00Z", 0).since

    assert timedelta(days=1) < sum((due - began for due in waits), timedelta()) < timedelta(days=1.5)
    assert waits[0] - began == OVERDUE_AFTER


def test_housekeeping_gets_an_execution_once_even_if_it_cannot_be_removed():
    register("ended", timedelta(minutes=7))
    refuse("dynamodb", "DeleteItem", "InternalServerError", 500)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            invoke(app, sample("sweep"))

    assert len(handed_over()) == 1
    assert len(registered()) == 1


def test_an_execution_stays_registered_until_housekeeping_has_it():
    arn = register("ended", timedelta(minutes=7))
    refuse("stepfunctions", "StartExecution", "ThrottlingException")

    with pytest.raises(ServiceUnavailable):
        invoke(app, sample("sweep"))

    assert registered() == {arn}


def test_all_executions_are_found_however_many_there_are():
    for number in range(30):
        register(f"ended-{number}", timedelta(minutes=7))
    table = Calls("dynamodb")
    aws.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.Scan", lambda params, **_: params | {"Limit": 10}
    )

    answer = invoke(app, sample("sweep"))

    assert answer["HandedOver"] == 30
    assert table.operations.count("Scan") > 1
    assert registered() == set()


def test_stuck_images_and_the_oldest_execution_are_measured(capsys):
    register("stuck", timedelta(minutes=20), resumptions=4)
    register("running", timedelta(seconds=10))

    invoke(app, sample("sweep"))

    metrics = next(json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line)
    assert metrics["StuckRecords"] == [1.0]
    assert metrics["OldestExecutionAge"][0] == pytest.approx(20 * 60, abs=10)


@pytest.mark.parametrize("name", ["EXECUTIONS_TABLE", "HOUSEKEEPING"])
def test_a_missing_setting_is_named(setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("sweep"))

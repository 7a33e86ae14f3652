import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from functions.sweep import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, ServiceUnavailable
from imagepipeline.executions import OVERDUE_AFTER, RegisteredExecution
from imagepipeline.models import timestamp
from tests.functions.deployed import (
    EXECUTIONS_TABLE,
    HOUSEKEEPING,
    IMAGE_PIPELINE,
    deploy_housekeeping,
    invoke,
    published,
    put,
    sample,
)
from tests.in_memory import Calls, answer, refuse

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


def test_one_that_cannot_be_handed_over_keeps_no_other_waiting():
    for number in range(5):
        register(f"ended-{number}", timedelta(minutes=7))
    broken = register("broken", timedelta(minutes=30))
    items = aws.client("dynamodb").scan(TableName=EXECUTIONS_TABLE)["Items"]
    (item,) = (item for item in items if item.pop("Input") and item["ExecutionArn"]["S"] == broken)
    aws.client("dynamodb").put_item(TableName=EXECUTIONS_TABLE, Item=item)

    with pytest.raises(KeyError, match="Input"):
        invoke(app, sample("sweep"))

    assert registered() == {broken}
    assert len(handed_over()) == 5


def test_all_executions_are_found_however_many_there_are():
    for number in range(9):
        register(f"ended-{number}", timedelta(minutes=7))
    table = Calls("dynamodb")
    aws.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.Scan", lambda params, **_: params | {"Limit": 4}
    )

    answer = invoke(app, sample("sweep"))

    assert answer["HandedOver"] == 9
    assert table.operations.count("Scan") > 1
    assert registered() == set()


def test_stuck_images_and_the_oldest_execution_are_measured(capsys):
    register("stuck", timedelta(minutes=20), resumptions=4)
    register("running", timedelta(seconds=10))

    invoke(app, sample("sweep"))

    [metrics] = published(capsys)
    assert metrics["StuckRecords"] == [1.0]
    assert metrics["OldestExecutionAge"][0] == pytest.approx(20 * 60, abs=10)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_executions_that_cannot_be_handed_over_are_reported_as_stuck(capsys, code):
    register("overdue for long", timedelta(minutes=17))
    register("overdue", timedelta(minutes=7))
    refuse("stepfunctions", "StartExecution", code)

    with pytest.raises((ClientError, ServiceUnavailable)):
        invoke(app, sample("sweep"))

    [metrics] = published(capsys)
    assert metrics["StuckRecords"] == [1.0]


@pytest.mark.parametrize("name", ["EXECUTIONS_TABLE", "HOUSEKEEPING"])
def test_a_missing_setting_is_named(setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("sweep"))


# ---------------------------------------------------------------------------------------------------- Standard workflow


def execution(name: str) -> str:
    """The ARN of an execution of ImagePipeline."""
    return f"{IMAGE_PIPELINE.replace(':stateMachine:', ':execution:')}:{name}"


def processing(key: str, arn: str, received: timedelta = timedelta(hours=2)) -> None:
    """The record of an image that an execution began some time ago."""
    received_at = timestamp(datetime.now(UTC) - received)
    put({"ImageKey": key, "Status": "PROCESSING", "ReceivedAt": received_at, "ExecutionArn": arn})


@pytest.fixture
def standard(setting) -> dict[str, dict]:
    """A Standard workflow. Holds Step Functions' answers about its executions, by ARN."""
    for name, value in (("WORKFLOW_TYPE", "STANDARD"), ("EXECUTIONS_TABLE", None), ("HOUSEKEEPING", None)):
        setting(name, value)
    executions: dict[str, dict] = {}

    def describe(params: dict, context: dict, **_: object) -> tuple[AWSResponse, dict]:
        asked = json.loads(params["body"])["executionArn"]
        code = "ExecutionDoesNotExist" if asked.startswith(execution("")) else "AccessDeniedException"
        refused = {"Error": {"Code": code, "Message": "says AWS"}}
        status = 200 if asked in executions else 400
        return AWSResponse("", status, {}, None), executions.get(asked, refused)

    aws.client("stepfunctions").meta.events.register("before-call.sfn.DescribeExecution", describe)
    return executions


def test_records_of_executions_that_ended_are_reported_as_stuck(standard, capsys):
    now = datetime.now(UTC)
    standard[execution("running")] = {"status": "RUNNING"}
    standard[execution("just ended")] = {"status": "ABORTED", "stopDate": now - timedelta(minutes=9)}
    standard[execution("ended")] = {"status": "ABORTED", "stopDate": now - timedelta(minutes=11)}
    for name in ("running", "just ended", "ended"):
        processing(f"uploads/{name}", execution(name))
    processing("uploads/forgotten", execution("of 90 days ago"))
    processing("uploads/replaced", "arn:aws:states:us-east-1:111122223333:express:Replaced:name:1")

    answer = invoke(app, sample("sweep"))

    assert answer == {"Examined": 5, "Stuck": 3}
    [metrics] = published(capsys)
    assert metrics["StuckRecords"] == [3.0]
    assert metrics["service"]


def test_images_that_are_done_or_new_are_not_asked_about(standard):
    processing("uploads/new", execution("new"), received=timedelta(minutes=9))
    processing("uploads/completed", execution("completed"))
    put({"ImageKey": "uploads/completed", "Status": "COMPLETED", "ReceivedAt": "2026-01-01T00:00:00Z"})
    calls = Calls("stepfunctions")

    assert invoke(app, sample("sweep")) == {"Examined": 0, "Stuck": 0}
    assert calls.operations == []


def test_an_image_that_the_index_shows_too_late_is_not_stuck(standard):
    processing("uploads/a.jpg", execution("gone"))
    put({"ImageKey": "uploads/a.jpg", "Status": "COMPLETED", "ExecutionArn": execution("gone")})
    answer("dynamodb", "Query", {"Items": [{"ImageKey": {"S": "uploads/a.jpg"}}]})

    assert invoke(app, sample("sweep")) == {"Examined": 0, "Stuck": 0}


def test_the_oldest_images_are_examined_when_many_wait(standard, monkeypatch):
    monkeypatch.setattr("imagepipeline.sweep.MOST_RECORDS", 10)
    for number in range(11):
        processing(f"uploads/{number}", execution("gone"), received=timedelta(hours=1, minutes=number))
    standard[execution("running")] = {"status": "RUNNING"}
    processing("uploads/0", execution("running"), received=timedelta(hours=1))

    assert invoke(app, sample("sweep")) == {"Examined": 10, "Stuck": 10}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_no_number_is_reported_if_step_functions_does_not_answer(standard, capsys, code):
    processing("uploads/a.jpg", execution("name"))
    answer = AWSResponse("", 400, {}, None), {"Error": {"Code": code, "Message": "says AWS"}}
    aws.client("stepfunctions").meta.events.register_first("before-call.sfn.DescribeExecution", lambda **_: answer)

    with pytest.raises((ClientError, ServiceUnavailable)):
        invoke(app, sample("sweep"))

    assert published(capsys) == []


@pytest.mark.parametrize("name", ["IMAGES_TABLE", "IMAGE_PIPELINE"])
def test_a_missing_setting_of_a_standard_workflow_is_named(standard, setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("sweep"))

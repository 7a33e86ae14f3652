"""Requested faults happen as often as requested, with AWS's error names; and requests are counted."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from local.faults import Faults
from tests.local.emulated import NOTHING, Emulated, queue_arn


@pytest.fixture
def faults(emulator: Emulated) -> Iterator[Faults]:
    faults = Faults(emulator.url)
    yield faults
    faults.clear()


@pytest.mark.parametrize(
    ("fault", "error", "works"),
    [
        ("crash", "Runtime.ExitError", False),
        ("crash-late", "Runtime.ExitError", True),
        ("timeout", "Sandbox.Timedout", True),
        ("error", "Lambda.ServiceException", False),
        ("denied", "Lambda.AccessDeniedException", False),
    ],
)
def test_a_function_fails_as_often_as_requested(
    emulator: Emulated, faults: Faults, fault: str, error: str, works: bool
):
    code = "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count"
    function = emulator.function(code)
    faults.ask(f"lambda:{function.rsplit(':', 1)[-1]}", fault, times=2)

    *failed, count = [emulator.invoke(function) for _ in range(3)]

    assert [outcome["errorType"] for outcome in failed] == [error, error]
    assert count == (3 if works else 1)
    assert faults.left() == []


def test_a_throttled_function_raises_awss_exception(emulator: Emulated, faults: Faults):
    function, client = emulator.function("def handler(event, context): return 'ran'"), emulator.client("lambda")
    faults.ask("lambda:function-*", "throttle")

    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName=function)


@pytest.mark.parametrize(
    ("service", "action", "method", "fault", "code"),
    [
        ("dynamodb", "ListTables", "list_tables", "throttle", "ProvisionedThroughputExceededException"),
        ("dynamodb", "ListTables", "list_tables", "error", "InternalServerError"),
        ("s3", "ListAllMyBuckets", "list_buckets", "throttle", "SlowDown"),
        ("s3", "ListAllMyBuckets", "list_buckets", "denied", "AccessDenied"),
        ("sns", "ListTopics", "list_topics", "throttle", "Throttled"),
    ],
)
def test_a_service_fails_with_its_own_error_code(
    emulator: Emulated, faults: Faults, service: str, action: str, method: str, fault: str, code: str
):
    call = getattr(emulator.client(service), method)
    faults.ask(f"{service}:{action}", fault)

    with pytest.raises(ClientError) as refusal:
        call()

    assert refusal.value.response["Error"]["Code"] == code
    assert call()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_task_fails_with_the_error_name_of_its_integration(emulator: Emulated, faults: Faults):
    get = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:getItem",
        "Parameters": {"TableName": "any", "Key": {"Id": {"S": "1"}}},
        "End": True,
    }
    allow = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}
    machine = emulator.state_machine({"StartAt": "Get", "States": {"Get": get}}, allow)
    faults.ask("dynamodb:GetItem", "throttle")

    assert emulator.run(machine)["error"] == "DynamoDB.ProvisionedThroughputExceededException"


def test_eventbridge_can_fail_to_start_a_state_machine(emulator: Emulated, faults: Faults):
    events, source = emulator.client("events"), f"source-{uuid4().hex}"
    machine = emulator.state_machine(NOTHING)
    dlq = emulator.queue("events.amazonaws.com")
    allow = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "machine", "Arn": machine, "RoleArn": emulator.role(allow)}
    events.put_targets(Rule=source, Targets=[target | {"DeadLetterConfig": {"Arn": queue_arn(dlq)}}])
    faults.ask("states:StartExecution", "throttle")

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    attributes = emulator.received(dlq)["MessageAttributes"]
    assert attributes["ERROR_CODE"]["StringValue"] == "ThrottlingException"


@pytest.mark.parametrize(("fault", "called"), [("end", False), ("end-late", True)])
def test_an_express_execution_can_reach_its_time_limit_at_a_call(
    emulator: Emulated, faults: Faults, fault: str, called: bool
):
    first, second = emulator.queue(), emulator.queue()
    send = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage"}
    states = {
        "First": send | {"Arguments": {"QueueUrl": first, "MessageBody": "sent"}, "Next": "Second"},
        "Second": send | {"Arguments": {"QueueUrl": second, "MessageBody": "sent"}, "End": True},
    }
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    definition = {"QueryLanguage": "JSONata", "StartAt": "First", "States": states}
    machine = emulator.state_machine(definition, allow, workflow="EXPRESS")
    faults.ask("express:sqs:SendMessage", fault)

    emulator.start(machine)
    emulator.eventually(lambda: not faults.left())
    emulator.start(machine)  # meets no fault

    emulator.received(second)
    count = emulator.client("sqs").get_queue_attributes(QueueUrl=first, AttributeNames=["All"])["Attributes"]
    assert int(count["ApproximateNumberOfMessages"]) == 1 + called


def test_an_unknown_fault_is_refused(faults: Faults):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        faults.ask("s3:GetObject", "crash")

    assert json.load(refusal.value) == {"message": "fault must be one of throttle, error, denied, times at least 1"}


def test_requests_are_counted_by_caller(emulator: Emulated):
    code = "import boto3\ndef handler(event, context): boto3.client('s3').list_objects_v2(Bucket='counted')"
    emulator.client("s3").create_bucket(Bucket="counted")
    allow = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    function = emulator.function(code, Role=emulator.role(allow), Timeout=20)

    emulator.invoke(function)

    with urllib.request.urlopen(f"{emulator.url}/_local/usage", timeout=10) as answer:
        requests = json.load(answer)
    assert requests[function.rsplit(":", 1)[-1]] == {"s3:ListBucket": 1}
    assert requests["client"]["s3:CreateBucket"] >= 1

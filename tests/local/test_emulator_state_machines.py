"""Step Functions on the emulator: permissions, limits, timeouts, retries, variables and error names."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.emulated import NOTHING, Emulated, Launched, queue_arn, waiting

INVOKE_ANYTHING = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
FAILING = "def handler(event, context): raise ValueError('always')"


def invoking(function: str, **fields: object) -> dict:
    """A definition with one task, which invokes a function."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
        "End": True,
    }
    states = {"Work": task | fields, "Caught": {"Type": "Pass", "End": True}}
    return {"QueryLanguage": "JSONata", "StartAt": "Work", "States": states}


def ends(machine: str, status: str) -> dict:
    """The pattern of the events about executions that end with a status."""
    return {"source": ["aws.states"], "detail": {"status": [status], "stateMachineArn": [machine]}}


def test_a_published_message_has_its_attributes(patched: Emulated):
    sns = patched.client("sns")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    queue = patched.queue("sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(queue))
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {
            "TopicArn": topic,
            "Message": "done",
            "MessageAttributes": {"processing_status": {"DataType": "String", "StringValue": "SUCCESS"}},
        },
        "End": True,
    }
    machine = patched.state_machine(
        {"StartAt": "Publish", "States": {"Publish": publish}},
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic},
    )

    patched.run(machine)

    message = json.loads(patched.received(queue)["Body"])
    assert message["Message"] == "done"
    assert message["MessageAttributes"] == {"processing_status": {"Type": "String", "Value": "SUCCESS"}}


def test_a_task_can_do_only_what_its_role_allows(patched: Emulated):
    function = patched.function("def handler(event, context): return 'ran'")
    other = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": f"{function}-other"}

    execution = patched.run(patched.state_machine(invoking(function), other))

    assert execution["status"] == "FAILED"
    assert "is not authorized to perform lambda:InvokeFunction" in execution["cause"]


def test_a_role_limits_the_table_and_the_action(emulator: Emulated):
    table = emulator.table()
    arn = table["TableArn"]
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:putItem",
        "Parameters": {"TableName": table["TableName"], "Item": {"ImageKey": {"S": "1"}}},
        "End": True,
    }
    definition = {"StartAt": "Put", "States": {"Put": put}}

    allowed = emulator.state_machine(definition, {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": arn})
    refused = emulator.state_machine(definition, {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": arn})

    assert emulator.run(allowed)["status"] == "SUCCEEDED"
    assert "is not authorized to perform dynamodb:PutItem" in emulator.run(refused)["cause"]


def test_data_over_256_kib_fails_despite_a_catch_all(patched: Emulated):
    function = patched.function("def handler(event, context): return 'x' * 262_144")
    catch_all = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]

    # The limit applies to the task's own result, not to the state's Output.
    definition = invoking(function, Catch=catch_all, Output="small")
    execution = patched.run(patched.state_machine(definition, INVOKE_ANYTHING))

    assert execution["status"] == "FAILED"
    assert execution["error"] == "States.DataLimitExceeded"


def test_max_delay_seconds_limits_the_delay(patched: Emulated):
    function = patched.function(FAILING)
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "MaxDelaySeconds": 1, "MaxAttempts": 2}

    execution = patched.run(patched.state_machine(invoking(function, Retry=[retry]), INVOKE_ANYTHING))

    assert execution["error"] == "ValueError"


def test_a_state_machine_times_out_with_an_event(patched: Emulated):
    machine = patched.state_machine(waiting(60) | {"TimeoutSeconds": 1})
    queue = patched.watch(ends(machine, "TIMED_OUT"))

    execution = patched.run(machine, {"ImageKey": "uploads/cat.jpg"})

    assert execution["status"] == "TIMED_OUT"
    event = json.loads(patched.received(queue)["Body"])
    assert event["detail-type"] == "Step Functions Execution Status Change"
    detail = event["detail"]
    assert detail["executionArn"] == execution["executionArn"]
    assert detail["name"] == execution["name"]
    assert json.loads(detail["input"]) == {"ImageKey": "uploads/cat.jpg"}
    assert detail["inputDetails"] == {"included": True}
    assert detail["stopDate"] > detail["startDate"]


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("describe_execution", "InvalidArn"),
        ("stop_execution", "InvalidArn"),
        ("get_execution_history", "InvalidArn"),
        ("list_executions", "StateMachineTypeNotSupported"),
    ],
)
def test_step_functions_answers_nothing_about_an_express_execution(patched: Emulated, operation: str, error: str):
    machine = patched.state_machine(NOTHING, workflow="EXPRESS")
    execution = patched.start(machine)
    about = {"stateMachineArn": machine} if operation == "list_executions" else {"executionArn": execution}

    with pytest.raises(ClientError, match=error):
        getattr(patched.client("stepfunctions"), operation)(**about)


def test_an_express_execution_sends_no_event(patched: Emulated):
    express, standard = (patched.state_machine(NOTHING, workflow=workflow) for workflow in ("EXPRESS", "STANDARD"))
    queue = patched.watch({"source": ["aws.states"], "detail": {"stateMachineArn": [express, standard]}})

    patched.start(express)
    patched.start(standard)

    assert json.loads(patched.received(queue)["Body"])["detail"]["stateMachineArn"] == standard


def test_an_express_execution_ends_after_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SFN_WAIT_SCALE", "0.005")  # five minutes are a second and a half
    launched = Launched(tmp_path / "state")
    try:
        emulator = launched.emulated()
        sent = emulator.queue()
        function = emulator.function("import time\ndef handler(event, context): time.sleep(4)", Timeout=20)
        send = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True}
        definition = invoking(function, Next="Send")
        del definition["States"]["Work"]["End"]
        arguments = {"QueueUrl": sent, "MessageBody": "{% $states.context.StateMachine.Name %}"}
        definition["States"]["Send"] = send | {"Arguments": arguments}
        allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(sent)}
        machines = {
            workflow: emulator.state_machine(definition, INVOKE_ANYTHING, allow, workflow=workflow)
            for workflow in ("EXPRESS", "STANDARD")
        }

        emulator.start(machines["EXPRESS"])
        emulator.start(machines["STANDARD"])

        assert machines["STANDARD"].endswith(emulator.received(sent)["Body"])
    finally:
        launched.stop()


@pytest.mark.parametrize("status", ["FAILED", "ABORTED"])
def test_an_execution_that_ends_early_sends_an_event(emulator: Emulated, status: str):
    fail = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}}}
    machine = emulator.state_machine(waiting(60) if status == "ABORTED" else fail)
    queue = emulator.watch(ends(machine, status))

    execution = emulator.start(machine)
    if status == "ABORTED":
        emulator.client("stepfunctions").stop_execution(executionArn=execution)

    assert json.loads(emulator.received(queue)["Body"])["detail"]["executionArn"] == execution


def test_an_aborted_execution_stays_aborted_and_is_not_retried(patched: Emulated):
    attempts = patched.queue()
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(attempts)}
    code = f"""
import boto3, time
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl="{attempts}", MessageBody="attempt")
    time.sleep(2)
    raise ValueError("always")
"""
    function = patched.function(code, Timeout=20, Role=patched.role(allow))
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 2}
    machine = patched.state_machine(invoking(function, Retry=[retry]), INVOKE_ANYTHING)
    stepfunctions = patched.client("stepfunctions")

    execution = patched.start(machine)
    patched.received(attempts)
    stepfunctions.stop_execution(executionArn=execution)
    history = stepfunctions.get_execution_history
    patched.eventually(
        lambda: [event for event in history(executionArn=execution)["events"] if event["type"] == "TaskFailed"][1:]
    )

    assert patched.ended(execution)["status"] == "ABORTED"
    counts = patched.client("sqs").get_queue_attributes(QueueUrl=attempts, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"


def test_a_throttled_function_raises_awss_error(patched: Emulated):
    function = patched.function("def handler(event, context): return 'ran'")
    patched.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    catch = [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "Output": "caught", "Next": "Caught"}]

    execution = patched.run(patched.state_machine(invoking(function, Catch=catch), INVOKE_ANYTHING))

    assert json.loads(execution["output"]) == "caught"


def test_an_assign_uses_the_variables_from_before_the_state(patched: Emulated):
    states = {
        "Set": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
        "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Return"},
        "Return": {"Type": "Pass", "Output": "{% [$a, $b] %}", "End": True},
    }

    execution = patched.run(patched.state_machine({"QueryLanguage": "JSONata", "StartAt": "Set", "States": states}))

    assert json.loads(execution["output"]) == [2, 1]


def test_a_succeed_state_evaluates_its_output(patched: Emulated):
    states = {
        "Set": {"Type": "Pass", "Assign": {"outcome": "REJECTED"}, "Next": "Rejected"},
        "Rejected": {"Type": "Succeed", "Output": {"Outcome": "{% $outcome %}"}},
    }

    execution = patched.run(patched.state_machine({"QueryLanguage": "JSONata", "StartAt": "Set", "States": states}))

    assert json.loads(execution["output"]) == {"Outcome": "REJECTED"}


def test_starting_another_execution_of_the_same_name_raises_awss_error(patched: Emulated):
    child = patched.state_machine(NOTHING)
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Arguments": {"StateMachineArn": child, "Name": "same", "Input": "{% $states.context.Execution.Id %}"},
    }
    other = {"Arguments": start["Arguments"] | {"Input": "other"}}
    states = {"First": start | {"Next": "Second"}, "Second": start | other | {"End": True}}
    allow = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": child}

    execution = patched.run(
        patched.state_machine({"QueryLanguage": "JSONata", "StartAt": "First", "States": states}, allow)
    )

    assert execution["error"] == "StepFunctions.ExecutionAlreadyExistsException"


def test_a_task_with_unknown_permissions_is_refused(emulator: Emulated):
    list_tables = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:dynamodb:listTables", "End": True}

    execution = emulator.run(emulator.state_machine({"StartAt": "List", "States": {"List": list_tables}}))

    assert execution["error"] == "States.Runtime"
    assert "does not know which permission" in execution["cause"]


def test_only_one_of_many_conditional_writes_succeeds(emulator: Emulated):
    writers, rounds, table = 40, 10, emulator.table()["TableName"]
    claim = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:putItem",
        "Arguments": {
            "TableName": table,
            "Item": {"ImageKey": {"S": "{% $states.input.key %}"}},
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": "ImageKey"},
        },
        "Output": "won",
        "Catch": [{"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Lost"}],
        "End": True,
    }
    claim_all = {
        "Type": "Map",
        "Items": "{% $states.input %}",
        "ItemProcessor": {
            "StartAt": "Claim",
            "States": {"Claim": claim, "Lost": {"Type": "Pass", "Output": "lost", "End": True}},
        },
        "End": True,
    }
    machine = emulator.state_machine(
        {"QueryLanguage": "JSONata", "StartAt": "ClaimAll", "States": {"ClaimAll": claim_all}},
        {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"},
    )

    for _ in range(rounds):
        outcomes = json.loads(emulator.run(machine, [{"key": uuid4().hex}] * writers)["output"])

        assert sorted(outcomes) == ["lost"] * (writers - 1) + ["won"]

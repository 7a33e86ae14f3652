"""State machines on the emulator meet the limits and permissions they would meet on AWS."""

import json

import pytest

from tests.local.emulated import Emulated, queue_arn

INVOKE_ANYTHING = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
FAILING = "def handler(event, context): raise ValueError('always')"


def invoking(function: str, **fields: object) -> dict:
    """A definition of one task, that invokes a function."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
        "End": True,
    }
    states = {"Work": task | fields, "Caught": {"Type": "Pass", "End": True}}
    return {"QueryLanguage": "JSONata", "StartAt": "Work", "States": states}


@pytest.mark.parametrize("integration", ["sns:publish", "aws-sdk:sns:publish"])
def test_a_published_message_keeps_its_attributes(mended: Emulated, integration: str):
    sns = mended.client("sns")
    topic = sns.create_topic(Name=f"topic-{integration.replace(':', '-')}")["TopicArn"]
    queue = mended.queue("sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(queue))
    publish = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{integration}",
        "Parameters": {
            "TopicArn": topic,
            "Message": "done",
            "MessageAttributes": {"processing_status": {"DataType": "String", "StringValue": "SUCCESS"}},
        },
        "End": True,
    }
    machine = mended.state_machine(
        {"StartAt": "Publish", "States": {"Publish": publish}},
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic},
    )

    mended.run(machine)

    message = json.loads(mended.received(queue)["Body"])
    assert message["Message"] == "done"
    assert message["MessageAttributes"] == {"processing_status": {"Type": "String", "Value": "SUCCESS"}}


def test_a_task_may_do_only_what_its_state_machines_role_allows(mended: Emulated):
    function = mended.function("def handler(event, context): return 'ran'")
    other = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": f"{function}-other"}

    execution = mended.run(mended.state_machine(invoking(function), other))

    assert execution["status"] == "FAILED"
    assert "is not authorized to perform lambda:InvokeFunction" in execution["cause"]


@pytest.mark.parametrize("integration", ["dynamodb:putItem", "aws-sdk:dynamodb:putItem"])
def test_a_role_is_held_to_the_table_and_the_action_it_names(emulator: Emulated, integration: str):
    table = f"table-{integration.replace(':', '-')}"
    arn = emulator.client("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    put = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{integration}",
        "Parameters": {"TableName": table, "Item": {"Id": {"S": "1"}}},
        "End": True,
    }
    definition = {"StartAt": "Put", "States": {"Put": put}}

    allowed = emulator.state_machine(definition, {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": arn})
    refused = emulator.state_machine(definition, {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": arn})

    assert emulator.run(allowed)["status"] == "SUCCEEDED"
    assert "is not authorized to perform dynamodb:PutItem" in emulator.run(refused)["cause"]


def test_data_over_256_kib_fails_the_execution_and_no_catch_all_hides_it(mended: Emulated):
    function = mended.function("def handler(event, context): return 'x' * 262_144")
    catch_all = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]

    # What the state keeps of the result doesn't matter: the task's own result is too large.
    definition = invoking(function, Catch=catch_all, Output="small")
    execution = mended.run(mended.state_machine(definition, INVOKE_ANYTHING))

    assert execution["status"] == "FAILED"
    assert execution["error"] == "States.DataLimitExceeded"


def test_data_over_256_kib_can_be_caught_by_its_name(mended: Emulated):
    function = mended.function("def handler(event, context): return 'x' * 262_144")
    catch = [{"ErrorEquals": ["States.DataLimitExceeded"], "Output": "caught", "Next": "Caught"}]

    execution = mended.run(mended.state_machine(invoking(function, Catch=catch), INVOKE_ANYTHING))

    assert json.loads(execution["output"]) == "caught"


def test_a_growing_delay_stops_at_its_maximum(mended: Emulated):
    function = mended.function(FAILING)
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "MaxDelaySeconds": 1, "MaxAttempts": 2}

    execution = mended.run(mended.state_machine(invoking(function, Retry=[retry]), INVOKE_ANYTHING))

    assert execution["error"] == "ValueError"


def test_a_state_machine_that_runs_too_long_times_out_and_eventbridge_tells(mended: Emulated):
    events = mended.client("events")
    machine = mended.state_machine(
        {"StartAt": "Wait", "TimeoutSeconds": 1, "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    )
    queue = mended.queue("events.amazonaws.com")
    pattern = {"source": ["aws.states"], "detail": {"status": ["TIMED_OUT"], "stateMachineArn": [machine]}}
    events.put_rule(Name="timed-out", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="timed-out", Targets=[{"Id": "queue", "Arn": queue_arn(queue)}])

    execution = mended.run(machine, {"ImageKey": "uploads/cat.jpg"})

    assert execution["status"] == "TIMED_OUT"
    event = json.loads(mended.received(queue)["Body"])
    assert event["detail-type"] == "Step Functions Execution Status Change"
    detail = event["detail"]
    assert detail["executionArn"] == execution["executionArn"]
    assert detail["name"] == execution["name"]
    assert json.loads(detail["input"]) == {"ImageKey": "uploads/cat.jpg"}
    assert detail["inputDetails"] == {"included": True}
    assert detail["stopDate"] > detail["startDate"]


@pytest.mark.parametrize("status", ["FAILED", "ABORTED"])
def test_eventbridge_tells_how_an_execution_ended(emulator: Emulated, status: str):
    events = emulator.client("events")
    states = {
        "Wait": {"Type": "Wait", "Seconds": 2, "Next": "Fail"},
        "Fail": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"},
    }
    machine = emulator.state_machine({"StartAt": "Wait" if status == "ABORTED" else "Fail", "States": states})
    queue = emulator.queue("events.amazonaws.com")
    pattern = {"source": ["aws.states"], "detail": {"status": [status], "stateMachineArn": [machine]}}
    events.put_rule(Name=status, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=status, Targets=[{"Id": "queue", "Arn": queue_arn(queue)}])

    execution = emulator.start(machine)
    if status == "ABORTED":
        emulator.client("stepfunctions").stop_execution(executionArn=execution)

    assert json.loads(emulator.received(queue)["Body"])["detail"]["executionArn"] == execution


def test_an_aborted_execution_stays_aborted_when_its_task_fails_and_is_not_retried(mended: Emulated):
    attempts = mended.queue()
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(attempts)}
    code = f"""
import boto3, time
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl="{attempts}", MessageBody="attempt")
    time.sleep(1)
    raise ValueError("always")
"""
    function = mended.function(code, Timeout=20, Role=mended.role(allow))
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 2}
    machine = mended.state_machine(invoking(function, Retry=[retry]), INVOKE_ANYTHING)
    stepfunctions = mended.client("stepfunctions")

    execution = mended.start(machine)
    mended.received(attempts)
    stepfunctions.stop_execution(executionArn=execution)
    history = stepfunctions.get_execution_history
    mended.eventually(
        lambda: [event for event in history(executionArn=execution)["events"] if event["type"] == "TaskFailed"][1:]
    )

    assert mended.ended(execution)["status"] == "ABORTED"
    counts = mended.client("sqs").get_queue_attributes(QueueUrl=attempts, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"


def test_a_throttled_function_is_caught_under_awss_name(mended: Emulated):
    function = mended.function("def handler(event, context): return 'ran'")
    mended.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    catch = [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "Output": "caught", "Next": "Caught"}]

    execution = mended.run(mended.state_machine(invoking(function, Catch=catch), INVOKE_ANYTHING))

    assert json.loads(execution["output"]) == "caught"

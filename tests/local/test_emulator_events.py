"""Events on the emulator look and travel as AWS's do."""

import json
from uuid import uuid4

import pytest

from tests.local.emulated import ACCOUNT, REGION, Emulated, queue_arn


@pytest.fixture
def watched(mended: Emulated) -> tuple[str, str]:
    """A versioned bucket, and a queue that gets its events from EventBridge."""
    s3, events = mended.client("s3"), mended.client("events")
    bucket = f"bucket-{uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    queue = mended.queue("events.amazonaws.com")
    events.put_rule(Name=bucket, EventPattern=json.dumps({"detail": {"bucket": {"name": [bucket]}}}))
    events.put_targets(Rule=bucket, Targets=[{"Id": "queue", "Arn": queue_arn(queue)}])
    return bucket, queue


def test_the_event_of_an_upload_names_the_objects_version(mended: Emulated, watched: tuple[str, str]):
    bucket, queue = watched

    put = mended.client("s3").put_object(Bucket=bucket, Key="uploads/a+b %25.jpg", Body=b"content")

    event = json.loads(mended.received(queue)["Body"])
    assert event["detail"]["object"]["key"] == "uploads/a+b %25.jpg"
    assert event["detail"]["object"]["version-id"] == put["VersionId"]


def test_the_event_of_a_deletion_names_the_marker_and_has_no_size(mended: Emulated, watched: tuple[str, str]):
    bucket, queue = watched
    mended.client("s3").put_object(Bucket=bucket, Key="uploads/cat.jpg", Body=b"content")
    mended.received(queue)

    deleted = mended.client("s3").delete_object(Bucket=bucket, Key="uploads/cat.jpg")

    detail = json.loads(mended.received(queue)["Body"])["detail"]
    assert detail["deletion-type"] == "Delete Marker Created"
    assert detail["object"]["version-id"] == deleted["VersionId"]
    assert "size" not in detail["object"]


@pytest.mark.parametrize(
    ("machine_exists", "role_allows", "code"), [(False, True, "RESOURCE_NOT_FOUND"), (True, False, "NO_PERMISSIONS")]
)
def test_an_event_that_can_not_start_its_state_machine_is_kept_in_the_dlq(
    mended: Emulated, machine_exists: bool, role_allows: bool, code: str
):
    events, source = mended.client("events"), f"source-{uuid4().hex}"
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone"
    if machine_exists:
        machine = mended.state_machine({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    allow = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    dlq = mended.queue("events.amazonaws.com")
    rule = events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    target = {
        "Id": "machine",
        "Arn": machine,
        "RoleArn": mended.role(allow) if role_allows else mended.role(),
        "DeadLetterConfig": {"Arn": queue_arn(dlq)},
        "RetryPolicy": {"MaximumRetryAttempts": 0},
    }
    events.put_targets(Rule=source, Targets=[target])

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": json.dumps({"key": "a+b.jpg"})}])

    message = mended.received(dlq)
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["detail"] == {"key": "a+b.jpg"}
    assert attributes.pop("ERROR_MESSAGE")
    assert attributes == {"RULE_ARN": rule, "TARGET_ARN": machine, "ERROR_CODE": code}


def test_an_event_for_a_function_that_does_not_admit_the_rule_is_kept_in_the_dlq(mended: Emulated):
    events, source = mended.client("events"), f"source-{uuid4().hex}"
    function = mended.function("def handler(event, context): return 'ran'")
    dlq = mended.queue("events.amazonaws.com")
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "function", "Arn": function, "DeadLetterConfig": {"Arn": queue_arn(dlq)}}
    events.put_targets(Rule=source, Targets=[target])

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    assert mended.received(dlq)["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def test_an_event_starts_its_state_machine_with_a_role_that_allows_it(emulator: Emulated):
    events, source = emulator.client("events"), f"source-{uuid4().hex}"
    machine = emulator.state_machine({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    allow = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=source, Targets=[{"Id": "machine", "Arn": machine, "RoleArn": emulator.role(allow)}])

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    executions = emulator.client("stepfunctions").list_executions
    assert emulator.eventually(lambda: executions(stateMachineArn=machine)["executions"])


def test_a_dlq_whose_policy_does_not_let_eventbridge_in_stays_empty(emulator: Emulated):
    events, source = emulator.client("events"), f"source-{uuid4().hex}"
    closed, open_queue = emulator.queue(), emulator.queue("events.amazonaws.com")
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone"
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    for queue in (closed, open_queue):
        target = {"Id": queue[-36:], "Arn": machine, "RoleArn": emulator.role()}
        target["DeadLetterConfig"] = {"Arn": queue_arn(queue)}
        events.put_targets(Rule=source, Targets=[target])

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    assert emulator.received(open_queue)
    assert "Messages" not in emulator.client("sqs").receive_message(QueueUrl=closed)


def test_a_function_that_fails_on_an_event_is_tried_again(mended: Emulated):
    attempts = mended.queue()
    code = f"""
import boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl="{attempts}", MessageBody=event["id"])
    raise ValueError("always")
"""
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(attempts)}
    function = mended.function(code, Role=mended.role(allow), Timeout=20)
    mended.client("lambda").add_permission(
        FunctionName=function, StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    events, source = mended.client("events"), f"source-{uuid4().hex}"
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=source, Targets=[{"Id": "function", "Arn": function}])

    put = events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    event_id = put["Entries"][0]["EventId"]
    assert [mended.received(attempts)["Body"] for _ in range(3)] == [event_id] * 3


def test_a_stream_of_a_table_reaches_its_function(emulator: Emulated):
    seen = emulator.queue()
    dynamodb, table = emulator.client("dynamodb"), f"table-{uuid4().hex}"
    stream = dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    code = f"""
import boto3, json
def handler(event, context):
    for record in event["Records"]:
        boto3.client("sqs").send_message(QueueUrl="{seen}", MessageBody=json.dumps(record["dynamodb"]["NewImage"]))
"""
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(seen)}
    read = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": stream}
    function = emulator.function(code, Role=emulator.role(send, read), Timeout=20)
    emulator.client("lambda").create_event_source_mapping(
        EventSourceArn=stream, FunctionName=function, StartingPosition="TRIM_HORIZON"
    )

    dynamodb.put_item(TableName=table, Item={"Id": {"S": "1"}})

    assert json.loads(emulator.received(seen)["Body"]) == {"Id": {"S": "1"}}

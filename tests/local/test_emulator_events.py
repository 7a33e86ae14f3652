"""S3's events and EventBridge's deliveries on the emulator."""

import json
from uuid import uuid4

import pytest

from tests.local.emulated import ACCOUNT, NOTHING, REGION, Emulated, queue_arn

GONE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone"


@pytest.fixture
def watched(patched: Emulated) -> tuple[str, str]:
    """A versioned bucket, and a queue that receives its events from EventBridge."""
    s3, bucket = patched.client("s3"), f"bucket-{uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    return bucket, patched.watch({"detail": {"bucket": {"name": [bucket]}}})


def test_events_contain_the_objects_version_and_deletions_no_size(patched: Emulated, watched: tuple[str, str]):
    (bucket, queue), s3, key = watched, patched.client("s3"), "uploads/a+b %25.jpg"

    put = s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    created = json.loads(patched.received(queue)["Body"])["detail"]
    marker = s3.delete_object(Bucket=bucket, Key=key)
    deleted = json.loads(patched.received(queue)["Body"])["detail"]

    assert (created["object"]["key"], created["object"]["version-id"]) == (key, put["VersionId"])
    assert created["object"]["size"] == 7
    assert deleted["deletion-type"] == "Delete Marker Created"
    assert deleted["object"]["version-id"] == marker["VersionId"]
    assert "size" not in deleted["object"]


def target(emulated: Emulated, machine: str, *statements: dict) -> tuple[dict, str]:
    """A target that starts a state machine with a role that allows the statements, and its dead-letter queue."""
    dlq = emulated.queue("events.amazonaws.com")
    role = emulated.role(*statements)
    return {"Id": "machine", "Arn": machine, "RoleArn": role, "DeadLetterConfig": {"Arn": queue_arn(dlq)}}, dlq


def send(emulated: Emulated, *targets: dict) -> str:
    """Sends an event to the targets through a new rule. Returns the rule's ARN."""
    events, source = emulated.client("events"), f"source-{uuid4().hex}"
    rule = events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    events.put_targets(Rule=source, Targets=list(targets))
    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": json.dumps({"key": "a+b.jpg"})}])
    return rule


def starting(machine: str) -> dict:
    """A statement that allows starting a state machine."""
    return {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}


def test_an_event_without_permission_is_kept(patched: Emulated):
    machine = patched.state_machine(NOTHING)
    machine_target, dlq = target(patched, machine)

    rule = send(patched, machine_target)

    message = patched.received(dlq)
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["detail"] == {"key": "a+b.jpg"}
    assert attributes.pop("ERROR_MESSAGE")
    assert attributes == {"RULE_ARN": rule, "TARGET_ARN": machine, "ERROR_CODE": "NO_PERMISSIONS"}


def test_an_event_for_a_missing_state_machine_is_kept(emulator: Emulated):
    machine_target, dlq = target(emulator, GONE, starting(GONE))

    send(emulator, machine_target)

    assert emulator.received(dlq)["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "RESOURCE_NOT_FOUND"


def test_an_event_with_permission_starts_its_state_machine(emulator: Emulated):
    machine = emulator.state_machine(NOTHING)

    send(emulator, target(emulator, machine, starting(machine))[0])

    executions = emulator.client("stepfunctions").list_executions
    assert emulator.eventually(lambda: executions(stateMachineArn=machine)["executions"])


def test_a_dead_letter_queue_needs_a_policy_that_admits_eventbridge(emulator: Emulated):
    closed = emulator.queue()
    admitted, open_queue = target(emulator, GONE)
    refused = admitted | {"Id": "refused", "DeadLetterConfig": {"Arn": queue_arn(closed)}}

    send(emulator, refused, admitted)

    assert emulator.received(open_queue)
    assert "Messages" not in emulator.client("sqs").receive_message(QueueUrl=closed)


def test_a_role_that_may_change_the_targets_of_one_rule_can(patched: Emulated):
    arn = patched.client("events").put_rule(Name="changeable", EventPattern=json.dumps({"source": ["s"]}))["RuleArn"]
    allowed = {"Effect": "Allow", "Action": ["events:PutTargets", "events:ListTargetsByRule"], "Resource": arn}
    code = f"""
import boto3
def handler(event, context):
    events = boto3.client("events")
    events.put_targets(Rule="changeable", Targets=[{{"Id": "queue", "Arn": "arn:aws:sqs:{REGION}:{ACCOUNT}:queue"}}])
    return [target["Id"] for target in events.list_targets_by_rule(Rule="changeable")["Targets"]]
"""

    assert patched.invoke(patched.function(code, Role=patched.role(allowed), Timeout=20)) == ["queue"]

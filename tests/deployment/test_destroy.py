"""Emptying a stack before CloudFormation deletes it."""

import io
import threading
import time

import boto3
import pytest
from rich.status import Status

from cli.stack import Stack
from deployment import destroy
from deployment.destroy import delete_bucket, delete_table, drain, empty
from tests.cli.stand_in import REGION, STACK_NAME, StateMachinesStandIn

EVENT = {"detail-type": "Object Created", "detail": {"object": {"key": "uploads/a.jpg", "sequencer": "0A"}}}


@pytest.fixture
def parts(stack: Stack) -> destroy._Parts:
    return destroy._Parts.of(boto3.client("cloudformation", REGION), STACK_NAME)


@pytest.fixture
def running(machines: StateMachinesStandIn) -> str:
    """An execution that does not end by itself."""
    machines.answers["uploads/a.jpg"] = None
    return machines.start("Housekeeping", EVENT)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "_PAUSE", 0.05)


def test_the_rules_are_disabled(stack: Stack, parts: destroy._Parts) -> None:
    eventbridge = boto3.client("events", REGION)

    drain(stack, eventbridge, parts, Status(""))

    assert [rule["State"] for rule in eventbridge.list_rules()["Rules"]] == ["DISABLED"]


def test_a_rule_deleted_by_hand_is_skipped(stack: Stack, parts: destroy._Parts) -> None:
    eventbridge = boto3.client("events", REGION)
    [rule] = parts.rules
    eventbridge.remove_targets(Rule=rule, Ids=["Pipeline"])
    eventbridge.delete_rule(Name=rule)

    drain(stack, eventbridge, parts, Status(""))


def test_running_executions_are_waited_for(
    stack: Stack, parts: destroy._Parts, machines: StateMachinesStandIn, running: str
) -> None:
    ended = threading.Timer(0.1, machines.end, (running, "SUCCEEDED"))
    ended.start()

    drain(stack, boto3.client("events", REGION), parts, Status(""))

    assert ended.finished.is_set()
    assert stack.execution_status(running) == "SUCCEEDED"


def test_executions_that_run_too_long_are_stopped(
    stack: Stack, parts: destroy._Parts, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy, "_LONGEST_WAIT", 0.1)
    began = time.monotonic()

    drain(stack, boto3.client("events", REGION), parts, Status(""))

    assert time.monotonic() - began >= 0.1
    assert stack.execution_status(running) == "ABORTED"


def test_old_versions_and_delete_markers_are_deleted(stack: Stack) -> None:
    s3, bucket = stack.s3, stack.uploads_bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="cat.jpg", Body=b"first")
    s3.put_object(Bucket=bucket, Key="cat.jpg", Body=b"second")
    s3.delete_object(Bucket=bucket, Key="cat.jpg")

    deleted = empty(s3, bucket, Status(""))

    assert deleted == 3
    left = s3.list_object_versions(Bucket=bucket)
    assert not {"Versions", "DeleteMarkers"} & left.keys()


@pytest.mark.slow
def test_more_objects_than_one_call_lists_are_deleted(stack: Stack) -> None:
    for number in range(1001):
        stack.s3.put_object(Bucket=stack.uploads_bucket, Key=f"{number}", Body=b"")

    deleted = empty(stack.s3, stack.uploads_bucket, Status(""))

    assert deleted == 1001
    stack.s3.delete_bucket(Bucket=stack.uploads_bucket)


def test_a_bucket_deleted_by_hand_is_skipped(stack: Stack) -> None:
    stack.s3.delete_bucket(Bucket=stack.uploads_bucket)

    assert empty(stack.s3, stack.uploads_bucket, Status("")) == 0


def test_an_emptied_bucket_is_deleted(stack: Stack) -> None:
    for _ in range(2):  # or was deleted before
        delete_bucket(stack.s3, stack.uploads_bucket)

    assert stack.uploads_bucket not in {bucket["Name"] for bucket in stack.s3.list_buckets()["Buckets"]}


@pytest.mark.parametrize("protected", [False, True])
def test_the_table_is_deleted_even_if_it_is_protected(stack: Stack, protected: bool) -> None:
    table = stack.outputs["ImagesTable"]
    stack.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=protected)

    for _ in range(2):  # or was deleted before
        delete_table(stack.dynamodb, table)

    assert table not in stack.dynamodb.list_tables()["TableNames"]


@pytest.mark.parametrize("answer", [None, "", "y", "yes"], ids=ascii)
def test_nothing_is_deleted_unless_the_name_is_typed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str | None
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("" if answer is None else f"{answer}\n"))
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="cat.jpg", Body=b"image")

    assert destroy.main(["--stack-name", STACK_NAME]) == 1

    printed = capsys.readouterr().out
    assert "Nothing was deleted" in printed
    assert STACK_NAME in printed
    assert stack.uploads_bucket in printed
    assert stack.s3.list_objects_v2(Bucket=stack.uploads_bucket)["KeyCount"] == 1


@pytest.mark.parametrize("mistyped", [["--stack", "another"], ["--stack-nam=another"], ["another"]])
def test_unknown_options_are_refused(stack: Stack, capsys: pytest.CaptureFixture[str], mistyped: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        destroy.main(["--yes", *mistyped])

    assert "another" in capsys.readouterr().err


def test_a_stack_that_does_not_exist_is_named(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert destroy.main(["--stack-name", "no-such-stack"]) == 2

    assert 'stack "no-such-stack" does not exist' in capsys.readouterr().err


def test_an_interrupted_run_says_what_it_leaves(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(destroy, "drain", interrupt)

    assert destroy.main(["--yes", "--stack-name", STACK_NAME]) == 130

    assert "new uploads may not be processed any more. Run it again" in capsys.readouterr().err

"""Starting, stopping and killing the emulator."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from unittest.mock import ANY

import pytest
from ministack.services import stepfunctions

from local.emulator import upstream
from local.emulator.upstream import UpstreamChanged
from tests.local.emulated import NOTHING, Emulated, Launched, launch, queue_arn, waiting

SLEEPING = """
import os, subprocess, time
from pathlib import Path
def handler(event, context):
    Path(event).write_text(str(os.getpid()))
    time.sleep(600)
"""


NOTING = """
def handler(event, context):
    with open({path!r}, "a") as file:
        for record in event["Records"]:
            file.write(record["dynamodb"]["Keys"]["ImageKey"]["S"] + "\\n")
"""


def runs(pid: int) -> bool:
    """Whether a process is running. An orphan that has ended may remain as a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def running_handler(emulated: Emulated, folder: Path) -> int:
    """The process id of a function that runs for ten minutes."""
    function, started = emulated.function(SLEEPING, Timeout=900), folder / "started"
    emulated.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(str(started)))
    return int(emulated.eventually(lambda: started.exists() and started.read_text()))


@pytest.mark.parametrize("signal_sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_port_or_temporary_file(launched: Launched, tmp_path: Path, signal_sent: int):
    emulated = launched.emulated()
    handler = running_handler(emulated, tmp_path)

    launched.process.send_signal(signal_sent)

    assert launched.process.wait(30) == 0
    assert not runs(handler)
    assert not (launched.state / "run").exists()
    socket.create_server(("127.0.0.1", int(emulated.url.rsplit(":", 1)[-1]))).close()


def test_a_stop_does_not_wait_for_a_map(launched: Launched):
    states = {"Map": {"Type": "Map", "ItemsPath": "$.Items", "ItemProcessor": waiting(60), "End": True}}
    emulated = launched.emulated()
    execution = emulated.start(emulated.state_machine({"StartAt": "Map", "States": states}), {"Items": [1, 2]})
    history = emulated.client("stepfunctions").get_execution_history
    emulated.eventually(lambda: history(executionArn=execution)["events"][-1]["type"] == "MapStateEntered")

    launched.process.terminate()

    assert launched.process.wait(10) == 0


def test_functions_end_with_a_killed_launcher(launched: Launched, tmp_path: Path):
    emulated = launched.emulated()
    handler = running_handler(emulated, tmp_path)

    launched.process.kill()

    emulated.eventually(lambda: not runs(handler))


def test_a_kill_loses_no_objects_records_executions_or_resources(launched_patched: Launched):
    launched, emulated = launched_patched, launched_patched.emulated()
    table = {
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "ImageKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "ImageKey", "AttributeType": "S"}],
    }
    stack = emulated.stack({"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}})
    function = emulated.function("def handler(event, context): return 'ran'")
    machine = emulated.state_machine(NOTHING)
    s3, records = emulated.client("s3"), emulated.client("dynamodb")
    s3.create_bucket(Bucket="uploads")
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    launched.wait_until_saved(
        cloudformation="CREATE_COMPLETE", dynamodb=stack["Table"], lambda_=function, stepfunctions=machine, s3="Enabled"
    )

    key = "uploads/a+b %25 \N{CAT}.jpg"
    execution = emulated.run(machine)
    version = s3.put_object(Bucket="uploads", Key=key, Body=b"pixels", ContentType="image/jpeg")["VersionId"]
    for image in ("deleted", "kept"):
        records.put_item(TableName=stack["Table"], Item={"ImageKey": {"S": image}})
    records.delete_item(TableName=stack["Table"], Key={"ImageKey": {"S": "deleted"}})
    again = launched.restart_after_kill()

    stored = again.client("s3").get_object(Bucket="uploads", Key=key)
    assert stored["Body"].read() == b"pixels"
    assert (stored["ContentType"], stored["VersionId"]) == ("image/jpeg", version)
    assert again.client("dynamodb").scan(TableName=stack["Table"])["Items"] == [{"ImageKey": {"S": "kept"}}]
    assert again.ended(execution["executionArn"]) == execution | {"ResponseMetadata": ANY}
    assert again.invoke(function) == "ran"
    stacks = again.client("cloudformation").describe_stacks()["Stacks"]
    assert [described["StackStatus"] for described in stacks] == ["CREATE_COMPLETE"]


def test_an_execution_interrupted_by_a_kill_fails_with_an_event(launched: Launched):
    emulated = launched.emulated()
    machine = emulated.state_machine(waiting(600))
    queue = emulated.watch({"source": ["aws.states"], "detail": {"status": ["FAILED"]}})
    launched.wait_until_saved(stepfunctions=machine, eventbridge=queue_arn(queue), sqs="events.amazonaws.com")

    execution = emulated.start(machine)
    again = launched.restart_after_kill()

    assert again.ended(execution)["status"] == "FAILED"
    queue = queue.replace(emulated.url, again.url)
    assert json.loads(again.received(queue)["Body"])["detail"]["executionArn"] == execution


def test_a_function_is_given_the_changes_after_a_restart(launched_patched: Launched, tmp_path: Path):
    launched, emulated, noted = launched_patched, launched_patched.emulated(), tmp_path / "noted"
    dynamodb = emulated.client("dynamodb")
    table = emulated.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    name = table["TableName"]
    mapping = emulated.client("lambda").create_event_source_mapping(
        EventSourceArn=table["LatestStreamArn"],
        FunctionName=emulated.function(NOTING.format(path=str(noted))),
        StartingPosition="TRIM_HORIZON",
    )
    for number in range(3):
        dynamodb.put_item(TableName=name, Item={"ImageKey": {"S": f"before {number}"}})
    emulated.eventually(lambda: noted.exists() and len(noted.read_text().splitlines()) == 3)
    launched.wait_until_saved(lambda_=f'"{mapping["UUID"]}"', dynamodb=name)

    again = launched.restart_after_kill()
    again.client("dynamodb").put_item(TableName=name, Item={"ImageKey": {"S": "after"}})

    assert again.eventually(lambda: "after" in noted.read_text())


def test_a_reset_survives_a_restart(launched: Launched):
    emulated = launched.emulated()
    machine = emulated.state_machine(NOTHING)
    launched.wait_until_saved(stepfunctions=machine)
    execution = emulated.run(machine)["executionArn"]

    urllib.request.urlopen(f"{emulated.url}/_ministack/reset", data=b"").close()
    again = launched.restart_after_kill()

    stepfunctions = again.client("stepfunctions")
    with pytest.raises(stepfunctions.exceptions.ExecutionDoesNotExist):
        stepfunctions.describe_execution(executionArn=execution)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is not the machine's own address")
def test_only_the_loopback_address_is_bound(emulator: Emulated):
    port = int(emulator.url.rsplit(":", 1)[-1])

    other_address = socket.create_server(("127.0.0.2", port))

    other_address.close()


def test_a_port_in_use_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        process = launch(tmp_path / "state", port=port)

        assert process.wait(30) == 1
    said = (tmp_path / "state.log").read_text()
    assert said == f"local.emulator: port {port} is in use by another program; choose another with --port\n"
    assert not (tmp_path / "state").exists()


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upstream, "VERSION", "1.5.34")

    with pytest.raises(UpstreamChanged, match=r"patches MiniStack 1\.5\.34, but 1\.5\.33 is installed"):
        upstream.require_version()


def test_missing_and_changed_originals_are_named_before_any_patch(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(upstream, "_patches", [])
    untouched = stepfunctions._fail_execution
    for signature in ("_fail_execution(execution, error, cause)", "_gone(a)", "_error_matches(errors)"):
        upstream.patch(stepfunctions, signature)(lambda original, *args: None)

    with pytest.raises(UpstreamChanged) as refusal:
        upstream.install()

    assert str(refusal.value) == (
        "_gone(a) does not exist; _error_matches(errors) is now _error_matches(error_equals, error)"
    )
    assert stepfunctions._fail_execution is untouched

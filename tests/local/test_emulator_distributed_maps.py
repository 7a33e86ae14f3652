"""Step Functions on the emulator: Distributed Map states, and executions that wait for others."""

import json
from uuid import uuid4

import pytest

from tests.local.emulated import ACCOUNT, NOTHING, REGION, Emulated, waiting

EXECUTIONS = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:*"
MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:*"
START = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": MACHINES}
LIST = {
    "Effect": "Allow",
    "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::*",
    "Condition": {"StringLike": {"s3:prefix": "uploads/*"}},
}
WAIT = {
    "Effect": "Allow",
    "Action": ["states:DescribeExecution", "events:PutTargets", "events:PutRule", "events:DescribeRule"],
    "Resource": "*",
}
BATCH_FAILS_WITH_7 = {
    "Type": "Choice",
    "Choices": [{"Condition": "{% 'uploads/7' in $states.input.Items.Key %}", "Next": "Fail"}],
    "Default": "Count",
}


@pytest.fixture
def bucket(emulator: Emulated, plain_ministack: Emulated) -> str:
    """A bucket of ten objects, on both."""
    name = f"bucket-{uuid4().hex}"
    for each in (emulator, plain_ministack):
        each.client("s3").create_bucket(Bucket=name)
        for number in range(10):
            each.client("s3").put_object(Bucket=name, Key=f"uploads/{number}", Body=b"x")
    return name


def mapping(bucket: str, **states: dict) -> dict:
    """A definition that counts the objects of a bucket in batches of four."""
    states = states or {"Count": {}}
    states["Count"] = {"Type": "Pass", "Output": {"Counted": "{% $count($states.input.Items) %}"}, "End": True}
    objects = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:listObjectsV2",
            "Arguments": {"Bucket": bucket, "Prefix": "{% $states.input.Prefix %}"},
        },
        "ItemBatcher": {
            "MaxItemsPerBatch": 4,
            "MaxInputBytesPerBatch": 131072,
            "BatchInput": {"Run": "{% $states.context.Execution.Name %}"},
        },
        "MaxConcurrency": "{% $states.input.AtOnce %}",
        "ToleratedFailurePercentage": "{% $states.input.Tolerated %}",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": next(iter(states)),
            "States": states,
        },
        "Output": "{% $sum($states.result.Counted) %}",
        "End": True,
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Objects", "States": {"Objects": objects}}


def settings(**others: int) -> dict:
    return {"Prefix": "uploads/", "AtOnce": 2, "Tolerated": 0} | others


def map_run(emulated: Emulated, execution: str) -> dict:
    """The description of an execution's Map Run."""
    client = emulated.client("stepfunctions")
    [run] = client.list_map_runs(executionArn=execution)["mapRuns"]
    return client.describe_map_run(mapRunArn=run["mapRunArn"])


def children(emulated: Emulated, execution: str, status: str) -> list[dict]:
    client = emulated.client("stepfunctions")
    return [
        child
        for run in client.list_map_runs(executionArn=execution)["mapRuns"]
        for child in client.list_executions(mapRunArn=run["mapRunArn"], statusFilter=status)["executions"]
    ]


def test_a_jsonata_map_processes_a_listing_in_batches(patched: Emulated, bucket: str):
    machine = patched.state_machine(mapping(bucket), START, LIST)

    execution = patched.run(machine, settings())

    assert (execution["status"], execution["output"]) == ("SUCCEEDED", "10")
    run = map_run(patched, execution["executionArn"])
    assert run["maxConcurrency"] == 2
    assert (run["itemCounts"]["succeeded"], run["executionCounts"]["succeeded"]) == (10, 3)
    inputs = [
        json.loads(patched.client("stepfunctions").describe_execution(executionArn=child["executionArn"])["input"])
        for child in children(patched, execution["executionArn"], "SUCCEEDED")
    ]
    assert sorted(len(batch["Items"]) for batch in inputs) == [2, 4, 4]
    assert {batch["BatchInput"]["Run"] for batch in inputs} == {execution["name"]}


@pytest.mark.parametrize(("tolerated", "status"), [(39, "FAILED"), (40, "SUCCEEDED")])
def test_a_map_fails_if_more_items_than_tolerated_failed(emulator: Emulated, bucket: str, tolerated: int, status: str):
    definition = mapping(bucket, Route=BATCH_FAILS_WITH_7, Fail={"Type": "Fail", "Error": "Seven"})

    execution = emulator.run(emulator.state_machine(definition, START, LIST), settings(Tolerated=tolerated))

    assert execution["status"] == status
    assert map_run(emulator, execution["executionArn"])["itemCounts"]["failed"] == 4
    assert len(children(emulator, execution["executionArn"], "FAILED")) == 1


@pytest.mark.parametrize(("statement", "error"), [(START, "States.ItemReaderFailed"), (LIST, "States.Runtime")])
def test_a_map_needs_to_list_and_to_start_itself(emulator: Emulated, bucket: str, statement: dict, error: str):
    execution = emulator.run(emulator.state_machine(mapping(bucket), statement), settings())

    assert (execution["status"], execution["error"]) == ("FAILED", error)


def test_stopping_a_map_stops_its_children_and_starts_no_others(patched: Emulated, bucket: str):
    slow = {"Type": "Wait", "Seconds": "{% $states.input.Items[0].Key = 'uploads/0' ? 0 : 5 %}", "Next": "Count"}
    execution = patched.start(patched.state_machine(mapping(bucket, Wait=slow), START, LIST), settings(AtOnce=1))
    patched.eventually(lambda: children(patched, execution, "SUCCEEDED") and children(patched, execution, "RUNNING"))

    patched.client("stepfunctions").stop_execution(executionArn=execution)

    patched.eventually(lambda: map_run(patched, execution)["status"] == "ABORTED")
    counts = map_run(patched, execution)["itemCounts"]
    assert {name: counts[name] for name in ("succeeded", "aborted", "pending", "total")} == {
        "succeeded": 4,
        "aborted": 4,
        "pending": 2,
        "total": 10,
    }
    assert len(children(patched, execution, "ABORTED")) == 1


def test_a_running_execution_is_not_started_twice_by_name(patched: Emulated):
    client = patched.client("stepfunctions")
    machine = patched.state_machine(waiting(60))

    first = client.start_execution(stateMachineArn=machine, name="once", input="{}")
    second = client.start_execution(stateMachineArn=machine, name="once", input="{}")

    assert first["executionArn"] == second["executionArn"]
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="once", input='{"Other": true}')
    client.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="once", input="{}")


def waiting_for(machine: str) -> dict:
    """A definition that starts an execution and waits for its end."""
    arguments = {"StateMachineArn": machine, "Input": "{% $states.input %}"}
    resource = "arn:aws:states:::states:startExecution.sync:2"
    task = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    return {"QueryLanguage": "JSONata", "StartAt": "Wait", "States": {"Wait": task}}


def test_the_failure_of_an_execution_waited_for_describes_it(patched: Emulated):
    fail = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}}}
    nested = patched.state_machine(fail)

    execution = patched.run(patched.state_machine(waiting_for(nested), START, WAIT))

    assert execution["error"] == "States.TaskFailed"
    described = json.loads(execution["cause"])
    assert (described["Status"], described["Error"], described["Cause"]) == ("FAILED", "Broken", "on purpose")
    assert described["ExecutionArn"].startswith(nested.replace(":stateMachine:", ":execution:"))


@pytest.mark.parametrize(("may_stop", "seconds", "status"), [(True, 60, "ABORTED"), (False, 1, "SUCCEEDED")])
def test_stopping_an_execution_stops_what_it_waits_for_if_it_may(
    emulator: Emulated, may_stop: bool, seconds: int, status: str
):
    client = emulator.client("stepfunctions")
    nested = emulator.state_machine(waiting(seconds))
    stop = {"Effect": "Allow", "Action": "states:StopExecution", "Resource": EXECUTIONS}
    execution = emulator.start(emulator.state_machine(waiting_for(nested), START, WAIT, *([stop] if may_stop else [])))
    [started] = emulator.eventually(lambda: client.list_executions(stateMachineArn=nested)["executions"])

    client.stop_execution(executionArn=execution)

    assert emulator.ended(started["executionArn"])["status"] == status


def test_waiting_for_an_execution_needs_a_rule(emulator: Emulated):
    nested = emulator.state_machine(NOTHING)
    without = WAIT | {"Action": ["states:DescribeExecution"]}

    execution = emulator.run(emulator.state_machine(waiting_for(nested), START, without))

    assert "is not authorized to perform events:PutTargets" in execution["cause"]


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_a_failed_express_execution_is_no_failed_task(emulator: Emulated, status: str):
    last = {"Type": "Fail", "Error": "Broken"} if status == "FAILED" else {"Type": "Pass", "End": True}
    express = emulator.state_machine({"StartAt": "Last", "States": {"Last": last}}, workflow="EXPRESS")
    definition = waiting_for(express)
    task = definition["States"]["Wait"]
    task["Resource"] = "arn:aws:states:::aws-sdk:sfn:startSyncExecution"
    task["Arguments"]["Input"] = "{% $string($states.input) %}"
    start = {"Effect": "Allow", "Action": "states:StartSyncExecution", "Resource": express}

    execution = emulator.run(emulator.state_machine(definition, start), {"Of": "mine"})
    refused = emulator.run(emulator.state_machine(definition, START), {"Of": "mine"})

    ended = json.loads(execution["output"])
    assert (execution["status"], ended["Status"]) == ("SUCCEEDED", status)
    assert ended.get("Output") == ('{"Of": "mine"}' if status == "SUCCEEDED" else None)
    assert "is not authorized to perform states:StartSyncExecution" in refused["cause"]

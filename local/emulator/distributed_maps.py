"""Step Functions: Distributed Map states, and executions that wait for others.

MiniStack runs a Distributed Map state in JSONPath alone.
"""

import contextvars
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from ministack.core.responses import get_account_id, get_region, json_response, now_iso
from ministack.services import stepfunctions
from ministack.services.stepfunctions import _ExecutionError

from local.emulator.permissions import role_allows
from local.emulator.state_machines import current_execution, machine_of
from local.emulator.upstream import patch

POLL_SECONDS = 0.05
COUNTED = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten")

_counting = threading.Lock()


# ---------------------------------------------------------------------------------------------------- distributed maps


@patch(stepfunctions, "_run_distributed_map(state_def, raw_input, effective, iterator, execution, ctx)")
def run_jsonata_map(
    original: Callable,
    state_def: dict,
    raw_input: object,
    effective: object,
    iterator: dict,
    execution: dict,
    ctx: dict,
) -> tuple:
    """A Distributed Map state evaluates JSONata, batches its items, and fails once too many of them have failed.

    Its children see neither the parent's variables nor its context. Its role must allow the listing and StartExecution
    of the state machine itself. When the execution is stopped, so are its children.
    """
    if stepfunctions._state_query_language(state_def, ctx) != "JSONata":
        return original(state_def, raw_input, effective, iterator, execution, ctx)

    def evaluate(template: object, result: object = None) -> object:
        return stepfunctions._apply_jsonata_template(template, raw_input, ctx, result=result)

    batches = list(_batches(_items(execution, state_def["ItemReader"], evaluate), state_def["ItemBatcher"], evaluate))
    if not role_allows(machine_of(execution)["roleArn"], "states:StartExecution", execution["stateMachineArn"]):
        raise _ExecutionError("States.Runtime", "the role may not start the child executions of its Map state")
    run = _new_run(execution, state_def, evaluate, batches)
    with ThreadPoolExecutor(run["maxConcurrency"] or 64) as pool:
        for batch in batches:
            pool.submit(contextvars.copy_context().run, _process, run, batch, iterator, execution, ctx)
    _end(run, execution)
    results = [json.loads(child["output"]) for child in _children(run) if child["status"] == "SUCCEEDED"]
    output = evaluate(state_def["Output"], results) if "Output" in state_def else results
    return output, stepfunctions._next_or_end(state_def)


def _items(execution: dict, reader: dict, evaluate: Callable) -> list[dict]:
    arguments = evaluate(reader["Arguments"])
    bucket = f"arn:aws:s3:::{arguments['Bucket']}"
    if not role_allows(
        machine_of(execution)["roleArn"], "s3:ListBucket", bucket, s3_prefix=arguments.get("Prefix", "")
    ):
        raise _ExecutionError("States.ItemReaderFailed", f"the role may not s3:ListBucket {bucket}")
    items: list[dict] = stepfunctions._read_map_items(reader | {"Arguments": arguments}, {}, {})
    return items


def _batches(items: list[dict], batcher: dict, evaluate: Callable) -> Iterator[dict]:
    """The inputs of the children: at most MaxItemsPerBatch items and MaxInputBytesPerBatch bytes each."""
    common = {"BatchInput": evaluate(batcher["BatchInput"])}
    batch: list[dict] = []
    for item in items:
        size = len(json.dumps(common | {"Items": [*batch, item]}).encode())
        if batch and (len(batch) == batcher["MaxItemsPerBatch"] or size > batcher["MaxInputBytesPerBatch"]):
            yield common | {"Items": batch}
            batch = []
        batch.append(item)
    if batch:
        yield common | {"Items": batch}


def _new_run(execution: dict, state_def: dict, evaluate: Callable, batches: list[dict]) -> dict:
    name = execution["stateMachineArn"].rsplit(":", 1)[-1]
    label = state_def.get("Label") or str(uuid4())
    arn = f"arn:aws:states:{get_region()}:{get_account_id()}:mapRun:{name}/{label}:{uuid4()}"
    counts = dict.fromkeys(COUNTED, 0)
    run = {
        "mapRunArn": arn,
        "executionArn": execution["executionArn"],
        "status": "RUNNING",
        "startDate": now_iso(),
        "maxConcurrency": int(evaluate(state_def.get("MaxConcurrency", 0))),
        "toleratedFailurePercentage": float(evaluate(state_def.get("ToleratedFailurePercentage", 0))),
        "toleratedFailureCount": 0,
        "itemCounts": counts | dict.fromkeys(("total", "pending"), sum(len(batch["Items"]) for batch in batches)),
        "executionCounts": counts | dict.fromkeys(("total", "pending"), len(batches)),
        "redriveCount": 0,
        "_stateMachineArn": f"{execution['stateMachineArn']}/{label}",
    }
    stepfunctions._map_runs[arn] = run
    return run


def _process(run: dict, batch: dict, iterator: dict, execution: dict, ctx: dict) -> None:
    """Run a child, unless the execution has been stopped or too many items have failed."""
    if execution["status"] != "RUNNING" or _too_many_failed(run):
        return
    child = _begin(run, batch)
    _count(run, batch, "pending", "running")
    context = {
        "QueryLanguage": ctx["QueryLanguage"],
        "Execution": {
            "Id": child["executionArn"],
            "Input": batch,
            "Name": child["name"],
            "StartTime": child["startDate"],
        },
        "StateMachine": ctx["StateMachine"],
        "variables": {},
    }
    try:
        output = stepfunctions._run_sub_machine(iterator["States"], iterator["StartAt"], batch, child, context)
        ended = {"status": "SUCCEEDED", "output": json.dumps(output)}
    except _ExecutionError as error:
        ended = {"status": "FAILED", "error": error.error, "cause": error.cause}
    if child["status"] == "RUNNING":
        child.update(ended, stopDate=now_iso())
        stepfunctions._emit_execution_status_event(child)
    _count(run, batch, "running", child["status"].lower())


def _begin(run: dict, batch: dict) -> dict:
    """Start a child."""
    name = str(uuid4())
    machine = run["_stateMachineArn"]
    child = {
        "executionArn": f"{machine.replace(':stateMachine:', ':execution:')}:{name}",
        "stateMachineArn": machine,
        "name": name,
        "status": "RUNNING",
        "startDate": now_iso(),
        "stopDate": None,
        "input": json.dumps(batch),
        "output": None,
        "error": None,
        "cause": None,
        "events": [],
        "mapRunArn": run["mapRunArn"],
        "testCase": "",
        "mockAttempts": {},
    }
    stepfunctions._executions[child["executionArn"]] = child
    stepfunctions._emit_execution_status_event(child)
    return child


def _count(run: dict, batch: dict, before: str, after: str) -> None:
    with _counting:
        for counts, count in ((run["itemCounts"], len(batch["Items"])), (run["executionCounts"], 1)):
            counts[before] -= count
            counts[after] += count


def _too_many_failed(run: dict) -> bool:
    counts = run["itemCounts"]
    failed: int = counts["failed"]
    return failed * 100 > run["toleratedFailurePercentage"] * counts["total"]


def _end(run: dict, execution: dict) -> None:
    """Set the outcome of a run whose children have ended. Raises the error of the state."""
    stopped, failed = execution["status"] != "RUNNING", _too_many_failed(run)
    run.update(status="ABORTED" if stopped else "FAILED" if failed else "SUCCEEDED", stopDate=now_iso())
    if stopped:
        raise _ExecutionError("States.Runtime", f"the execution is {execution['status']}")
    if failed:
        raise _ExecutionError(
            "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
        )


def _children(run: dict) -> list[dict]:
    executions = list(stepfunctions._executions.values())
    return [child for child in executions if child.get("mapRunArn") == run["mapRunArn"]]


@patch(stepfunctions, "_stop_execution(data)")
def stop_the_children(original: Callable, data: dict) -> tuple:
    """Stopping an execution stops the child executions of its Map Runs."""
    answer = original(data)
    for run in list(stepfunctions._map_runs.values()):
        if run["executionArn"] == data.get("executionArn") and run["status"] == "RUNNING":
            for child in _children(run):
                if child["status"] == "RUNNING":
                    child.update(status="ABORTED", stopDate=now_iso())
                    stepfunctions._emit_execution_status_event(child)
    return answer


# --------------------------------------------------------------------------------------------------- nested executions


@patch(stepfunctions, "_start_execution(data)")
def start_once(original: Callable, data: dict) -> tuple:
    """StartExecution with the name and the input of an execution that is running returns that execution."""
    arn = f"{data.get('stateMachineArn', '').replace(':stateMachine:', ':execution:')}:{data.get('name')}"
    running = stepfunctions._executions.get(arn)
    if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
        return json_response({"executionArn": arn, "startDate": running["startDate"]})
    return original(data)


@patch(stepfunctions, "_invoke_nested_start_execution_sync(resource, input_data)")
def wait_for_the_execution(_original: Callable, resource: str, input_data: dict) -> dict:
    """startExecution.sync:2 waits for an execution like any other. If it fails, States.TaskFailed describes it.

    If the waiting execution is stopped, so is the other one, if the role allows states:StopExecution.
    """
    nested_arn = stepfunctions._invoke_nested_start_execution(resource, input_data)["ExecutionArn"]
    nested = stepfunctions._executions[nested_arn]
    waiting = current_execution()
    while nested["status"] == "RUNNING":
        if waiting and waiting["status"] != "RUNNING":
            if role_allows(machine_of(waiting)["roleArn"], "states:StopExecution", nested_arn):
                stepfunctions._stop_execution({"executionArn": nested_arn})
            raise _ExecutionError("States.Runtime", f"the execution is {waiting['status']}")
        time.sleep(POLL_SECONDS)
    _status, _headers, body = stepfunctions._describe_execution({"executionArn": nested_arn})
    described = {name[0].upper() + name[1:]: value for name, value in json.loads(body).items()}
    if nested["status"] != "SUCCEEDED":
        raise _ExecutionError("States.TaskFailed", json.dumps(described))
    return described | {"Output": json.loads(described["Output"])}


@patch(stepfunctions, "_invoke_aws_sdk_integration(resource, input_data)")
def run_an_express_execution(original: Callable, resource: str, input_data: dict) -> dict:
    """aws-sdk:sfn:startSyncExecution waits for an Express execution, and succeeds however that ends."""
    if not resource.endswith(":aws-sdk:sfn:startSyncExecution"):
        return original(resource, input_data)
    arn = stepfunctions._invoke_nested_start_execution(resource, input_data)["ExecutionArn"]
    execution = stepfunctions._executions[arn]
    while execution["status"] == "RUNNING":
        time.sleep(POLL_SECONDS)
    ended = {"ExecutionArn": arn, "Status": execution["status"]}
    if execution["status"] == "SUCCEEDED":
        return ended | {"Output": execution["output"]}
    return ended | {"Error": execution.get("error"), "Cause": execution.get("cause")}

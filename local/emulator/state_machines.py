"""Step Functions: roles, limits, timeouts, retries, variables and error names."""

import contextvars
import json
import random
import threading
from collections.abc import Callable, Iterator

from ministack.core.responses import error_response_json, get_account_id, get_region, now_iso
from ministack.services import dynamodb, lambda_svc, stepfunctions

from local.emulator.permissions import role_allows
from local.emulator.upstream import patch

MAX_DATA_BYTES = 262_144  # of a task's input or output, in UTF-8
# Neither States.ALL nor States.TaskFailed matches these, as Step Functions documents.
TERMINAL_ERRORS = ("States.DataLimitExceeded", "States.Runtime")
# How optimized integrations prefix the errors of their services.
ERROR_PREFIXES = {"lambda": "Lambda", "dynamodb": "DynamoDB", "sns": "SNS", "sqs": "SQS", "states": "StepFunctions"}

_execution = contextvars.ContextVar("execution", default=None)


# ---------------------------------------------------------------------------------------------------------- permissions


@patch(stepfunctions, "_execute_task(state_def, raw_input, execution, ctx)")
def remember_the_execution(original: Callable, state_def: dict, raw_input: object, execution: dict, ctx: dict) -> tuple:
    """Keep the execution for `enforce_role_and_limits`, which needs its state machine's role and its status."""
    _execution.set(execution)
    return original(state_def, raw_input, execution, ctx)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def enforce_role_and_limits(original: Callable, resource: str, input_data: object) -> object:
    """A task can call only what its role allows, with at most 256 KiB of data, and only while its execution runs."""
    execution = _execution.get()
    if execution is not None:
        if execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Runtime", f"the execution is {execution['status']}")
        require_permission(execution, resource, input_data)
    require_size(input_data)
    result = original(resource, input_data)
    require_size(result)
    return result


def current_execution() -> dict | None:
    """The execution whose task runs in this thread."""
    return _execution.get()


def machine_of(execution: dict) -> dict:
    """The state machine of an execution. That of a Map Run's child is named after it: `<ARN>/<label>`."""
    machine: dict = stepfunctions._state_machines[execution["stateMachineArn"].split("/")[0]]
    return machine


def require_permission(execution: dict, resource: str, arguments: dict) -> None:
    """Raise AWS's error if the state machine's role does not allow the call that the task is about to make."""
    role = machine_of(execution)["roleArn"]
    for action, target in (permission(resource, arguments), *waiting_permissions(resource, arguments)):
        if not role_allows(role, action, target):
            service = permission(resource, arguments)[0].split(":")[0]
            name = "AuthorizationErrorException" if service == "sns" else "AccessDeniedException"
            raise stepfunctions._ExecutionError(
                f"{ERROR_PREFIXES[service]}.{name}", f"{role} is not authorized to perform {action} on {target}"
            )


def permission(resource: str, arguments: dict) -> tuple[str, str]:
    """The action and the ARN that a task's role must allow."""
    service, _, call = resource.removeprefix("arn:aws:states:::").partition(":")
    call = call.split(".")[0]
    action = f"{service}:{call[:1].upper()}{call[1:]}"
    prefix = f"{get_region()}:{get_account_id()}"
    if resource.endswith(":aws-sdk:sfn:startSyncExecution"):
        return "states:StartSyncExecution", arguments.get("StateMachineArn", "*")
    match service:
        case "lambda":
            function = arguments.get("FunctionName", "")
            target = function if function.startswith("arn:") else f"arn:aws:lambda:{prefix}:function:{function}"
            return "lambda:InvokeFunction", target
        case "dynamodb":
            table = arguments.get("TableName", "")
            return action, table if table.startswith("arn:") else f"arn:aws:dynamodb:{prefix}:table/{table}"
        case "sns":
            return action, arguments.get("TopicArn", "*")
        case "sqs":
            return action, f"arn:aws:sqs:{prefix}:{arguments.get('QueueUrl', '').rsplit('/', 1)[-1]}"
        case "states":
            return action, arguments.get("StateMachineArn", "*")
    # Allowing the call would hide a missing permission.
    raise stepfunctions._ExecutionError(
        "States.Runtime", f"local.emulator.state_machines does not know which permission {resource} needs"
    )


def waiting_permissions(resource: str, arguments: dict) -> Iterator[tuple[str, str]]:
    """What a role must also allow to wait for an execution: to describe it, and to be told of its end by a rule."""
    if ":states:startExecution.sync" in resource:
        machine = arguments.get("StateMachineArn", "*")
        yield "states:DescribeExecution", f"{machine.replace(':stateMachine:', ':execution:')}:name"
        rule = (
            f"arn:aws:events:{get_region()}:{get_account_id()}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
        )
        for action in ("PutTargets", "PutRule", "DescribeRule"):
            yield f"events:{action}", rule


# --------------------------------------------------------------------------------------------------------------- limits


def require_size(data: object) -> None:
    """Raise States.DataLimitExceeded for data over 256 KiB."""
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_DATA_BYTES:
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task has data with a size exceeding the maximum of {MAX_DATA_BYTES} bytes.",
        )


@patch(stepfunctions, "_error_matches(error_equals, error)")
def match_terminal_errors_by_name(original: Callable, error_equals: list[str], error: str) -> bool:
    """Only its own name in ErrorEquals matches an error that Step Functions documents as terminal."""
    if error in TERMINAL_ERRORS:
        return error in error_equals
    return original(error_equals, error)


@patch(stepfunctions, "_find_matching_retrier(retriers, error, retry_counts)")
def limit_and_jitter_delays(
    original: Callable, retriers: list[dict], error: str, retry_counts: dict
) -> tuple[dict | None, int]:
    """MaxDelaySeconds limits the growing delay, and JitterStrategy FULL picks a random delay up to it.

    MiniStack itself waits at most 60 seconds between two attempts. That remains.
    """
    retrier, index = original(retriers, error, retry_counts)
    if retrier is None:
        return None, index
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retry_counts.get(index, 0)
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        delay = random.uniform(0, delay)
    return retrier | {"IntervalSeconds": delay, "BackoffRate": 1.0}, index


@patch(stepfunctions, "_run_execution(exec_arn)")
def enforce_the_state_machines_timeout(original: Callable, exec_arn: str) -> None:
    """The state machine's own TimeoutSeconds ends an execution as TIMED_OUT, and EventBridge receives that status."""
    execution = stepfunctions._executions[exec_arn]
    definition = json.loads(stepfunctions._state_machines[execution["stateMachineArn"]]["definition"])
    limits = [definition["TimeoutSeconds"]] if "TimeoutSeconds" in definition else []
    if is_express(execution):
        limits.append(EXPRESS_SECONDS * stepfunctions._SFN_WAIT_SCALE)  # as fast as the waits that it has to outlast
    if not limits:
        original(exec_arn)
        return
    in_this_context = contextvars.copy_context().run
    timer = threading.Timer(min(limits), in_this_context, (time_out, execution))
    timer.daemon = True
    timer.start()
    original(exec_arn)
    timer.cancel()


def time_out(execution: dict) -> None:
    """End an execution that is still running. Its current task's result is ignored, and it starts no further task."""
    if execution["status"] == "RUNNING":
        execution.update(status="TIMED_OUT", error="States.Timeout", stopDate=now_iso())
        stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
        stepfunctions._emit_execution_status_event(execution)


@patch(stepfunctions, "_fail_execution(execution, error, cause)")
def keep_the_first_outcome(original: Callable, execution: dict, error: str, cause: str) -> None:
    """An aborted or timed-out execution keeps its status when its last task fails."""
    if execution["status"] == "RUNNING":
        original(execution, error, cause)


# ---------------------------------------------------------------------------------------------------- Express workflows

EXPRESS_SECONDS = 300  # after which Step Functions ends an Express execution


def is_express(execution: dict) -> bool:
    """Whether an execution is one of an Express workflow."""
    machine = stepfunctions._state_machines.get(execution.get("stateMachineArn"), {})
    return machine.get("type") == "EXPRESS"


@patch(stepfunctions, "_emit_execution_status_event(execution)")
def keep_silent_about_express_executions(original: Callable, execution: dict) -> None:
    """EventBridge gets status changes of Standard workflows alone."""
    if not is_express(execution):
        original(execution)


def refuse_express_executions(original: Callable, data: dict) -> tuple:
    """Step Functions cannot be asked about an Express execution, nor stop one."""
    execution = stepfunctions._executions.get(data.get("executionArn"))
    if execution and is_express(execution):
        return error_response_json("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'", 400)
    return original(data)


for operation in ("_describe_execution", "_stop_execution", "_get_execution_history"):
    patch(stepfunctions, f"{operation}(data)")(refuse_express_executions)


@patch(stepfunctions, "_list_executions(data)")
def list_no_express_executions(original: Callable, data: dict) -> tuple:
    """Step Functions does not list the executions of an Express workflow."""
    if is_express(data):
        return error_response_json(
            "StateMachineTypeNotSupported", "This operation is not supported by this type of state machine", 400
        )
    return original(data)


# ------------------------------------------------------------------------------------------------ variables and results


@patch(stepfunctions, "_apply_state_assign(state_def, raw_input, ctx, result, error_output)")
def assign_all_at_once(_original: Callable, state_def: dict, raw_input: object, ctx: dict, **outcome: object) -> None:
    """Every expression of an Assign sees the variables as they were before the state."""
    values = {
        name: stepfunctions._apply_jsonata_template(expression, raw_input, ctx, **outcome)
        for name, expression in state_def.get("Assign", {}).items()
    }
    ctx["variables"].update(values)


@patch(stepfunctions, "_apply_output_path(state_def, data, ctx)")
def evaluate_the_output_of_succeed(
    original: Callable, state_def: dict, data: object, ctx: dict | None = None
) -> object:
    """A Succeed state evaluates its Output. MiniStack evaluates that of other states only."""
    if state_def.get("Type") == "Succeed" and "Output" in state_def:
        return stepfunctions._apply_jsonata_template(state_def["Output"], data, ctx)
    return original(state_def, data, ctx)


_PUBLISH = "arn:aws:states:::sns:publish"


@patch(stepfunctions._SERVICE_DISPATCH, f"{_PUBLISH}(resource, input_data)")
def publish_message_attributes(original: Callable, resource: str, input_data: dict) -> dict:
    """sns:publish sends MessageAttributes. MiniStack reads them only in the notation of SNS's query protocol."""
    flat = {name: value for name, value in input_data.items() if name != "MessageAttributes"}
    for number, (name, attribute) in enumerate(input_data.get("MessageAttributes", {}).items(), start=1):
        entry = f"MessageAttributes.entry.{number}"
        flat[f"{entry}.Name"] = name
        flat |= {f"{entry}.Value.{field}": value for field, value in attribute.items()}
    return original(resource, flat)


@patch(stepfunctions, "_invoke_nested_start_execution(resource, input_data)")
def prefix_errors_of_start_execution(original: Callable, resource: str, input_data: dict) -> dict:
    """An error of states:startExecution is named like StepFunctions.ExecutionAlreadyExistsException."""
    try:
        return original(resource, input_data)
    except stepfunctions._ExecutionError as error:
        name = error.error.removesuffix("Exception")
        raise stepfunctions._ExecutionError(f"StepFunctions.{name}Exception", error.cause) from None


@patch(lambda_svc, "_throttle_response(reason_code, msg, retry_after)")
def name_the_throttle(original: Callable, *args: object, **kwargs: object) -> dict:
    """A throttled invocation reaches Retry and Catch as Lambda.TooManyRequestsException."""
    response = original(*args, **kwargs)
    body = response["body"]
    body.update(errorType="Lambda.TooManyRequestsException", errorMessage=body["message"])
    return response


# ---------------------------------------------------------------------------------------------------- concurrent writes

# MiniStack runs each execution in a thread of its own, which writes to DynamoDB without going through the event loop
# that serializes HTTP requests.
_write_lock = threading.RLock()


def write_atomically(original: Callable, data: dict) -> tuple:
    """No other write happens between the check of a write's condition and the write itself."""
    with _write_lock:
        return original(data)


for operation in ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items"):
    patch(dynamodb, f"{operation}(data)")(write_atomically)

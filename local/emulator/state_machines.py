"""Where MiniStack's Step Functions is kinder than AWS's: roles, limits, timeouts, retries, errors."""

import contextvars
import json
import random
import threading
from collections.abc import Callable

from ministack.core.responses import get_account_id, get_region, now_iso
from ministack.services import lambda_svc, stepfunctions

from local.emulator.permissions import role_allows
from local.emulator.upstream import patch

MAX_DATA_BYTES = 262_144  # a state's or task's input or output, in UTF-8
# Documented as beyond the reach of States.ALL and States.TaskFailed.
TERMINAL_ERRORS = ("States.DataLimitExceeded", "States.Runtime")
# The actions of aws-sdk integrations are named by SDK, those of policies by service.
POLICY_PREFIXES = {"sfn": "states", "eventbridge": "events"}

_execution = contextvars.ContextVar("execution", default=None)


@patch(stepfunctions, "_execute_task(state_def, raw_input, execution, ctx)")
def remember_the_execution(original: Callable, state_def: dict, raw_input: object, execution: dict, ctx: dict) -> tuple:
    """A task acts for its execution: with the role of its state machine, and only while it runs."""
    _execution.set(execution)
    return original(state_def, raw_input, execution, ctx)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def invoke_within_limits(original: Callable, resource: str, input_data: object) -> object:
    """A task is refused what the role doesn't allow and what exceeds 256 KiB, and ends with its execution."""
    execution = _execution.get()
    if execution is not None:
        if execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Runtime", f"the execution is {execution['status']}")
        require_permission(execution, resource, input_data)
    require_size(input_data)
    result = original(resource, input_data)
    require_size(result)
    return result


def require_permission(execution: dict, resource: str, arguments: object) -> None:
    """Raise AWS's error when the state machine's role doesn't allow the call that the task is about to make."""
    needed = permission(resource, arguments if isinstance(arguments, dict) else {})
    if needed is None:
        return
    action, target = needed
    role = stepfunctions._state_machines[execution["stateMachineArn"]]["roleArn"]
    if not role_allows(role, action, target):
        service = resource.removeprefix("arn:aws:states:::").removeprefix("aws-sdk:").split(":")[0]
        name = {"sns": "SNS.AuthorizationErrorException"}.get(service, f"{service.capitalize()}.AccessDeniedException")
        raise stepfunctions._ExecutionError(name, f"{role} is not authorized to perform {action} on {target}")


def permission(resource: str, arguments: dict) -> tuple[str, str] | None:
    """The action and the ARN that a task's role must allow; None for services this project's tasks don't call."""
    prefix = f"{get_region()}:{get_account_id()}"
    if ":function:" in resource:
        return "lambda:InvokeFunction", resource
    service, _, call = resource.removeprefix("arn:aws:states:::").removeprefix("aws-sdk:").partition(":")
    call = call.split(".")[0]
    action = f"{POLICY_PREFIXES.get(service, service)}:{call[:1].upper()}{call[1:]}"
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
        case "events" | "eventbridge":
            return action, f"arn:aws:events:{prefix}:event-bus/default"
        case "states" | "sfn":
            return action, arguments.get("StateMachineArn") or arguments.get("ExecutionArn", "*")
    return None


def require_size(data: object) -> None:
    """Raise States.DataLimitExceeded for data over 256 KiB."""
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_DATA_BYTES:
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task has data with a size exceeding the maximum of {MAX_DATA_BYTES} bytes.",
        )


@patch(stepfunctions, "_error_matches(error_equals, error)")
def keep_terminal_errors_terminal(original: Callable, error_equals: list[str], error: str) -> bool:
    """Neither States.ALL nor States.TaskFailed catches or retries an error that AWS calls terminal."""
    if error in TERMINAL_ERRORS:
        return error in error_equals
    return original(error_equals, error)


@patch(stepfunctions, "_find_matching_retrier(retriers, error, retry_counts)")
def delay_as_told(original: Callable, retriers: list[dict], error: str, retry_counts: dict) -> tuple[dict | None, int]:
    """MaxDelaySeconds caps the growing delay, and JitterStrategy FULL takes a random part of it."""
    retrier, index = original(retriers, error, retry_counts)
    if retrier is None:
        return None, index
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retry_counts.get(index, 0)
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        delay = random.uniform(0, delay)  # noqa: S311 (not for secrets)
    return retrier | {"IntervalSeconds": delay, "BackoffRate": 1.0}, index


@patch(stepfunctions, "_run_execution(exec_arn)")
def run_until_timeout(original: Callable, exec_arn: str) -> None:
    """The state machine's own TimeoutSeconds ends an execution as TIMED_OUT, which EventBridge tells."""
    execution = stepfunctions._executions[exec_arn]
    definition = json.loads(stepfunctions._state_machines[execution["stateMachineArn"]]["definition"])
    if "TimeoutSeconds" not in definition:
        original(exec_arn)
        return
    end = contextvars.copy_context().run
    timer = threading.Timer(definition["TimeoutSeconds"], end, (time_out, execution))
    timer.daemon = True
    timer.start()
    original(exec_arn)
    timer.cancel()


def time_out(execution: dict) -> None:
    """End an execution that still runs. A task under way goes on, unheard, until it tries its next call."""
    if execution["status"] == "RUNNING":
        execution.update(status="TIMED_OUT", error="States.Timeout", stopDate=now_iso())
        stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
        stepfunctions._emit_execution_status_event(execution)


@patch(stepfunctions, "_fail_execution(execution, error, cause)")
def fail_once(original: Callable, execution: dict, error: str, cause: str) -> None:
    """An execution that was aborted or timed out stays so, whatever its last task says."""
    if execution["status"] == "RUNNING":
        original(execution, error, cause)


@patch(lambda_svc, "_throttle_response(reason_code, msg, retry_after)")
def name_the_throttle(original: Callable, *args: object, **kwargs: object) -> dict:
    """A throttled invocation reaches Retry and Catch as Lambda.TooManyRequestsException."""
    response = original(*args, **kwargs)
    body = response["body"]
    body.update(errorType="Lambda.TooManyRequestsException", errorMessage=body["message"])
    return response


def publish_with_attributes(original: Callable, resource: str, input_data: dict) -> dict:
    """sns:publish keeps its MessageAttributes, which MiniStack reads only in the Query protocol's spelling."""
    flat = {name: value for name, value in input_data.items() if name != "MessageAttributes"}
    for number, (name, attribute) in enumerate(input_data.get("MessageAttributes", {}).items(), start=1):
        entry = f"MessageAttributes.entry.{number}"
        flat[f"{entry}.Name"] = name
        flat |= {f"{entry}.Value.{field}": value for field, value in attribute.items()}
    return original(resource, flat)


_PUBLISH = "arn:aws:states:::sns:publish"
patch(stepfunctions._SERVICE_DISPATCH, f"{_PUBLISH}(resource, input_data)")(publish_with_attributes)


@patch(stepfunctions, "_invoke_aws_sdk_integration(resource, input_data)")
def publish_by_sdk(original: Callable, resource: str, input_data: dict) -> dict:
    """The SDK integration of SNS's Publish is the optimized one by another name."""
    if resource.startswith("arn:aws:states:::aws-sdk:sns:publish"):
        return stepfunctions._SERVICE_DISPATCH[_PUBLISH](resource, input_data)
    return original(resource, input_data)

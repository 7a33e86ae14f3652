"""Every call to a service: counted for benchmarks, and failed on demand for tests.

    GET    /_local/usage    {caller: {action: requests}} since the start or the last DELETE
    DELETE /_local/usage    begin again

A caller is a function's name, `states` for the tasks of state machines, or `client`. An action is named as IAM policies
name it. What Lambda would bill is in the REPORT lines of the functions' logs.

    POST   /_local/faults?at=dynamodb:UpdateItem&fault=throttle&times=3
    POST   /_local/faults?at=lambda:*ThumbnailsFunction*&fault=crash
    GET    /_local/faults      list the faults that are still to come
    DELETE /_local/faults      remove all faults

`at` is an action as IAM policies name it (S3's HeadObject is s3:GetObject), states:StartExecution for starts by
EventBridge and by state machines, or `lambda:` and a function's name. Wildcards are allowed. `fault` is throttle, error
or denied; for functions also crash (before the handler runs), crash-late or timeout (after the handler has done its
work), or malformed (a result that is not the handler's); for Rekognition also slow (it succeeds after SLOW_SECONDS).
`times` defaults to 1.

    POST   /_local/faults?at=express:dynamodb:PutItem&fault=end-late

An execution of an Express workflow reaches its time limit: just before it makes a call (end), or just after it
(end-late).
"""

import asyncio
import fnmatch
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ministack import app
from ministack.core.iam_actions import extract_iam_action
from ministack.core.iam_evaluator import resolve_caller_identity
from ministack.core.responses import error_response_json, error_response_xml, json_response
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc, stepfunctions

from local.emulator.state_machines import ERROR_PREFIXES, current_execution, is_express, permission, time_out
from local.emulator.upstream import patch

USAGE_PATH, FAULTS_PATH = "/_local/usage", "/_local/faults"
SLOW_SECONDS = 3
SERVICE_FAULTS = ("throttle", "error", "denied")
FAULTS = {
    "lambda": (*SERVICE_FAULTS, "crash", "crash-late", "timeout", "malformed"),
    "rekognition": (*SERVICE_FAULTS, "slow"),
    "express": ("end", "end-late"),
}
# HTTP status and error code.
USUAL_ANSWERS = {
    "throttle": (400, "ThrottlingException"),
    "error": (500, "InternalServerError"),
    "denied": (400, "AccessDeniedException"),
}
ANSWERS = {
    "dynamodb": USUAL_ANSWERS | {"throttle": (400, "ProvisionedThroughputExceededException")},
    "s3": {"throttle": (503, "SlowDown"), "error": (500, "InternalError"), "denied": (403, "AccessDenied")},
    "sns": {"throttle": (400, "Throttled"), "error": (500, "InternalError"), "denied": (403, "AuthorizationError")},
}
FUNCTION_ERRORS = {
    "crash": ("Runtime.ExitError", "Runtime exited with error: signal: SIGKILL"),
    "crash-late": ("Runtime.ExitError", "Runtime exited with error: signal: SIGKILL"),
    "timeout": ("Sandbox.Timedout", "Task timed out"),
    "error": ("Lambda.ServiceException", "Lambda encountered an internal error"),
    "denied": ("Lambda.AccessDeniedException", "the caller is not authorized to perform lambda:InvokeFunction"),
}
MESSAGE = f"a fault requested at {FAULTS_PATH}"


@dataclass
class Fault:
    """One fault, and how many more times it happens."""

    at: str
    fault: str
    times: int


_faults: list[Fault] = []
_usage: defaultdict[str, Counter] = defaultdict(Counter)
_lock = threading.Lock()


def count(caller: str, action: str) -> None:
    """Count one request."""
    with _lock:
        _usage[caller][action] += 1


def caller_of(headers: dict) -> str:
    """The function that signed a request, or `client`."""
    identity = resolve_caller_identity(extract_access_key_id(headers) or "") or {}
    arn = identity.get("userArn", "")
    return arn.rsplit("/", 1)[-1] if ":assumed-role/" in arn else "client"


def take(call: str) -> str | None:
    """The fault that this call meets, if any. It counts as having happened."""
    with _lock:
        for fault in _faults:
            if fnmatch.fnmatchcase(call, fault.at):
                fault.times -= 1
                if fault.times == 0:
                    _faults.remove(fault)
                return fault.fault
    return None


def answer(service: str, fault: str) -> tuple[int, str]:
    """The HTTP status and the error code of a service's fault."""
    return ANSWERS.get(service, USUAL_ANSWERS)[fault]


@patch(app, "_handle_pre_body_request(method, path, headers, query_params, request_id)")
async def manage(original: Callable, method: str, path: str, headers: dict, query: dict, request_id: str) -> tuple:
    """The endpoints of benchmarks and tests. The faults are in place of AWS's Fault Injection Service."""
    if path == USAGE_PATH:
        with _lock:
            if method == "DELETE":
                _usage.clear()
            return json_response(_usage)
    if path != FAULTS_PATH:
        return await original(method, path, headers, query, request_id)
    with _lock:
        if method == "DELETE":
            _faults.clear()
        if method == "POST":
            at, fault, times = query["at"][0], query["fault"][0], int(query.get("times", ["1"])[0])
            possible = FAULTS.get(at.split(":")[0], SERVICE_FAULTS)
            if fault not in possible or times < 1:
                return json_response({"message": f"fault must be one of {', '.join(possible)}, times at least 1"}, 400)
            _faults.append(Fault(at, fault, times))
        return json_response({"faults": [asdict(fault) for fault in _faults]})


@patch(app, "_dispatch_service_request(method, path, headers, body, query_params, request_id)")
async def meet_requests(
    original: Callable, method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str
) -> tuple:
    """A request to a service is counted, and fails instead of being served if a fault is requested."""
    parameters = app._routing_params(method, path, headers, body, query)
    service = app.detect_service(method, path, headers, parameters)
    action = extract_iam_action(service, method, path, headers, body, parameters) or f"{service}:?"
    count(caller_of(headers), action)
    fault = take(action)
    if fault == "slow":
        await asyncio.sleep(SLOW_SECONDS)
    elif fault:
        status, code = answer(service, fault)
        respond = error_response_xml if service in ("s3", "sns") else error_response_json
        return respond(code, MESSAGE, status)
    return await original(method, path, headers, body, query, request_id)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def meet_tasks(original: Callable, resource: str, input_data: dict) -> object:
    """A task's call is counted, and fails on demand. One that invokes a function fails by `fail_functions`."""
    action, target = permission(resource, input_data)
    count("states", action)
    service = action.split(":")[0]
    execution = current_execution()
    if execution and is_express(execution):
        # A retry may come before Step Functions' thread sees that the execution has ended.
        if execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Timeout", MESSAGE)
        call = f"lambda:{target.rsplit(':', 1)[-1]}" if service == "lambda" else action
        match take(f"express:{call}"):
            case "end":
                time_out(execution)
                raise stepfunctions._ExecutionError("States.Timeout", MESSAGE)
            case "end-late":
                result = original(resource, input_data)
                time_out(execution)
                return result
    if service != "lambda" and (fault := take(action)):
        _status, code = answer(service, fault)
        raise stepfunctions._ExecutionError(
            f"{ERROR_PREFIXES[service]}.{code.removesuffix('Exception')}Exception", MESSAGE
        )
    return original(resource, input_data)


@patch(lambda_svc, "_execute_function_dispatch(func, config, event, request_id, started)")
def fail_functions(
    original: Callable, func: dict, config: dict, event: object, request_id: str, started: float
) -> dict:
    """An invocation fails, before or after the handler has run."""
    fault = take(f"lambda:{config['FunctionName']}")
    if fault in ("crash-late", "timeout"):
        original(func, config, event, request_id, started)
    match fault:
        case None:
            return original(func, config, event, request_id, started)
        case "throttle":
            return lambda_svc._throttle_response("ConcurrentInvocationLimitExceeded", MESSAGE)
        case "malformed":
            return {"body": "malformed", "log": ""}
    name, message = FUNCTION_ERRORS[fault]
    body = {"errorType": name, "errorMessage": f"RequestId: {request_id} Error: {message} ({MESSAGE})"}
    return {"body": body, "error": True, "log": ""}

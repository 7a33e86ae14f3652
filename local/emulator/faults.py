"""Faults on demand: what AWS does on a bad day, at a chosen call, a chosen number of times.

    POST   /_local/faults?at=dynamodb:UpdateItem&fault=throttle&times=3
    POST   /_local/faults?at=lambda:*ThumbnailsFunction*&fault=crash
    GET    /_local/faults      the faults still to come
    DELETE /_local/faults      none any more

`at` is an action as policies name it (S3's HeadObject is s3:GetObject there), states:StartExecution for EventBridge's
attempts, or lambda: and a function's name, with wildcards. `fault` is throttle, error or denied; for functions also
crash (before the handler runs), crash-late (after it did its work), timeout (likewise), or malformed (an answer that
is none). `times` is 1 by default.
"""

import fnmatch
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ministack import app
from ministack.core.iam_actions import extract_iam_action
from ministack.core.responses import error_response_json, error_response_xml, json_response
from ministack.services import lambda_svc, stepfunctions

from local.emulator.state_machines import permission
from local.emulator.upstream import patch

PATH = "/_local/faults"
SERVICE_FAULTS = ("throttle", "error", "denied")
FUNCTION_FAULTS = (*SERVICE_FAULTS, "crash", "crash-late", "timeout", "malformed")
# HTTP status and error code, by service and fault.
ANSWERS = {
    "dynamodb": {
        "throttle": (400, "ProvisionedThroughputExceededException"),
        "error": (500, "InternalServerError"),
        "denied": (400, "AccessDeniedException"),
    },
    "s3": {"throttle": (503, "SlowDown"), "error": (500, "InternalError"), "denied": (403, "AccessDenied")},
    "sns": {
        "throttle": (400, "Throttled"),
        "error": (500, "InternalError"),
        "denied": (403, "AuthorizationError"),
    },
}
OTHER_ANSWERS = {
    "throttle": (400, "ThrottlingException"),
    "error": (500, "InternalFailure"),
    "denied": (400, "AccessDeniedException"),
}
TASK_ERROR_PREFIXES = {
    "dynamodb": "DynamoDB",
    "sns": "SNS",
    "sqs": "SQS",
    "events": "EventBridge",
    "states": "StepFunctions",
}
FUNCTION_ERRORS = {
    "crash": ("Runtime.ExitError", "Runtime exited with error: signal: SIGKILL"),
    "crash-late": ("Runtime.ExitError", "Runtime exited with error: signal: SIGKILL"),
    "timeout": ("Sandbox.Timedout", "Task timed out"),
    "error": ("Lambda.ServiceException", "Lambda encountered an internal error"),
    "denied": ("Lambda.AccessDeniedException", "the caller is not authorized to perform lambda:InvokeFunction"),
}
MESSAGE = "a fault asked for at /_local/faults"


@dataclass
class Fault:
    """One fault and how often it is still to happen."""

    at: str
    fault: str
    times: int


_faults: list[Fault] = []
_lock = threading.Lock()


def take(call: str) -> str | None:
    """The fault that is to happen at this call, if any; it has happened then."""
    with _lock:
        for fault in _faults:
            if fnmatch.fnmatchcase(call, fault.at):
                fault.times -= 1
                if fault.times == 0:
                    _faults.remove(fault)
                return fault.fault
    return None


def answer(service: str, fault: str) -> tuple[int, str]:
    """The HTTP status and the error code with which a service would fail so."""
    return ANSWERS.get(service, OTHER_ANSWERS)[fault]


@patch(app, "_handle_pre_body_request(method, path, headers, query_params, request_id)")
async def manage(original: Callable, method: str, path: str, headers: dict, query: dict, request_id: str) -> tuple:
    """The endpoint for tests; AWS has Fault Injection Service."""
    if path != PATH:
        return await original(method, path, headers, query, request_id)
    with _lock:
        if method == "DELETE":
            _faults.clear()
        if method == "POST":
            at, fault, times = query["at"][0], query["fault"][0], int(query.get("times", ["1"])[0])
            possible = FUNCTION_FAULTS if at.startswith("lambda:") else SERVICE_FAULTS
            if fault not in possible or times < 1:
                return json_response({"message": f"fault must be one of {', '.join(possible)}, times at least 1"}, 400)
            _faults.append(Fault(at, fault, times))
        return json_response({"faults": [asdict(fault) for fault in _faults]})


@patch(app, "_dispatch_service_request(method, path, headers, body, query_params, request_id)")
async def fail_requests(
    original: Callable, method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str
) -> tuple:
    """A request to a service fails instead of being served."""
    if _faults:
        parameters = app._routing_params(method, path, headers, body, query)
        service = app.detect_service(method, path, headers, parameters)
        fault = take(extract_iam_action(service, method, path, headers, body, parameters) or "")
        if fault:
            status, code = answer(service, fault)
            respond = error_response_xml if service in ("s3", "sns") else error_response_json
            return respond(code, MESSAGE, status)
    return await original(method, path, headers, body, query, request_id)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def fail_tasks(original: Callable, resource: str, input_data: object) -> object:
    """A task that calls a service fails; one that invokes a function fails with the function."""
    needed = permission(resource, input_data) if isinstance(input_data, dict) else None
    if needed and not needed[0].startswith("lambda:") and (fault := take(needed[0])):
        service = needed[0].split(":")[0]
        _status, code = answer(service, fault)
        suffix = "" if code.endswith("Exception") else "Exception"
        raise stepfunctions._ExecutionError(f"{TASK_ERROR_PREFIXES[service]}.{code}{suffix}", MESSAGE)
    return original(resource, input_data)


@patch(lambda_svc, "_execute_function_dispatch(func, config, event, request_id, started)")
def fail_functions(
    original: Callable, func: dict, config: dict, event: object, request_id: str, started: float
) -> dict:
    """An invocation fails, with or without its effects."""
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

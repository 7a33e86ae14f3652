"""Faults on demand: the failures of AWS services, at a chosen call and a chosen number of times.

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
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ministack import app
from ministack.core.iam_actions import extract_iam_action
from ministack.core.responses import error_response_json, error_response_xml, json_response
from ministack.services import lambda_svc, stepfunctions

from local.emulator.state_machines import ERROR_PREFIXES, current_execution, is_express, permission, time_out
from local.emulator.upstream import patch

PATH = "/_local/faults"
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
MESSAGE = "a fault requested at /_local/faults"


@dataclass
class Fault:
    """One fault, and how many more times it happens."""

    at: str
    fault: str
    times: int


_faults: list[Fault] = []
_lock = threading.Lock()


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
    """The endpoint through which tests list, add and remove faults, in place of AWS's Fault Injection Service."""
    if path != PATH:
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
async def fail_requests(
    original: Callable, method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str
) -> tuple:
    """A request to a service fails instead of being served."""
    if _faults:
        parameters = app._routing_params(method, path, headers, body, query)
        service = app.detect_service(method, path, headers, parameters)
        fault = take(extract_iam_action(service, method, path, headers, body, parameters) or "")
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        elif fault:
            status, code = answer(service, fault)
            respond = error_response_xml if service in ("s3", "sns") else error_response_json
            return respond(code, MESSAGE, status)
    return await original(method, path, headers, body, query, request_id)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def fail_tasks(original: Callable, resource: str, input_data: dict) -> object:
    """A task that calls a service fails. One that invokes a function fails by `fail_functions`."""
    action, target = permission(resource, input_data)
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

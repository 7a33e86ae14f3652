"""What a bill would count: the requests of each function, of the state machines, and of everybody else.

    GET    /_local/usage    {caller: {action: requests}} since the start or the last DELETE
    DELETE /_local/usage    begin again

A caller is a function's name, `states` for the tasks of state machines, or `client`. An action is named as IAM policies
name it. Lambda's own figures are in the REPORT lines of the functions' logs.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable

from ministack import app
from ministack.core.iam_actions import extract_iam_action
from ministack.core.iam_evaluator import resolve_caller_identity
from ministack.core.responses import json_response
from ministack.core.router import extract_access_key_id
from ministack.services import stepfunctions

from local.emulator.state_machines import permission
from local.emulator.upstream import patch

PATH = "/_local/usage"

_requests: defaultdict[str, Counter] = defaultdict(Counter)
_lock = threading.Lock()


def note(caller: str, action: str) -> None:
    """Count one request."""
    with _lock:
        _requests[caller][action] += 1


def caller_of(headers: dict) -> str:
    """The function that signed a request, or `client`."""
    identity = resolve_caller_identity(extract_access_key_id(headers) or "") or {}
    arn = identity.get("userArn", "")
    return arn.rsplit("/", 1)[-1] if ":assumed-role/" in arn else "client"


@patch(app, "_handle_pre_body_request(method, path, headers, query_params, request_id)")
async def report(original: Callable, method: str, path: str, headers: dict, query: dict, request_id: str) -> tuple:
    """The endpoint from which benchmarks read what was used."""
    if path != PATH:
        return await original(method, path, headers, query, request_id)
    with _lock:
        if method == "DELETE":
            _requests.clear()
        return json_response(_requests)


@patch(app, "_dispatch_service_request(method, path, headers, body, query_params, request_id)")
async def note_requests(
    original: Callable, method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str
) -> tuple:
    """Count a request to a service."""
    parameters = app._routing_params(method, path, headers, body, query)
    service = app.detect_service(method, path, headers, parameters)
    action = extract_iam_action(service, method, path, headers, body, parameters)
    note(caller_of(headers), action or f"{service}:?")
    return await original(method, path, headers, body, query, request_id)


@patch(stepfunctions, "_invoke_resource(resource, input_data)")
def note_tasks(original: Callable, resource: str, input_data: dict) -> object:
    """Count a task's call."""
    note("states", permission(resource, input_data)[0])
    return original(resource, input_data)

"""Where events differ from AWS's on their way from S3, through EventBridge, to their target."""

import contextvars
import json
from collections.abc import Callable

from ministack.core.responses import get_account_id
from ministack.services import eventbridge, lambda_svc, s3, sqs, stepfunctions

from local.emulator import faults
from local.emulator.permissions import function_admits, role_allows
from local.emulator.upstream import patch

_version_id = contextvars.ContextVar("version_id", default=None)


@patch(
    s3,
    "_fire_s3_event(bucket_name, key, event_name, size, etag, deletion_type, restore_event_data, version_id, "
    "sequencer, object_extra, record_extra)",
)
def remember_the_version(original: Callable, *args: object, version_id: str | None = None, **kwargs: object) -> None:
    """S3's events to EventBridge say which version of the object they are about: here it is noted …"""
    token = _version_id.set(version_id)
    try:
        original(*args, version_id=version_id, **kwargs)
    finally:
        _version_id.reset(token)


@patch(eventbridge, "_dispatch_event(event, view)")
def complete_s3_events(original: Callable, event: dict, view: object = None) -> None:
    """… and here written, as `version-id`. An Object Deleted event has no size."""
    if event["Source"] == "aws.s3":
        detail = json.loads(event["Detail"])
        if version_id := _version_id.get():
            detail["object"]["version-id"] = version_id
        if event["DetailType"] == "Object Deleted":
            detail["object"].pop("size", None)
        event, view = event | {"Detail": json.dumps(detail)}, None
    original(event, view)


@patch(eventbridge, "_invoke_target(target, event, rule, view)")
def deliver_or_keep(original: Callable, target: dict, event: dict, rule: dict, view: object = None) -> None:
    """What can't start its state machine or function goes to the target's DLQ, with the attributes EventBridge adds.

    AWS retries none of these problems, so neither does this.
    """
    problem = delivery_problem(target, rule)
    if problem is None:
        original(target, event, rule, view)
        return
    code, message = problem
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    if queue_arn and sqs.queue_policy_allows(queue_arn, "events.amazonaws.com", rule["Arn"], get_account_id()):
        attributes = {
            "RULE_ARN": rule["Arn"],
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
        }
        whole_event = (view or eventbridge._pattern_event_view(event)).event_with_detail()
        kept = {
            "MessageBody": json.dumps(whole_event),
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        }
        sqs._act_send_message(kept, sqs._queue_url(queue_arn.rsplit(":", 1)[-1]))


def delivery_problem(target: dict, rule: dict) -> tuple[str, str] | None:
    """EventBridge's error code and message when the target is gone, or hasn't been opened to the rule."""
    arn = target["Arn"]
    if ":states:" in arn:
        if stepfunctions._resolve_state_machine_arn(arn) is None:
            return "RESOURCE_NOT_FOUND", f"State Machine Does Not Exist: '{arn}'"
        if not role_allows(target.get("RoleArn", ""), "states:StartExecution", arn):
            return "NO_PERMISSIONS", f"{target.get('RoleArn')} is not authorized to start executions of {arn}"
        if fault := faults.take("states:StartExecution"):
            return faults.answer("states", fault)[1], faults.MESSAGE
    if ":lambda:" in arn:
        function, _config, _name = lambda_svc._get_func_record_for_ref(arn)
        if not function:
            return "RESOURCE_NOT_FOUND", f"Function not found: {arn}"
        if not function_admits(function, "events.amazonaws.com", rule["Arn"]):
            return "NO_PERMISSIONS", f"The policy of {arn} does not let the rule invoke it"
    return None


@patch(eventbridge, "_dispatch_to_lambda(arn, payload)")
def invoke_asynchronously(_original: Callable, arn: str, payload: str) -> None:
    """Events for a function are invoked asynchronously: two retries, then its DLQ or its failure destination."""
    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )

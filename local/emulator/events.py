"""Where events differ from AWS's on their way from S3, through EventBridge, to their target."""

import contextvars
import json
from collections.abc import Callable

from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, evaluate
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, s3, sqs, stepfunctions

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
    """What can't start its state machine goes to the target's DLQ, with the attributes EventBridge adds.

    AWS retries none of these problems, so neither does this.
    """
    problem = start_problem(target) if ":states:" in target["Arn"] else None
    if problem is None:
        original(target, event, rule, view)
        return
    code, message = problem
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    if queue_arn and sqs.queue_policy_allows(queue_arn, "events.amazonaws.com", rule["Arn"], get_account_id()):
        whole_event = (view or eventbridge._pattern_event_view(event)).event_with_detail()
        attributes = {
            "RULE_ARN": rule["Arn"],
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
        }
        message = {
            "MessageBody": json.dumps(whole_event),
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        }
        sqs._act_send_message(message, sqs._queue_url(queue_arn.rsplit(":", 1)[-1]))


def start_problem(target: dict) -> tuple[str, str] | None:
    """EventBridge's error code and message when it can't start this state machine with the target's role."""
    arn, account = target["Arn"], get_account_id()
    if stepfunctions._resolve_state_machine_arn(arn) is None:
        return "RESOURCE_NOT_FOUND", f"State Machine Does Not Exist: '{arn}'"
    role = target.get("RoleArn", "").rsplit("/", 1)[-1]
    caller = f"arn:aws:sts::{account}:assumed-role/{role}/events"
    context = EvalContext(caller, "AssumedRole", account, "states:StartExecution", arn, get_region())
    if evaluate(context, _gather_role_policies(role, account)).decision != "Allow":
        return "NO_PERMISSIONS", f"{caller} is not authorized to perform states:StartExecution on {arn}"
    return None


@patch(eventbridge, "_dispatch_to_lambda(arn, payload)")
def invoke_asynchronously(_original: Callable, arn: str, payload: str) -> None:
    """Events for a function are invoked asynchronously: two retries, then its DLQ or its failure destination."""
    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )

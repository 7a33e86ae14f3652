"""S3's events and EventBridge's deliveries to state machines."""

import contextvars
import json
from collections.abc import Callable

from ministack.core.responses import get_account_id
from ministack.services import eventbridge, s3, sqs, stepfunctions

from local.emulator import calls
from local.emulator.permissions import role_allows
from local.emulator.upstream import patch

_version_id = contextvars.ContextVar("version_id", default=None)


@patch(
    s3,
    "_fire_s3_event(bucket_name, key, event_name, size, etag, deletion_type, restore_event_data, version_id, "
    "sequencer, object_extra, record_extra)",
)
def remember_the_version(original: Callable, *args: object, version_id: str | None = None, **kwargs: object) -> None:
    """Keep the object's version for `complete_s3_events`, which writes it into the event."""
    token = _version_id.set(version_id)
    try:
        original(*args, version_id=version_id, **kwargs)
    finally:
        _version_id.reset(token)


@patch(eventbridge, "_dispatch_event(event, view)")
def complete_s3_events(original: Callable, event: dict, view: object = None) -> None:
    """S3's events to EventBridge contain the object's `version-id`. An Object Deleted event has no size."""
    if event["Source"] == "aws.s3":
        detail = json.loads(event["Detail"])
        if version_id := _version_id.get():
            detail["object"]["version-id"] = version_id
        if event["DetailType"] == "Object Deleted":
            detail["object"].pop("size", None)
        event, view = event | {"Detail": json.dumps(detail)}, None
    original(event, view)


@patch(eventbridge, "_invoke_target(target, event, rule, view)")
def use_the_dead_letter_queue(original: Callable, target: dict, event: dict, rule: dict, view: object = None) -> None:
    """An event that cannot start its state machine goes to the target's dead-letter queue, with the error's attributes.

    EventBridge does not retry a missing target or permission. It retries a throttled or failed call; this does not.
    """
    problem = delivery_problem(target)
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
        letter = {
            "MessageBody": json.dumps(whole_event),
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        }
        sqs._act_send_message(letter, sqs._queue_url(queue_arn.rsplit(":", 1)[-1]))


def delivery_problem(target: dict) -> tuple[str, str] | None:
    """EventBridge's error code and message if the target's state machine cannot be started."""
    arn, role = target["Arn"], target.get("RoleArn", "")
    if ":states:" not in arn:
        return None
    if stepfunctions._resolve_state_machine_arn(arn) is None:
        return "RESOURCE_NOT_FOUND", f"State Machine Does Not Exist: '{arn}'"
    if not role_allows(role, "states:StartExecution", arn):
        return "NO_PERMISSIONS", f"{role} is not authorized to start executions of {arn}"
    if fault := calls.take("states:StartExecution"):
        return calls.answer("states", fault)[1], calls.MESSAGE
    return None

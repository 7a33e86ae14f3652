"""Pausing the pipeline: whether the events of new uploads start executions, or wait in a queue.

The rule for uploads has one target, and putting a target under the same Id replaces it. So each event goes to the state
machine or to the queue, and none to neither. `events` is EventBridge's client, of which the command and the functions
have different ones. Standard library only.
"""

from typing import Any

from imagepipeline.models import JsonObject

# The `reason` of an event that waited. S3 names its own operations there.
REASON = "Paused"


class TargetNotReplaced(RuntimeError):
    """The rule does not have the one target that it should have, or EventBridge refused to replace it."""


def pause(events: Any, rule: str, queue_arn: str) -> bool:
    """Have the events of new uploads wait in the queue. Returns False if they do already. Raises TargetNotReplaced."""
    target = _target(events, rule)
    if target["Arn"] == queue_arn:
        return False
    # EventBridge sends to queues by the queue's policy, and takes no role. Retries and dead-letter queue stay.
    without_role = {name: value for name, value in target.items() if name != "RoleArn"}
    _replace(events, rule, without_role | {"Arn": queue_arn})
    return True


def resume(events: Any, rule: str, queue_arn: str, machine_arn: str, role_arn: str) -> bool:
    """Have new uploads start executions, as template.yaml does. Returns False if they do. Raises TargetNotReplaced."""
    target = _target(events, rule)
    if target["Arn"] != queue_arn:
        return False
    _replace(events, rule, target | {"Arn": machine_arn, "RoleArn": role_arn})
    return True


def released(event: JsonObject) -> JsonObject:
    """An event that waited in the queue, marked so that its wait does not count as the pipeline's latency."""
    return event | {"detail": event["detail"] | {"reason": REASON}}


def _target(events: Any, rule: str) -> JsonObject:
    targets: list[JsonObject] = events.list_targets_by_rule(Rule=rule)["Targets"]
    if len(targets) != 1:
        raise TargetNotReplaced(
            f"the rule {rule} has {len(targets)} targets instead of one: correct it, or deploy again"
        )
    return targets[0]


def _replace(events: Any, rule: str, target: JsonObject) -> None:
    answer = events.put_targets(Rule=rule, Targets=[target])
    if answer["FailedEntryCount"]:
        raise TargetNotReplaced(f"EventBridge did not change where uploads are sent: {answer['FailedEntries']}")

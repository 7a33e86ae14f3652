"""Pausing the pipeline: where the rule for uploads sends their events. Standard library only.

The rule has one target, and putting a target under the same Id replaces it. So each event goes to the state machine or
to the queue, and none to neither.
"""

from imagepipeline.models import JsonObject

# The `reason` of an event that waited. S3 names its own operations there.
REASON = "Paused"


def paused(target: JsonObject, queue_arn: str) -> JsonObject:
    """The rule's target with the queue in place of the state machine. Retries and dead-letter queue stay."""
    # EventBridge sends to queues by the queue's policy, and takes no role for them.
    return {name: value for name, value in target.items() if name != "RoleArn"} | {"Arn": queue_arn}


def resumed(target: JsonObject, machine_arn: str, role_arn: str) -> JsonObject:
    """The rule's target as template.yaml has it, with the state machine in place of the queue."""
    return target | {"Arn": machine_arn, "RoleArn": role_arn}


def released(event: JsonObject) -> JsonObject:
    """An event that waited in the queue, marked so that its wait does not count as the pipeline's latency."""
    return event | {"detail": event["detail"] | {"reason": REASON}}

"""Switches the rule for uploads from the state machine to the queue."""

from imagepipeline import aws, pausing


def pause(rule: str, queue_arn: str) -> bool:
    """Has the events of new uploads wait in the queue. Returns False if they do already."""
    events = aws.client("events")
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    if target["Arn"] == queue_arn:
        return False
    answer = events.put_targets(Rule=rule, Targets=[pausing.paused(target, queue_arn)])
    if answer["FailedEntryCount"]:
        raise RuntimeError(f"EventBridge did not change the target: {answer['FailedEntries']}")
    return True

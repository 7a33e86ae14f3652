"""Which event and which execution may write a record, and what a deletion leaves to do. Standard library only.

S3 delivers events for uploads and deletions at least once and in any order. Two attributes of the record keep them in
order. `Sequencer` is that of the newest event that took ownership of the key: an older event, or a duplicate of the
same one, does not take ownership. `ExecutionArn` is the execution that took ownership: no other execution may finish
the record, so an execution that was superseded finds out at its next write.

The conditions are DynamoDB condition expressions, as the state machines and `records` send them. Tests compare the
three, and search every interleaving of short histories for one that breaks the invariant.
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from imagepipeline.models import JsonObject

# An execution begins: there is no record, or an older one, or its own because the response to its write was lost. An
# Express execution may run twice, and must not begin again what it has finished.
MAY_BEGIN = (
    "attribute_not_exists(ImageKey) OR Sequencer < :sequencer OR (ExecutionArn = :execution AND #status = :processing)"
)
# An execution announces only while it owns the record.
OWNS_RECORD = "ExecutionArn = :execution"
# A function may run on after its task timed out. It must not complete an image that was announced as failed since.
MAY_COMPLETE = "ExecutionArn = :execution AND #status <> :failed"
# A failure never overwrites the result that the same execution stored before it failed.
MAY_FAIL = "ExecutionArn = :execution AND #status <> :completed"
# An execution discards the record that it began. A deletion, or a write whose response was lost, may have done so.
MAY_DISCARD = "attribute_not_exists(ImageKey) OR ExecutionArn = :execution"
# A deletion removes what was recorded before it. For an execution that ended early, and may have processed an older
# version after the one of its event, the record that it owned is removed.
MAY_REMOVE = "attribute_not_exists(ImageKey) OR Sequencer <= :sequencer OR ExecutionArn = :abandoned"
# An execution takes the record over from one that ended before it had announced the outcome. That one may have been
# started in place of another, and have ended before it could take over from it. With the decision of a moderator, an
# execution takes over the very upload that is held for one. Without a decision, `:decidable` is no status.
MAY_TAKE_OVER = (
    "(ExecutionArn IN (:abandoned, :earlier, :earliest) AND attribute_not_exists(AnnouncedAt)) OR "
    "(#status = :decidable AND Sequencer = :sequencer) OR ExecutionArn = :execution"
)


class Action(StrEnum):
    """What to do with a key after an upload was deleted, replaced, or abandoned."""

    REMOVE = "REMOVE"  # there is no object: remove its record
    PROCESS = "PROCESS"  # an older version is current again: process it
    KEEP = "KEEP"  # the current object has an event or a record of its own


def resolve_current_version(
    current: JsonObject | None,
    listed: Collection[str],
    record: JsonObject | None,
    version_id: str,
    event_time: datetime,
) -> Action:
    """What to do with a key whose upload was deleted, or replaced before it was processed.

    `current` is the current object, with `VersionId` and `LastModified`, or None if there is none, and `listed` are the
    version IDs of all versions and delete markers that S3 listed with it. `version_id` and `event_time` are those of
    the event of the deletion, or of the upload that was not processed.
    """
    if current is None:
        return Action.REMOVE
    # An object newer than the event has an event of its own. It is newer if S3 lists it above the version, or the
    # delete marker, that the event is about; LastModified, in whole seconds, decides only if that one is gone.
    if version_id in listed and version_id != current["VersionId"]:
        return Action.KEEP
    # So is an object without a version that replaced another without a version. Otherwise a deletion uncovered an older
    # version, for which S3 sends no event.
    if current["VersionId"] == version_id == "null" or current["LastModified"] > event_time:
        return Action.KEEP
    if record is not None and record["VersionId"] == current["VersionId"]:
        return Action.KEEP
    return Action.PROCESS


def unneeded(renditions: list[str], record: JsonObject | None, prefix: str) -> list[str]:
    """Which of the `renditions`, listed before the `record` was read, the record does not need.

    `prefix` is where the renditions of the record's own version are stored. They stay while that version is being
    processed, because the record does not name them yet. All others belong to executions that were superseded: each
    had begun when its renditions were listed, and the record has named the owner of the key since.
    """
    if record is None:
        return renditions
    if record["Status"] == "PROCESSING":
        return [key for key in renditions if not key.startswith(prefix)]
    named = {rendition["Key"] for rendition in record.get("Renditions", {}).values()}
    return [key for key in renditions if key not in named]

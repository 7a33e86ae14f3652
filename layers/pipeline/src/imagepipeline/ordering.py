"""Who may write a key's record, and what follows from S3's and the record's state. Pure; standard library only.

S3 tells of uploads and deletions at least once and in any order. Two facts keep that straight. A record's `Sequencer`
is the newest event that took the key over: an older one, or a second copy of the same, takes nothing over. A record's
`ExecutionArn` is the execution that took it over: no other finishes the record, so one that was overtaken finds out
at its next write.

The conditions are DynamoDB condition expressions, as the state machines and `records` send them; tests hold the three
against one another, and run every interleaving of a small history through them.
"""

from datetime import datetime

# An event begins: nothing is recorded, or something older, or this very execution did it and didn't hear the answer.
MAY_BEGIN = "attribute_not_exists(ImageKey) OR Sequencer < :sequencer OR ExecutionArn = :execution"
# An execution finishes what it began.
MAY_FINISH = "ExecutionArn = :execution"
# The same for a failure: what was completed before it stays so.
MAY_FAIL = "ExecutionArn = :execution AND #status <> :completed"
# An execution lets go of what it began. If a deletion did that for it, or it did and didn't hear so, it has let go.
MAY_DISCARD = "attribute_not_exists(ImageKey) OR ExecutionArn = :execution"
# A deletion removes whatever was recorded before it; a failed execution of a deleted upload, what it recorded itself.
MAY_REMOVE = "attribute_not_exists(ImageKey) OR Sequencer <= :sequencer"
# Housekeeping finishes for an execution that ended before it told how its image went.
MAY_TAKE_OVER = "(ExecutionArn = :abandoned AND attribute_not_exists(AnnouncedAt)) OR ExecutionArn = :execution"


def resolve_current_version(current: dict | None, record: dict | None, version_id: str, event_time: datetime) -> str:
    """What follows when a version was deleted, or could not be processed: "REMOVE", "PROCESS" or "NOTHING".

    `current` is S3's answer for the key, with `VersionId` and `LastModified`, or None if there is no object any more.
    `version_id` and `event_time` are those of the deletion's event, or of the upload's that could not be processed.
    """
    if current is None:
        return "REMOVE"
    # An object that is newer than the event has an event of its own, and so has one without a version in place of
    # another without a version. Otherwise it is an older version, uncovered by a deletion: S3 sends no event for it.
    if current["VersionId"] == version_id == "null" or current["LastModified"] > event_time:
        return "NOTHING"
    if record is not None and record["VersionId"] == current["VersionId"]:
        return "NOTHING"
    return "PROCESS"


def unneeded(renditions: list[str], record: dict | None, prefix: str) -> list[str]:
    """Which of the `renditions` that were listed before the `record` was read may go.

    `prefix` is where the record's own version of the upload keeps its renditions. They stay while it is being
    processed, because it doesn't name them yet. All others belong to executions that were overtaken: one that is
    listed had begun by then, and the record tells who has the key since.
    """
    if record is None:
        return renditions
    if record["Status"] == "PROCESSING":
        return [key for key in renditions if not key.startswith(prefix)]
    named = {rendition["Key"] for rendition in record.get("Renditions", {}).values()}
    return [key for key in renditions if key not in named]

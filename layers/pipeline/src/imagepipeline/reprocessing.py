"""Which images a run of `image-pipeline reprocess` processes again. Standard library only.

A run lists the objects of the uploads bucket. `decide` compares each with its record, in the function that the state
machine Reprocess calls, and in the command's dry run.
"""

import hashlib
from collections.abc import Collection
from enum import StrEnum

from imagepipeline.geometry import plan
from imagepipeline.keys import before_every_event, is_folder_marker, just_after
from imagepipeline.models import JsonObject
from imagepipeline.quarantine import HELD, standing_decision
from imagepipeline.renditions import RenditionSpec
from imagepipeline.s3_events import object_created

REASON = "Reprocess"  # of the events


class Selection(StrEnum):
    """Which objects a run is about."""

    ALL = "ALL"
    MISSING_RENDITIONS = "MISSING_RENDITIONS"  # that have a record without all renditions that are configured now
    UNRECORDED = "UNRECORDED"  # that have no record: they were in the bucket before the stack, or their event was lost


class Decision(StrEnum):
    """What a run does with one object."""

    PROCESS = "PROCESS"
    NOT_SELECTED = "NOT_SELECTED"
    IN_PROGRESS = "IN_PROGRESS"  # another execution is processing it
    DONE = "DONE"  # by this run, before it was resumed
    FOLDER_MARKER = "FOLDER_MARKER"


def decide(
    key: str,
    size: int,
    record: JsonObject | None,
    selections: Collection[Selection],
    specs: Collection[RenditionSpec],
    run: str = "",
) -> Decision:
    """What the run called `run` does with an object, by its size in bytes and its record."""
    if is_folder_marker(key, size):
        return Decision.FOLDER_MARKER
    if record is None:
        return _chosen({Selection.ALL, Selection.UNRECORDED}, selections)
    if record["Status"] == "PROCESSING":
        return Decision.IN_PROGRESS
    if run and belongs_to(run, record):
        return Decision.PROCESS if record["Status"] == "FAILED" else Decision.DONE
    if record.get("Error", {}).get("Name") == "RejectedByModerator":  # to reverse that, a moderator redrives the image
        return Decision.NOT_SELECTED
    if lacks_renditions(record, specs):
        return _chosen({Selection.ALL, Selection.MISSING_RENDITIONS}, selections)
    return _chosen({Selection.ALL}, selections)


def _chosen(choosing: set[Selection], selections: Collection[Selection]) -> Decision:
    return Decision.NOT_SELECTED if choosing.isdisjoint(selections) else Decision.PROCESS


def lacks_renditions(record: JsonObject, specs: Collection[RenditionSpec]) -> bool:
    """Whether a COMPLETED or HELD record lacks a rendition, or has it in another format or size; true for FAILED.

    A rejected image has no renditions whatever is configured. Other qualities and filters leave no trace in a record.
    """
    if record["Status"] not in ("COMPLETED", HELD):
        return bool(record["Status"] == "FAILED")
    stored = record["Renditions"]
    return any(
        spec.name not in stored
        or stored[spec.name]["Format"] != spec.format
        or (stored[spec.name]["Width"], stored[spec.name]["Height"])
        != plan((record["Width"], record["Height"]), spec).size
        for spec in specs
    )


def belongs_to(run: str, record: JsonObject) -> bool:
    """Whether the record's execution was started by this run."""
    arn: str = record["ExecutionArn"]
    return f":{run}-" in arn


def execution_name(run: str, key: str, sequencer: str) -> str:
    """The name of the execution that a run starts for one event. Step Functions starts no second one of this name."""
    return f"{run}-{hashlib.sha256(f'{sequencer}/{key}'.encode()).hexdigest()[:16]}"


def event(bucket: str, key: str, current: JsonObject, record: JsonObject | None) -> JsonObject:
    """The event that S3 would send for the current object, ordered directly after the key's record.

    Every later event of S3 has priority. Without a record, so has every event of S3. `current` is a result of
    `objects.list_versions`. A moderator's decision to show the object stands.
    """
    modified = current["LastModified"]
    created = object_created(
        bucket,
        key,
        size=current["Bytes"],
        etag=current["ETag"],
        version_id=current["VersionId"],
        sequencer=just_after(record["Sequencer"]) if record else before_every_event(modified),
        time=modified,
        reason=REASON,
    )
    return created | standing_decision(record, current["ETag"], current["VersionId"])

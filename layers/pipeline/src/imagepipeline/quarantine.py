"""Which images wait for a moderator, and the events that carry a moderator's decisions.

An image is held unless Rekognition examined it and found nothing: a failure never shows an image that nobody has seen.
"""

from datetime import datetime
from enum import StrEnum

from imagepipeline.analysis import MODERATION, in_words
from imagepipeline.models import JsonObject
from imagepipeline.printable import printable
from imagepipeline.s3_events import object_created

HELD = "HELD"
MODES = ("off", "record", "quarantine")  # of the setting MODERATION

_MAX_MESSAGE = 1000  # characters


class Action(StrEnum):
    """What a moderator can do with an image that is held."""

    RELEASE = "RELEASE"  # complete it
    REJECT = "REJECT"  # reject it, and remove its renditions


class NotHeld(ValueError):
    """There is nothing to decide. The message says why."""


def reason_to_hold(description: JsonObject) -> JsonObject | None:
    """Why an image with this description is held: `{"Name", "Message"}`; None if it may be shown."""
    if not MODERATION.is_answered(description):
        unknown = {"Name": "NotExamined", "Message": "Rekognition was not asked"}
        reason = description.get(MODERATION.error) or description.get(MODERATION.skipped) or unknown
        return _reason(reason["Name"], f"the image was not examined: {reason['Message']}")
    labels = sorted(description["ModerationLabels"], key=lambda label: -label["Confidence"])
    if not labels:
        return None
    return _reason("Flagged", in_words(labels))


def _reason(name: str, message: str) -> JsonObject:
    return {"Name": name, "Message": printable(message, _MAX_MESSAGE)}


def without_held_renditions(record: JsonObject) -> JsonObject:
    """The record as clients and subscribers receive it: one that is held does not say where its renditions are."""
    if record["Status"] != HELD:
        return record
    return {name: value for name, value in record.items() if name != "Renditions"}


def is_released(event: JsonObject) -> bool:
    """Whether the event of an upload, or its record, has a moderator's decision to show it."""
    decision: JsonObject = event.get("Decision", {})
    return bool(decision.get("Action") == Action.RELEASE)


def standing_decision(record: JsonObject | None, etag: str, version_id: str) -> JsonObject:
    """What an event says of an object that is processed again: `{"Decision"}` if a moderator released this very object.

    `record` is the one that its key has.
    """
    if record is None or (record.get("ETag"), record.get("VersionId")) != (etag, version_id):
        return {}
    return {"Decision": record["Decision"]} if is_released(record) else {}


def decision(bucket: str, record: JsonObject, action: Action, sequencer: str | None = None) -> JsonObject:
    """The event that starts an execution of ImagePipeline which applies a decision to the image of a record.

    It is that of the upload which is held, so it has no effect on any other. `sequencer` is that of the record which
    the moderator has seen. Raises NotHeld if the record is another by now, or not held.
    """
    if sequencer not in (None, record["Sequencer"]):
        raise NotHeld("the image was replaced or processed again since: look at it again")
    if record["Status"] != HELD:
        raise NotHeld(f"the image is not held: its status is {record['Status']}")
    event = object_created(
        bucket,
        record["ImageKey"],
        size=record["Bytes"],
        etag=record["ETag"],
        version_id=record["VersionId"],
        sequencer=record["Sequencer"],
        time=datetime.fromisoformat(record["ReceivedAt"]),
        reason="Decision",
    )
    return event | {"Decision": {"Action": action}}

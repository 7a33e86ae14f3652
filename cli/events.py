"""The events that start executions: parsed from a queue's message or an execution's input, and built for a redrive."""

import json
from dataclasses import dataclass
from datetime import datetime

from cli.stack import Document, Record
from imagepipeline import s3_events
from imagepipeline.analysis import answers, missing
from imagepipeline.keys import comparable, just_after
from imagepipeline.quarantine import standing_decision

_REASON = "Redrive"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and the state machine that processes it."""

    document: Document  # as EventBridge delivers it
    machine: str  # the stack's output that names the state machine for this event
    key: str
    sequencer: str  # comparable; of the S3 event that started the execution, if this event is about an execution

    @classmethod
    def parse(cls, text: str) -> "Event":
        """The event in a queue's message or an execution's input. Raises ValueError for anything else."""
        try:
            return cls.of(json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is not an event of S3 or Step Functions") from error

    @classmethod
    def of(cls, document: Document) -> "Event":
        """The event in a parsed document. Raises ValueError, or what a lookup raises, for anything else."""
        match document["detail-type"]:
            case s3_events.OBJECT_CREATED:
                machine, cause = "ImagePipeline", document
            case s3_events.OBJECT_DELETED:
                machine, cause = "Housekeeping", document
            case "Step Functions Execution Status Change":
                machine, cause = "Housekeeping", json.loads(document["detail"]["input"])
            case other:
                raise ValueError(f"no state machine processes {other!r} events")
        described = cause["detail"]["object"]
        return cls(document, machine, described["key"], comparable(described["sequencer"]))


def sequencer_of(record: Record | None) -> str:
    """The record's sequencer; zero without a record."""
    return comparable((record or {}).get("Sequencer", "0"))


def next_sequencer(record: Record) -> str:
    """The smallest sequencer that is newer than the record's, and older than that of any later event of S3.

    Two redrives of the same record get the same one, and the pipeline lets only one of them take over the key.
    """
    return just_after(sequencer_of(record))


def created(bucket: str, key: str, head: Document, sequencer: str, record: Record | None = None) -> Event:
    """The event that S3 would send for the object that HeadObject described.

    If the `record` is of the same object and lacks an answer of Rekognition, the event holds the answers that it has,
    so that only the missing ones are asked for. A moderator's decision to show the object stands.
    """
    etag, version_id = head["ETag"].strip('"'), head.get("VersionId", "null")
    event = s3_events.object_created(
        bucket,
        key,
        size=head["ContentLength"],
        etag=etag,
        version_id=version_id,
        sequencer=sequencer,
        time=head["LastModified"],
        reason=_REASON,
    )
    if record and missing(record) and (record.get("ETag"), record.get("VersionId")) == (etag, version_id):
        event["Answers"] = answers(record)
    return Event.of(event | standing_decision(record, etag, version_id))


def deleted(bucket: str, key: str, sequencer: str, at: datetime) -> Event:
    """The event that S3 would send for the deletion of an object; `at` has a time zone."""
    return Event.of(s3_events.object_deleted(bucket, key, sequencer=sequencer, time=at, reason=_REASON))

"""The events that start executions: read where they got stuck, and written for another try."""

import json
from dataclasses import dataclass
from datetime import datetime

from cli.stack import Record

SEQUENCER_LENGTH = 64  # digits, as in the table; longer than any that S3 sends


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and what the pipeline makes of it."""

    document: dict  # as EventBridge delivers it
    machine: str  # output that names the state machine it is for
    key: str
    sequencer: str  # of S3's event; of the execution's own for one that tells of an execution
    abandoned: str = ""  # ARN of the execution whose early end it tells of

    @classmethod
    def parse(cls, text: str) -> "Event":
        """The event in a queue's message or an execution's input. Raises ValueError for anything else."""
        try:
            document = json.loads(text)
            match document["detail-type"]:
                case "Object Created":
                    machine, cause, abandoned = "ImagePipeline", document, ""
                case "Object Deleted":
                    machine, cause, abandoned = "Housekeeping", document, ""
                case "Step Functions Execution Status Change":
                    machine, abandoned = "Housekeeping", document["detail"]["executionArn"]
                    cause = json.loads(document["detail"]["input"])
                case other:
                    raise ValueError(f"no state machine is for {other!r}")
            described = cause["detail"]["object"]
            return cls(document, machine, described["key"], comparable(described["sequencer"]), abandoned)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is no event of S3 or Step Functions") from error


def comparable(sequencer: str) -> str:
    """S3's event sequencer, padded so that two of the same key compare as strings."""
    return sequencer.upper().ljust(SEQUENCER_LENGTH, "0")


def sequencer_of(record: Record | None) -> str:
    """The record's sequencer; zero where there is no record."""
    return comparable((record or {}).get("Sequencer", ""))


def next_sequencer(record: Record) -> str:
    """The least sequencer that is newer than the record's.

    S3's own are shorter by dozens of digits, so whatever happens to the object next is newer still. Two redrives of the
    same record get the same one, and the pipeline lets only one of them take the key over.
    """
    return f"{int(sequencer_of(record), 16) + 1:0{SEQUENCER_LENGTH}X}"


def first_sequencer(head: dict) -> str:
    """A sequencer for an object without a record, which has nothing to be newer than.

    Older than any that S3 sends, whose first digits count time: the object's own event may be late rather than lost.
    Made of the object's time, so that another object under the key gets other names for its renditions.
    """
    return f"{int(head['LastModified'].timestamp()):0{SEQUENCER_LENGTH}X}"


def created(bucket: str, key: str, head: dict, sequencer: str) -> Event:
    """What S3 would say of the object that HeadObject described."""
    described = {"key": key, "size": head["ContentLength"], "etag": head["ETag"].strip('"'), "sequencer": sequencer}
    if head.get("VersionId", "null") != "null":
        described["version-id"] = head["VersionId"]
    return _from_s3("Object Created", "ImagePipeline", bucket, described, head["LastModified"])


def deleted(bucket: str, key: str, sequencer: str, at: datetime) -> Event:
    """What S3 would say of an object's deletion; `at` is a time with a time zone."""
    return _from_s3("Object Deleted", "Housekeeping", bucket, {"key": key, "sequencer": sequencer}, at)


def _from_s3(kind: str, machine: str, bucket: str, described: dict, at: datetime) -> Event:
    document = {
        "source": "aws.s3",
        "detail-type": kind,
        "time": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "detail": {"bucket": {"name": bucket}, "object": described, "reason": "Redrive"},
    }
    return Event(document, machine, described["key"], described["sequencer"])

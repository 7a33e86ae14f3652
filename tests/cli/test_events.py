"""Parsing the events that start executions, and building them for a redrive."""

import json
from datetime import UTC, datetime

import pytest

from cli.events import Event, created, deleted, next_sequencer
from imagepipeline import keys

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FROM_S3 = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-06-01T10:00:00Z",
    "detail": {"bucket": {"name": "photos"}, "object": {"key": "uploads/a+b.jpg", "sequencer": "0055aed6dcd90281e5"}},
}
HEAD = {"ContentLength": 12, "ETag": '"e1"', "LastModified": NOON}
RECORD = {"Sequencer": keys.comparable("0055AED6DCD90281E5")}


@pytest.mark.parametrize(("kind", "machine"), [("Object Created", "ImagePipeline"), ("Object Deleted", "Housekeeping")])
def test_each_s3_event_goes_to_its_state_machine(kind: str, machine: str) -> None:
    event = Event.parse(json.dumps(FROM_S3 | {"detail-type": kind}))

    assert (event.machine, event.key) == (machine, "uploads/a+b.jpg")
    assert event.sequencer == RECORD["Sequencer"]
    assert event.document == FROM_S3 | {"detail-type": kind}


def test_an_execution_event_concerns_the_key_of_its_input() -> None:
    status_change = {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": "arn:ended", "status": "ABORTED", "input": json.dumps(FROM_S3)},
    }

    event = Event.parse(json.dumps(status_change))

    assert (event.machine, event.key) == ("Housekeeping", "uploads/a+b.jpg")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "7",
        "{}",
        '{"detail-type": "Object Restored"}',
        '{"detail-type": "Object Created"}',
        json.dumps(FROM_S3).replace("0055aed6", "none"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an event|no state machine|Expecting value|not a hexadecimal sequencer"):
        Event.parse(text)


def test_a_redrive_comes_just_after_its_record() -> None:
    redriven = next_sequencer(RECORD)

    assert RECORD["Sequencer"] < redriven < keys.comparable("0055AED6DCD90281E6")
    assert next_sequencer({"Sequencer": redriven}) > redriven


@pytest.mark.parametrize(("version", "expected"), [({"VersionId": "3sL4kq"}, "3sL4kq"), ({}, None)])
def test_an_upload_is_described_as_head_object_returned_it(version: dict, expected: str | None) -> None:
    event = created("photos", "uploads/a+b.jpg", HEAD | version, "0A")

    described = event.document["detail"]["object"]
    assert (described["size"], described["etag"], described.get("version-id")) == (12, "e1", expected)
    assert event.document["time"] == "2026-06-01T12:00:00Z"


def test_a_built_event_survives_being_sent_and_parsed() -> None:
    upload = created("photos", "uploads/a.jpg", HEAD, next_sequencer(RECORD))
    deletion = deleted("photos", "uploads/a.jpg", next_sequencer(RECORD), NOON)

    assert [Event.parse(json.dumps(event.document)) for event in (upload, deletion)] == [upload, deletion]
    assert (upload.machine, deletion.machine) == ("ImagePipeline", "Housekeeping")

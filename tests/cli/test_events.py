"""Events that are read, and events that are written."""

import json
from datetime import UTC, datetime

import pytest

from cli.events import Event, created, deleted, first_sequencer, next_sequencer
from imagepipeline import keys

FROM_S3 = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-06-01T10:00:00Z",
    "detail": {"bucket": {"name": "photos"}, "object": {"key": "uploads/a+b.jpg", "sequencer": "0055aed6dcd90281e5"}},
}
HEAD = {"ContentLength": 12, "ETag": '"e1"', "LastModified": datetime(2026, 6, 1, 10, tzinfo=UTC)}
RECORD = {"Sequencer": keys.comparable("0055AED6DCD90281E5")}


@pytest.mark.parametrize(("kind", "machine"), [("Object Created", "ImagePipeline"), ("Object Deleted", "Housekeeping")])
def test_an_event_of_s3_goes_to_the_state_machine_that_is_for_it(kind: str, machine: str) -> None:
    event = Event.parse(json.dumps(FROM_S3 | {"detail-type": kind}))

    assert (event.machine, event.key) == (machine, "uploads/a+b.jpg")
    assert event.sequencer == RECORD["Sequencer"]
    assert event.document == FROM_S3 | {"detail-type": kind}


def test_an_execution_that_ended_early_is_about_the_key_it_was_started_for() -> None:
    told = {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": "arn:ended", "status": "ABORTED", "input": json.dumps(FROM_S3)},
    }

    event = Event.parse(json.dumps(told))

    assert (event.machine, event.key, event.abandoned) == ("Housekeeping", "uploads/a+b.jpg", "arn:ended")


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "7", "{}", '{"detail-type": "Object Restored"}', '{"detail-type": "Object Created"}']
)
def test_anything_else_is_no_event(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it is no event|no state machine|Expecting value)"):
        Event.parse(text)


def test_a_redrive_comes_after_its_record_and_before_whatever_happens_next() -> None:
    redriven = next_sequencer(RECORD)

    assert RECORD["Sequencer"] < redriven < keys.comparable("0055AED6DCD90281E6")
    assert redriven == keys.just_after(RECORD["Sequencer"])
    assert next_sequencer({"Sequencer": redriven}) > redriven


def test_an_object_without_a_record_comes_before_all_that_s3_tells() -> None:
    sequencer = first_sequencer(HEAD)

    assert len(sequencer) == keys.SEQUENCER_LENGTH
    assert keys.comparable("0") < sequencer < keys.comparable("0055AED6DCD90281E5")


def test_a_created_object_is_told_as_s3_tells_it() -> None:
    event = created("photos", "uploads/a+b.jpg", HEAD, "0A")

    assert event.document == {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-06-01T10:00:00Z",
        "detail": {
            "bucket": {"name": "photos"},
            "object": {"key": "uploads/a+b.jpg", "size": 12, "etag": "e1", "sequencer": "0A"},
            "reason": "Redrive",
        },
    }


@pytest.mark.parametrize(("version", "told"), [("3sL4kq", "3sL4kq"), ("null", None)])
def test_only_a_version_that_has_an_id_is_told(version: str, told: str | None) -> None:
    event = created("photos", "uploads/a.jpg", HEAD | {"VersionId": version}, "0A")

    assert event.document["detail"]["object"].get("version-id") == told


def test_what_was_written_is_read_as_it_was_meant() -> None:
    for event in (
        created("photos", "uploads/a.jpg", HEAD, next_sequencer(RECORD)),
        deleted("photos", "uploads/a.jpg", next_sequencer(RECORD), datetime.now(UTC)),
    ):
        assert Event.parse(json.dumps(event.document)) == event

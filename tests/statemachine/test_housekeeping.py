"""Every way through Housekeeping: deletions are followed, and executions that ended early are finished for."""

import json
from dataclasses import dataclass, field

import pytest

from imagepipeline.errors import RenditionsNotRemoved
from imagepipeline.keys import comparable
from tests.statemachine.machine import Fault, Outcome, StateMachine

KEY = "uploads/a+b 🐈.jpg"
OLDER, NEWER = "0066e1a2b3c4d5e6f7", "0066E1A2B3C4D5E6F8"
PIPELINE = "arn:aws:states:us-east-1:123456789012:execution:pipeline"
ABANDONED, ANOTHER = f"{PIPELINE}:abandoned", f"{PIPELINE}:another"
BUSY_TABLE = Fault("DynamoDB.ProvisionedThroughputExceededException", "The level of throughput was exceeded.")
BUSY_TOPIC = Fault("SNS.ThrottledException", "Rate exceeded")

TIDIED = ("RemoveRenditions", "Done")
LOOKED = ("ResolveCurrentVersion", "RouteByCurrentVersion")
TIDIED_LATER = ("LetStragglersEnd", *LOOKED, *TIDIED)
TAKEN_OVER = ("WhatHappened", "TakeOver", "RouteByRecordStatus")
NOT_HEARD = ("WaitToNotify", "CheckStillNewest", "IsWorthAnotherTry")
TOLD = ("Notify", "RecordAnnouncement", *TIDIED_LATER)

# What an execution may have left in the table.
PROCESSING = {"ImageKey": KEY, "Status": "PROCESSING", "Sequencer": comparable(OLDER), "ExecutionArn": ABANDONED}
COMPLETED = PROCESSING | {
    "Status": "COMPLETED",
    "Width": 4000,
    "Height": 3000,
    "Format": "JPEG",
    "Renditions": {"small": {"Width": 100}, "medium": {"Width": 640}},
}
REJECTED = PROCESSING | {
    "Status": "REJECTED",
    "Error": {"Name": "EmptyFile", "Message": "the file is empty"},
    "FailedStep": "ValidateImage",
}
ANNOUNCED = COMPLETED | {"AnnouncedAt": "2026-03-01T12:00:05Z"}
OVERTAKEN = PROCESSING | {"ExecutionArn": ANOTHER}


@pytest.fixture
def housekeeping(deploy) -> StateMachine:
    """Housekeeping, and an object that has a record or an event of its own."""
    answers = {
        "resolve_current_version": {"Next": "NOTHING"},
        "cleanup": {"Removed": 3},
        "states:startExecution": {"ExecutionArn": ANOTHER, "StartDate": 0},
    }
    return deploy("Housekeeping", answers)


def s3_event(kind: str, sequencer: str = OLDER) -> dict:
    return {
        "source": "aws.s3",
        "detail-type": kind,
        "time": "2026-03-01T12:00:00Z",
        "detail": {"bucket": {"name": "uploads"}, "object": {"key": KEY, "sequencer": sequencer}},
    }


def ended(status: str) -> dict:
    """Step Functions' event of an execution of ImagePipeline that ended otherwise than by succeeding."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": ABANDONED, "status": status, "input": json.dumps(s3_event("Object Created"))},
    }


@dataclass(frozen=True)
class Scenario:
    """A sentence about an event and the record that it finds, and what it promises."""

    sentence: str
    event: dict
    found: dict | None
    path: tuple[str, ...]
    left: str | None  # the record's Status
    announced: tuple[str, ...] = ()
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    status: str = "SUCCEEDED"


DELETED = s3_event("Object Deleted", NEWER)
GONE = {"Next": "REMOVE"}
FOLLOWED = ("WhatHappened", *LOOKED)
TRIED_OUT = ("WhatHappened", "IgnoredEvent")
REMOVED = (*FOLLOWED, "RemoveRecord", *LOOKED)

SCENARIOS = [
    Scenario(
        "a deletion removes the record",
        DELETED,
        COMPLETED,
        (*REMOVED, *TIDIED),
        None,
        outcomes={"resolve_current_version": 2 * [GONE]},
    ),
    Scenario(
        "a deletion of what was never recorded is quiet",
        DELETED,
        None,
        (*REMOVED, *TIDIED),
        None,
        outcomes={"resolve_current_version": 2 * [GONE]},
    ),
    Scenario(
        "a version that came back while the record was being removed is processed",
        DELETED,
        COMPLETED,
        (*REMOVED, "ProcessCurrent", *TIDIED),
        None,
        outcomes={"resolve_current_version": [GONE, {"Next": "PROCESS", "Event": {"detail": "of the version"}}]},
    ),
    *(
        Scenario(f"what was tried out by hand with {what} is none of its business", event, None, TRIED_OUT, None)
        for what, event in {
            "nothing": {},
            "an event of nothing": {"detail-type": "Object Deleted", "detail": {}},
            "a pipeline's execution that got nothing": ended("FAILED") | {"detail": {"input": "{}"}},
        }.items()
    ),
    Scenario(
        "a deletion that comes late spares what was uploaded since",
        s3_event("Object Deleted", OLDER),
        COMPLETED | {"Sequencer": comparable(NEWER)},
        (*FOLLOWED, "RemoveRecord", *TIDIED),
        "COMPLETED",
        outcomes={"resolve_current_version": [GONE]},
    ),
    Scenario(
        "a deletion beneath the newest object changes nothing",
        DELETED,
        COMPLETED,
        (*FOLLOWED, *TIDIED),
        "COMPLETED",
    ),
    Scenario(
        "a deletion that uncovers an older version has that one processed",
        DELETED,
        COMPLETED,
        (*FOLLOWED, "ProcessCurrent", *TIDIED),
        "COMPLETED",
        outcomes={"resolve_current_version": [{"Next": "PROCESS", "Event": {"detail": "of the older version"}}]},
    ),
    *(
        Scenario(
            f"an upload whose execution ended {status} has failed",
            ended(status),
            PROCESSING,
            (*TAKEN_OVER, "RecordFailure", *TOLD),
            "FAILED",
            ("FAILURE",),
        )
        for status in ("FAILED", "TIMED_OUT", "ABORTED")
    ),
    Scenario(
        "an image that was ready and not announced is",
        ended("TIMED_OUT"),
        COMPLETED,
        (*TAKEN_OVER, *TOLD),
        "COMPLETED",
        ("SUCCESS",),
    ),
    Scenario(
        "a rejection that was not announced is",
        ended("ABORTED"),
        REJECTED,
        (*TAKEN_OVER, *TOLD),
        "REJECTED",
        ("FAILURE",),
    ),
    Scenario(
        "what was announced is not again",
        ended("FAILED"),
        ANNOUNCED,
        ("WhatHappened", "TakeOver", "WasItAborted", *TIDIED_LATER),
        "COMPLETED",
    ),
    Scenario(
        "what another execution has is left to it",
        ended("FAILED"),
        OVERTAKEN,
        ("WhatHappened", "TakeOver", "WasItAborted", *TIDIED_LATER),
        "PROCESSING",
    ),
    Scenario(
        "what was deleted meanwhile is not brought back",
        ended("FAILED"),
        None,
        ("WhatHappened", "TakeOver", "WasItAborted", *TIDIED_LATER),
        None,
    ),
    Scenario(
        "what was aborted before it began is started again",
        ended("ABORTED"),
        None,
        ("WhatHappened", "TakeOver", "WasItAborted", "StartAgain", *TIDIED_LATER),
        None,
    ),
    Scenario(
        "what failed although it was deleted leaves no record",
        ended("FAILED"),
        PROCESSING,
        (*TAKEN_OVER, "RecordFailure", *TOLD[:3], *LOOKED, "RemoveRecord", *LOOKED, *TIDIED),
        None,
        ("FAILURE",),
        {"resolve_current_version": 2 * [GONE]},
    ),
    Scenario(
        "a failure that can't be recorded is still announced",
        ended("TIMED_OUT"),
        PROCESSING,
        (*TAKEN_OVER, "RecordFailure", *TOLD),
        "PROCESSING",
        ("FAILURE",),
        # The first is TakeOver's.
        {"dynamodb:updateItem": [None, *7 * [BUSY_TABLE]]},
    ),
    Scenario(
        "an announcement that SNS refuses is tried again",
        ended("TIMED_OUT"),
        COMPLETED,
        (*TAKEN_OVER, "Notify", *NOT_HEARD, *TOLD),
        "COMPLETED",
        ("SUCCESS",),
        {"sns:publish": [BUSY_TOPIC]},
    ),
    Scenario(
        "an announcement that SNS refuses for good ends as such",
        ended("TIMED_OUT"),
        COMPLETED,
        (*TAKEN_OVER, *7 * ("Notify", *NOT_HEARD), "Notify", *NOT_HEARD, "Unannounced"),
        "COMPLETED",
        outcomes={"sns:publish": 8 * [BUSY_TOPIC]},
        status="FAILED",
    ),
    Scenario(
        "an announcement is tried again even when the table can't say who has the key",
        ended("TIMED_OUT"),
        COMPLETED,
        (*TAKEN_OVER, "Notify", *NOT_HEARD, *TOLD),
        "COMPLETED",
        ("SUCCESS",),
        {"sns:publish": [BUSY_TOPIC], "dynamodb:updateItem": [None, *7 * [BUSY_TABLE]]},
    ),
    Scenario(
        "an announcement that can't be noted was made",
        ended("TIMED_OUT"),
        COMPLETED,
        (*TAKEN_OVER, *TOLD),
        "COMPLETED",
        ("SUCCESS",),
        {"dynamodb:updateItem": [None, *7 * [BUSY_TABLE]]},
    ),
    Scenario(
        "a busy table and S3 are waited for",
        DELETED,
        COMPLETED,
        (*REMOVED, *TIDIED),
        None,
        outcomes={
            "resolve_current_version": 2 * [GONE],
            "dynamodb:deleteItem": 6 * [BUSY_TABLE],
            "cleanup": 10 * [RenditionsNotRemoved("SlowDown")],
        },
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_every_way_through(housekeeping: StateMachine, scenario: Scenario):
    if scenario.found is not None:
        housekeeping.put(**scenario.found)

    execution = housekeeping.run(scenario.event, scenario.outcomes)

    record = housekeeping.record(KEY)
    told = [said["MessageAttributes"]["processing_status"]["StringValue"] for said in execution.announcements]
    assert execution.states == scenario.path
    assert execution.status == scenario.status
    assert (record and record["Status"]) == scenario.left
    assert tuple(told) == scenario.announced


@pytest.mark.parametrize("event", [DELETED, ended("FAILED")], ids=["deletion", "early end"])
def test_renditions_are_removed_by_the_uploads_key(housekeeping: StateMachine, event: dict):
    execution = housekeeping.run(event)

    (call,) = execution.calls_in("RemoveRenditions")
    assert call.arguments == {"ImageKey": KEY}


def test_the_version_that_is_the_newest_again_is_processed_as_if_uploaded(housekeeping: StateMachine):
    event = s3_event("Object Created", NEWER)

    execution = housekeeping.run(DELETED, {"resolve_current_version": [{"Next": "PROCESS", "Event": event}]})

    (call,) = execution.calls_in("ProcessCurrent")
    assert call.arguments["Input"] == event


def test_what_was_aborted_before_it_began_gets_its_own_event_again(housekeeping: StateMachine):
    event = ended("ABORTED")

    execution = housekeeping.run(event)

    (call,) = execution.calls_in("StartAgain")
    assert call.arguments["Input"] == json.loads(event["detail"]["input"])


def test_a_deletion_is_described_as_its_event_does(housekeeping: StateMachine):
    execution = housekeeping.run(DELETED)

    (call,) = execution.calls_in("ResolveCurrentVersion")
    described = {"Bucket": "uploads", "ImageKey": KEY, "Sequencer": comparable(NEWER), "VersionId": "null"}
    assert call.arguments["Upload"].items() >= (described | {"ReceivedAt": "2026-03-01T12:00:00Z"}).items()


def test_an_execution_that_ended_early_is_named_as_the_reason(housekeeping: StateMachine):
    housekeeping.put(**PROCESSING)

    (announcement,) = housekeeping.run(ended("TIMED_OUT")).announcements

    record = housekeeping.record(KEY)
    reason = "the execution that processed it ended early (TIMED_OUT)"
    assert record["Error"] == {"Name": "Execution.TIMED_OUT", "Message": reason}
    assert record["CompletedAt"] <= record["AnnouncedAt"]
    assert announcement["Subject"] == "Image pipeline: an image was not processed"
    assert announcement["MessageAttributes"]["imageId"]["StringValue"] == KEY
    assert announcement["Message"].splitlines() == [
        "An image was not processed.",
        "",
        f"  Image       {KEY}",
        f"  Reason      {reason}",
        "  Error       Execution.TIMED_OUT, in ImagePipeline",
        "  Uploaded    2026-03-01T12:00:00Z",
        f"  Execution   {record['ExecutionArn']}",
    ]


def test_a_rejection_is_announced_later_with_its_own_reason(housekeeping: StateMachine):
    housekeeping.put(**REJECTED)

    (announcement,) = housekeeping.run(ended("ABORTED")).announcements

    assert "  Reason      the file is empty\n  Error       EmptyFile, in ValidateImage\n" in announcement["Message"]


def test_an_image_that_was_ready_is_announced_with_what_the_record_says(housekeeping: StateMachine):
    housekeeping.put(**COMPLETED)

    (announcement,) = housekeeping.run(ended("TIMED_OUT")).announcements

    said = announcement["Message"].splitlines()[2:]
    assert said[:2] == [f"  Image       {KEY}", "  Picture     4000 x 3000 JPEG"]
    assert said[2] in ("  Renditions  small, medium", "  Renditions  medium, small")
    assert len(said) == 3


def test_an_image_that_was_ready_but_for_its_labels_is_announced_with_the_reason(housekeeping: StateMachine):
    reason = {"Name": "RekognitionThrottled", "Message": "Rekognition is throttling: slow down"}
    housekeeping.put(**COMPLETED, LabelsError=reason)

    (announcement,) = housekeeping.run(ended("FAILED")).announcements

    assert "  Labels      none: Rekognition is throttling: slow down\n" in announcement["Message"]


def test_the_same_early_end_told_twice_is_announced_once(housekeeping: StateMachine):
    housekeeping.put(**PROCESSING)
    housekeeping.run(ended("TIMED_OUT"))

    again = housekeeping.run(ended("TIMED_OUT"))

    assert again.announcements == ()
    assert housekeeping.record(KEY)["Status"] == "FAILED"


def test_an_upload_overtaken_before_its_failure_is_recorded_is_left_to_the_newer(housekeeping: StateMachine):
    def overtaken_at_once(arguments: dict) -> dict:
        housekeeping.put(**OVERTAKEN)
        return {"Attributes": {"Status": {"S": "PROCESSING"}}}

    execution = housekeeping.run(ended("TIMED_OUT"), {"dynamodb:updateItem": [overtaken_at_once]})

    assert execution.states == (*TAKEN_OVER, "RecordFailure", *TIDIED_LATER)
    assert execution.announcements == ()
    assert housekeeping.record(KEY) == OVERTAKEN


def test_an_announcement_that_failed_is_not_sent_again_once_a_newer_event_has_the_key(housekeeping: StateMachine):
    def overtaken_meanwhile(arguments: dict) -> dict:
        housekeeping.put(**OVERTAKEN)
        raise TimeoutError

    housekeeping.put(**COMPLETED)
    execution = housekeeping.run(ended("TIMED_OUT"), {"sns:publish": [overtaken_meanwhile]})

    assert execution.states == (*TAKEN_OVER, "Notify", "WaitToNotify", "CheckStillNewest", *TIDIED_LATER)
    assert execution.announcements == ()
    assert housekeeping.record(KEY) == OVERTAKEN


def test_an_upload_overtaken_while_it_is_announced_notes_nothing_in_the_newer_ones_record(housekeeping: StateMachine):
    def overtaken_meanwhile(arguments: dict) -> dict:
        housekeeping.put(**OVERTAKEN)
        return {"MessageId": "1"}

    housekeeping.put(**COMPLETED)
    execution = housekeeping.run(ended("TIMED_OUT"), {"sns:publish": [overtaken_meanwhile]})

    assert execution.states == (*TAKEN_OVER, *TOLD)
    assert housekeeping.record(KEY) == OVERTAKEN

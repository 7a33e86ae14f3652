"""What Housekeeping promises: deletions are followed, and uploads whose execution ended early are resumed."""

import json
from dataclasses import dataclass, field

import pytest

from imagepipeline.errors import RenditionsNotRemoved
from imagepipeline.keys import comparable
from tests.statemachine.machine import Execution, Outcome, StateMachine
from tests.statemachine.uploads import BUSY_TABLE, LOST

KEY = "uploads/a+b 🐈.jpg"
OLDER, NEWER = "0066e1a2b3c4d5e6f7", "0066E1A2B3C4D5E6F8"
ENDED = "arn:aws:states:us-east-1:123456789012:execution:pipeline:ended"
RECORD = {"ImageKey": KEY, "Status": "COMPLETED", "Sequencer": comparable(OLDER), "ExecutionArn": ENDED}


@pytest.fixture
def housekeeping(deploy) -> StateMachine:
    """Housekeeping, for a key whose current object has an event or a record of its own."""
    answers = {
        "resolve_current_version": {"Action": "KEEP"},
        "cleanup": {"Removed": 3},
        "states:startExecution": {"ExecutionArn": ENDED + "2", "StartDate": 0},
    }
    return deploy("Housekeeping", answers)


def s3_event(kind: str, sequencer: str = OLDER) -> dict:
    return {
        "source": "aws.s3",
        "detail-type": kind,
        "time": "2026-03-01T12:00:00Z",
        "detail": {"bucket": {"name": "uploads"}, "object": {"key": KEY, "sequencer": sequencer}},
    }


CREATED, DELETED = s3_event("Object Created"), s3_event("Object Deleted", NEWER)


def ended(status: str, event: dict = CREATED) -> dict:
    """Step Functions' event of an execution of ImagePipeline that ended otherwise than by succeeding."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": ENDED, "status": status, "input": json.dumps(event)},
    }


def started(execution: Execution) -> list[dict]:
    """Inputs of the executions of ImagePipeline that were started."""
    return [call.arguments["Input"] for call in execution.calls_of("states:startExecution")]


# ------------------------------------------------------------------------------------------------------------ deletions

GONE = {"Action": "REMOVE"}
BACK = {"Action": "PROCESS", "Event": {"detail": {"object": {"key": KEY, "version-id": "older"}}}}


@dataclass(frozen=True)
class Deletion:
    """A sentence about a deletion, what the key turns out to hold, and what must follow."""

    sentence: str
    resolved: list[dict] = field(default_factory=list)
    event: dict = field(default_factory=lambda: DELETED)
    recorded: dict | None = field(default_factory=lambda: RECORD)
    removed: bool = False  # whether the record is
    processed: bool = False  # whether the older version is
    faults: dict[str, list[Outcome]] = field(default_factory=dict)


@pytest.mark.parametrize(
    "deletion",
    [
        Deletion("the record goes with its object", 2 * [GONE], removed=True),
        Deletion("an object that was never recorded", 2 * [GONE], recorded=None, removed=True),
        Deletion("an old version, which changes nothing"),
        Deletion("the newest version, so that the older one is processed", [BACK], processed=True),
        Deletion("a version restored while the record is removed", [GONE, BACK], removed=True, processed=True),
        Deletion(
            "an event that arrives after a newer upload",
            [GONE],
            s3_event("Object Deleted", OLDER),
            RECORD | {"Sequencer": comparable(NEWER), "ExecutionArn": "another"},
        ),
        Deletion(
            "a table and an S3 that are busy",
            2 * [GONE],
            removed=True,
            faults={"dynamodb:deleteItem": 6 * [BUSY_TABLE], "cleanup": 10 * [RenditionsNotRemoved("SlowDown")]},
        ),
    ],
    ids=lambda deletion: deletion.sentence,
)
def test_a_deletion_is_followed(housekeeping: StateMachine, deletion: Deletion):
    if deletion.recorded:
        housekeeping.put(**deletion.recorded)

    execution = housekeeping.run(deletion.event, {"resolve_current_version": deletion.resolved} | deletion.faults)

    assert execution.status == "SUCCEEDED"
    assert housekeeping.record(KEY) == (None if deletion.removed else deletion.recorded)
    assert started(execution) == ([BACK["Event"]] if deletion.processed else [])
    assert execution.calls_of("resolve_current_version")[0].arguments["Event"] == deletion.event
    assert execution.calls_of("cleanup")[-1].arguments["ImageKey"] == KEY


def test_a_removal_whose_response_was_lost_is_repeated_harmlessly(housekeeping: StateMachine):
    housekeeping.put(**RECORD)

    execution = housekeeping.run(DELETED, {"resolve_current_version": 2 * [GONE], "dynamodb:deleteItem": [LOST]})

    assert execution.status == "SUCCEEDED"
    assert housekeeping.record(KEY) is None


# ------------------------------------------------------------------------------------------ executions that ended early


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT", "FAILED"])
def test_an_upload_whose_execution_ended_early_is_resumed(housekeeping: StateMachine, status: str):
    execution = housekeeping.run(ended(status))

    abandoned = {"ExecutionArn": ENDED, "Earlier": [], "Status": status, "Resumptions": 1}
    assert started(execution) == [CREATED | {"Abandoned": abandoned}]
    assert execution.calls_of("resolve_current_version")[0].arguments["Event"] == CREATED
    assert execution.calls_of("cleanup")[-1].arguments["ImageKey"] == KEY
    assert execution.status == "SUCCEEDED"


def test_a_resumption_names_the_executions_that_may_own_the_record(housekeeping: StateMachine):
    abandoned = {"ExecutionArn": "second", "Earlier": ["first", "none"], "Status": "ABORTED", "Resumptions": 2}

    (event,) = started(housekeeping.run(ended("ABORTED", CREATED | {"Abandoned": abandoned})))

    assert event["Abandoned"]["ExecutionArn"] == ENDED
    assert event["Abandoned"]["Earlier"] == ["second", "first"]


def version(event: dict, version_id: str | None) -> dict:
    """An event of an object with this version ID, or in a bucket without versioning."""
    described = event["detail"]["object"] | ({"version-id": version_id} if version_id else {})
    return event | {"detail": event["detail"] | {"object": described}}


@pytest.mark.parametrize(
    ("current", "started_for_it"),
    [("newer", False), ("older", True), (None, True)],
    ids=["the same version", "another version", "the object from before there were versions"],
)
def test_a_version_whose_execution_ended_early_is_resumed_once(
    housekeeping: StateMachine, current: str | None, started_for_it: bool
):
    found = {"Action": "PROCESS", "Event": version(CREATED, current)}

    execution = housekeeping.run(ended("FAILED", version(CREATED, "newer")), {"resolve_current_version": [found]})

    assert (found["Event"] in started(execution)) is started_for_it


def test_a_version_restored_while_its_record_is_removed_is_processed(housekeeping: StateMachine):
    restored = {"Action": "PROCESS", "Event": version(CREATED, "restored")}
    housekeeping.put(**RECORD)

    event = ended("FAILED", version(CREATED, "restored"))
    execution = housekeeping.run(event, {"resolve_current_version": [GONE, restored]})

    assert restored["Event"] in started(execution)


def test_executions_that_keep_ending_early_are_resumed_three_times(housekeeping: StateMachine):
    resumptions, event = [], CREATED
    while len(resumptions) < 5 and (inputs := started(housekeeping.run(ended("FAILED", event)))):
        (event,) = inputs
        resumptions.append(event["Abandoned"]["Resumptions"])

    assert resumptions == [1, 2, 3]


@pytest.mark.parametrize("sequencer", [OLDER, NEWER], ids=["of the event", "of a version processed after it"])
def test_a_failed_upload_that_was_deleted_leaves_no_record(housekeeping: StateMachine, sequencer: str):
    housekeeping.put(**RECORD | {"Sequencer": comparable(sequencer)})

    housekeeping.run(ended("FAILED"), {"resolve_current_version": 2 * [GONE]})

    assert housekeeping.record(KEY) is None


@pytest.mark.parametrize(
    "event",
    [{}, {"detail-type": "Object Deleted", "detail": {}}, ended("FAILED", {}), ended("ABORTED") | {"detail": {}}],
    ids=["nothing", "a deletion of nothing", "an execution without an event", "an execution without an input"],
)
def test_what_is_no_event_of_the_pipeline_is_ignored(housekeeping: StateMachine, event: dict):
    execution = housekeeping.run(event)

    assert execution.status == "SUCCEEDED"
    assert execution.calls == ()

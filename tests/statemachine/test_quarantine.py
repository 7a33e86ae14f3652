"""What ImagePipeline does with an image that is held, and with a moderator's decision about it."""

import pytest

from imagepipeline import quarantine
from imagepipeline.errors import RejectedByModerator, RenditionsNotRemoved, UploadGone
from imagepipeline.keys import comparable
from imagepipeline.quarantine import Action
from tests.event_schema import require_valid
from tests.statemachine.machine import Execution, Outcome, StateMachine
from tests.statemachine.uploads import (
    ABANDONED,
    BUSY_REKOGNITION,
    BUSY_TABLE,
    BUSY_TOPIC,
    CRASH,
    FOREVER,
    KEY,
    LOST,
    METADATA,
    NEWER,
    RENDITIONS,
    pipeline_with,
    published,
    resumed,
    text,
    uploaded,
)

FACE = {
    "BoundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.25, "Height": 0.25},
    "Confidence": 99.9,
    "Landmarks": [{"Type": "nose", "X": 0.4, "Y": 0.6}],
    "Pose": {"Roll": -1.5, "Yaw": 2.0, "Pitch": 0},
}
FLAGGED = METADATA | {
    "ModerationLabels": [{"Name": "Weapons", "ParentName": "Violence", "Confidence": 93.1, "TaxonomyLevel": 2}],
    "Faces": [FACE],
}
CLEAN = METADATA | {"ModerationLabels": []}


@pytest.fixture
def pipeline(deploy) -> StateMachine:
    """ImagePipeline with functions that find something in every image."""
    machine = pipeline_with(deploy, FLAGGED)
    machine.holds = True
    return machine


def decide(pipeline: StateMachine, action: Action, outcomes: dict[str, list[Outcome]] | None = None) -> Execution:
    """Apply a decision about the record as it is."""
    return pipeline.run(quarantine.decision("uploads", pipeline.record(KEY), action), outcomes)


# ---------------------------------------------------------------------------------------------------------------- held


def test_a_flagged_image_is_held_and_announced_without_its_renditions(pipeline: StateMachine):
    execution = pipeline.run(uploaded())

    record, (announcement,), (event,) = pipeline.record(KEY), execution.announcements, execution.events
    require_valid(event)
    assert record["Status"] == event["Outcome"] == "HELD"
    assert record["HeldBecause"] == {"Name": "Flagged", "Message": "Weapons 93 %"}
    assert execution.outcomes_announced == ("HELD",)
    assert announcement["Subject"] == "Image pipeline: an image is held for review"
    assert len(execution.states) == 6
    assert record.pop("Renditions") == RENDITIONS
    assert event["Record"] == published(record)


@pytest.mark.parametrize(
    "outcomes",
    [{"metadata": 3 * [CRASH]}, {"metadata": FOREVER * [BUSY_REKOGNITION]}, {"metadata": [METADATA]}],
    ids=["a function that crashes", "a Rekognition that throttles for good", "a function that does not examine"],
)
def test_an_image_that_was_not_examined_is_held(pipeline: StateMachine, outcomes: dict):
    execution = pipeline.run(uploaded(), outcomes)

    assert pipeline.record(KEY)["Status"] == "HELD"
    assert execution.outcomes_announced == ("HELD",)


def test_an_examined_image_without_findings_is_completed(pipeline: StateMachine):
    assert pipeline.run(uploaded(), {"metadata": [CLEAN]}).outcomes_announced == ("SUCCESS",)


def test_a_late_announcement_of_a_held_image_is_the_same(pipeline: StateMachine):
    sent = pipeline.run(uploaded())
    pipeline.put(**pipeline.record(KEY) | {"ExecutionArn": ABANDONED})

    again = pipeline.run(resumed())

    (announcement,) = again.announcements
    assert again.events == sent.events
    assert again.outcomes_announced == ("HELD",)
    assert announcement["Subject"] == "Image pipeline: an image is held for review"
    assert text(announcement).splitlines() == [
        "An image is held for review.",
        "",
        f"  Image       {KEY}",
        "  Picture     4000 x 3000 JPEG",
        "  Reason      Weapons 93 %",
    ]


def test_a_held_image_whose_execution_fails_afterwards_has_failed(pipeline: StateMachine):
    def stored_and_then_busy(payload: dict) -> dict:
        pipeline.store(payload)
        raise RenditionsNotRemoved("SlowDown")

    execution = pipeline.run(uploaded(), {"store": FOREVER * [stored_and_then_busy]})

    record, (event,) = pipeline.record(KEY), execution.events
    require_valid(event)
    assert record["Status"] == event["Outcome"] == "FAILED"
    assert record.keys().isdisjoint({"Renditions", "HeldBecause"})


# ------------------------------------------------------------------------------------------------------------ decisions


def test_a_released_image_is_completed_and_announced(pipeline: StateMachine):
    pipeline.run(uploaded(version="3sL4kqtJlcpXroDTDmJ"))
    held = pipeline.record(KEY)

    execution = decide(pipeline, Action.RELEASE)

    record, (event,) = pipeline.record(KEY), execution.events
    require_valid(event)
    assert execution.outcomes_announced == ("SUCCESS",)
    assert event["Record"] == published(record)
    assert record["CompletedAt"] >= held["CompletedAt"]
    changed = ("Status", "HeldBecause", "CompletedAt", "ExecutionArn")
    assert {name: value for name, value in record.items() if name not in changed} == {
        name: value for name, value in held.items() if name not in changed
    } | {"Decision": {"Action": "RELEASE"}}
    assert (record["Status"], "HeldBecause" in record) == ("COMPLETED", False)


def test_a_released_image_lacks_nothing_that_a_moderator_has_replaced(pipeline: StateMachine):
    unexamined = METADATA | {"ModerationError": {"Name": "RekognitionFailed", "Message": "InternalServerError"}}
    pipeline.run(uploaded(), {"metadata": [unexamined]})

    decide(pipeline, Action.RELEASE)

    assert pipeline.record(KEY)["Status"] == "COMPLETED"
    assert "ModerationError" not in pipeline.record(KEY)


def test_a_rejected_image_loses_its_renditions_and_is_announced(pipeline: StateMachine):
    pipeline.run(uploaded())

    execution = decide(pipeline, Action.REJECT)

    record, (event,) = pipeline.record(KEY), execution.events
    require_valid(event)
    assert execution.status == "SUCCEEDED"
    assert execution.outcomes_announced == ("FAILURE",)
    assert event["Record"] == published(record)
    assert record["Status"] == "REJECTED"
    assert record["Error"] == {"Name": "RejectedByModerator", "Message": str(RejectedByModerator())}
    assert record["FailedStep"] == "Moderation"
    assert record.keys().isdisjoint({"Renditions", "HeldBecause"})
    assert len(execution.calls_of("cleanup")) == 1


@pytest.mark.parametrize("action", Action)
def test_a_decision_is_applied_once(pipeline: StateMachine, action: Action):
    pipeline.run(uploaded())
    decision = quarantine.decision("uploads", pipeline.record(KEY), action)
    pipeline.run(decision)
    decided = pipeline.record(KEY)

    again = pipeline.run(decision)

    assert again.announcements == ()
    assert again.status == "SUCCEEDED"
    assert pipeline.record(KEY) == decided


@pytest.mark.parametrize("action", Action)
def test_a_decision_is_not_about_a_newer_upload(pipeline: StateMachine, action: Action):
    pipeline.run(uploaded())
    decision = quarantine.decision("uploads", pipeline.record(KEY), action)
    pipeline.run(uploaded(sequencer=NEWER))
    newest = pipeline.record(KEY)

    execution = pipeline.run(decision)

    assert execution.announcements == ()
    assert pipeline.record(KEY) == newest


def test_a_decision_about_a_deleted_image_leaves_nothing(pipeline: StateMachine):
    pipeline.run(uploaded())
    decision = quarantine.decision("uploads", pipeline.record(KEY), Action.RELEASE)
    pipeline.delete(KEY)

    execution = pipeline.run(decision, {"validate": [UploadGone()]})

    assert execution.announcements == ()
    assert pipeline.record(KEY) is None


@pytest.mark.parametrize(("action", "announced"), [(Action.RELEASE, "SUCCESS"), (Action.REJECT, "FAILURE")])
@pytest.mark.parametrize("interrupted", ["before the takeover", "after it", "before the announcement"])
def test_an_interrupted_decision_is_resumed(pipeline: StateMachine, action: Action, announced: str, interrupted: str):
    pipeline.run(uploaded())
    decision = quarantine.decision("uploads", pipeline.record(KEY), action)
    if interrupted == "after it":
        pipeline.put(**pipeline.record(KEY) | {"ExecutionArn": ABANDONED})
    if interrupted == "before the announcement":
        pipeline.run(decision, {"sns:publish": 8 * [BUSY_TOPIC]})
        pipeline.put(**pipeline.record(KEY) | {"ExecutionArn": ABANDONED})
    interruption = {"ExecutionArn": ABANDONED, "Status": "ABORTED", "Resumptions": 1}

    execution = pipeline.run(decision | {"Abandoned": interruption})

    assert execution.outcomes_announced == (announced,)
    assert pipeline.record(KEY)["Status"] == ("COMPLETED" if action is Action.RELEASE else "REJECTED")


def test_a_decision_that_cannot_be_recorded_fails_and_changes_nothing(pipeline: StateMachine):
    pipeline.run(uploaded())
    held = pipeline.record(KEY)

    execution = decide(pipeline, Action.RELEASE, {"dynamodb:putItem": 7 * [BUSY_TABLE]})

    assert execution.status == "FAILED"
    assert execution.announcements == ()
    assert pipeline.record(KEY) == held


def test_a_release_that_cannot_be_stored_fails_and_shows_nothing(pipeline: StateMachine):
    pipeline.run(uploaded())

    execution = decide(pipeline, Action.RELEASE, {"store": FOREVER * [CRASH]})

    record = pipeline.record(KEY)
    assert (record["Status"], "Renditions" in record) == ("FAILED", False)
    assert execution.outcomes_announced == ("FAILURE",)


def test_of_two_decisions_at_once_the_later_one_counts(pipeline: StateMachine):
    pipeline.run(uploaded())

    def rejected_meanwhile(payload: dict) -> dict:
        pipeline.put(**pipeline.record(KEY) | {"ExecutionArn": "another"})
        return pipeline.store(payload)

    execution = decide(pipeline, Action.RELEASE, {"store": [rejected_meanwhile]})

    assert execution.announcements == ()
    assert pipeline.record(KEY)["Status"] == "HELD"


def test_a_release_stands_when_the_image_is_processed_again(pipeline: StateMachine):
    released = uploaded(sequencer=NEWER) | {"Decision": {"Action": "RELEASE"}}

    execution = pipeline.run(released)

    assert execution.outcomes_announced == ("SUCCESS",)
    assert pipeline.record(KEY)["Sequencer"] == comparable(NEWER)
    assert pipeline.record(KEY)["Decision"] == {"Action": "RELEASE"}


def test_a_decision_whose_response_was_lost_is_repeated_harmlessly(pipeline: StateMachine):
    pipeline.run(uploaded())

    execution = decide(pipeline, Action.REJECT, {"dynamodb:updateItem": [LOST]})

    assert execution.outcomes_announced == ("FAILURE",)

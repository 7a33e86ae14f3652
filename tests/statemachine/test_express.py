"""What ImagePipeline does in addition as an Express workflow: it registers executions until they have succeeded."""

import json
from functools import partial

import pytest

from imagepipeline.errors import DamagedImage, UploadGone
from imagepipeline.executions import ended_early
from imagepipeline.keys import comparable
from tests.statemachine import uploads
from tests.statemachine.machine import Outcome, StateMachine
from tests.statemachine.uploads import (
    ABANDONED,
    BUSY_TABLE,
    BUSY_TOPIC,
    BYTES,
    CRASH,
    ETAG,
    KEY,
    LOST,
    NEWER,
    PROCESSING,
    RENDITIONS,
    pipeline_with,
    uploaded,
)

resumed = partial(uploads.resumed, status="TIMED_OUT")  # by Housekeeping, after Sweep has handed it over
LAST = 30  # resumptions after which an image is not processed again


@pytest.fixture
def pipeline(deploy) -> StateMachine:
    return pipeline_with(deploy, WorkflowType="EXPRESS")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ({}, "COMPLETED"),
        ({"sns:publish": 2 * [BUSY_TOPIC]}, "COMPLETED"),
        ({"validate": [DamagedImage("PNG", "it is cut short")]}, "REJECTED"),
        ({"validate": [UploadGone()]}, None),
    ],
    ids=["completed", "announced at last", "rejected", "superseded"],
)
def test_an_execution_that_succeeds_is_registered_no_longer(
    pipeline: StateMachine, outcomes: dict[str, list[Outcome]], status: str | None
):
    execution = pipeline.run(uploaded(), outcomes)

    assert execution.states[0] == "RegisterExecution"
    assert execution.status == "SUCCEEDED"
    assert (pipeline.record(KEY) or {}).get("Status") == status
    assert len(execution.announcements) == (status is not None)
    assert pipeline.registered() == []


@pytest.mark.parametrize(
    "outcomes",
    [{"validate": 3 * [CRASH]}, {"sns:publish": 8 * [BUSY_TOPIC]}, {"dynamodb:deleteItem": 7 * [BUSY_TABLE]}],
    ids=["failed", "never announced", "not noted as succeeded"],
)
def test_an_execution_that_does_not_succeed_stays_registered_with_its_input(
    pipeline: StateMachine, outcomes: dict[str, list[Outcome]]
):
    execution = pipeline.run(uploaded(), outcomes)
    (item,) = pipeline.registered()

    assert execution.status == "FAILED"
    assert json.loads(item["Input"]["S"]) == uploaded()
    assert item["Resumptions"] == {"N": "0"}
    assert item["ExecutionArn"]["S"]


def test_a_duplicate_event_leaves_nothing_registered(pipeline: StateMachine):
    pipeline.run(uploaded())

    execution = pipeline.run(uploaded())

    assert execution.status == "SUCCEEDED"
    assert execution.announcements == ()
    assert pipeline.registered() == []


def test_the_event_of_an_execution_that_cannot_be_registered_is_kept(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"dynamodb:putItem": 7 * [BUSY_TABLE]})
    (message,) = pipeline.undelivered()

    assert execution.status == "SUCCEEDED"
    assert pipeline.record(KEY) is None
    assert json.loads(message["Body"]) == uploaded()
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"].startswith("arn:aws:states:")
    assert attributes["ERROR_CODE"] == BUSY_TABLE.error
    assert attributes["ERROR_MESSAGE"].startswith("the execution could not be registered: ")


def test_an_image_whose_execution_timed_out_is_processed_again(pipeline: StateMachine):
    pipeline.put(**PROCESSING)

    execution = pipeline.run(resumed())

    assert execution.outcomes_announced == ("SUCCESS",)
    record = pipeline.record(KEY)
    assert (record["Status"], record["ReceivedAt"]) == ("COMPLETED", "2026-03-01T12:00:00Z")
    assert record["ExecutionArn"] != ABANDONED
    assert pipeline.registered() == []


def test_the_version_that_was_being_processed_is_processed_again(pipeline: StateMachine):
    """The execution had found its own version replaced, and gone on to an older one that was current again."""
    pipeline.put(**PROCESSING | {"Sequencer": comparable(NEWER), "VersionId": "restored"})

    execution = pipeline.run(resumed())

    (call,) = execution.calls_of("validate")
    assert call.arguments["Event"]["detail"]["object"] == {
        "key": KEY,
        "size": BYTES,
        "etag": ETAG,
        "sequencer": comparable(NEWER),
        "version-id": "restored",
    }
    assert pipeline.record(KEY)["Sequencer"] == comparable(NEWER)


def test_what_an_event_says_beside_the_upload_survives_a_resumption(pipeline: StateMachine):
    """The reason makes the image count in the metrics, and the decision keeps a released image from being held."""
    pipeline.put(**PROCESSING)
    event = resumed() | {"Decision": {"Action": "RELEASE"}, "Answers": {"Labels": []}}

    execution = pipeline.run(event)

    (call,) = execution.calls_of("store")
    assert call.arguments["Event"] == {name: value for name, value in event.items() if name != "Abandoned"}
    assert call.arguments["Event"]["detail"]["reason"] == "PutObject"


@pytest.mark.parametrize("place", [0, 1])
def test_an_image_is_taken_over_from_an_earlier_execution(pipeline: StateMachine, place: int):
    """The execution between had been started in its place, and ended before it took over."""
    pipeline.put(**PROCESSING)
    event = resumed(resumptions=2)
    earlier = ["other", "other"]
    earlier[place] = ABANDONED
    event["Abandoned"] |= {"ExecutionArn": "between", "Earlier": earlier}

    execution = pipeline.run(event)

    assert execution.outcomes_announced == ("SUCCESS",)
    assert pipeline.record(KEY)["Status"] == "COMPLETED"


@pytest.mark.parametrize(("resumptions", "announced"), [(LAST + 2, ()), (LAST + 3, ("FAILURE",))])
def test_the_last_execution_announces_an_image_without_a_record(
    pipeline: StateMachine, resumptions: int, announced: tuple[str, ...]
):
    register, begin = [None], 7 * [BUSY_TABLE]

    execution = pipeline.run(resumed(resumptions=resumptions), {"dynamodb:putItem": register + begin})

    assert execution.outcomes_announced == announced
    assert len(pipeline.registered()) == 1


def test_a_newer_upload_has_priority_over_a_resumption(pipeline: StateMachine):
    pipeline.put(**PROCESSING | {"Sequencer": comparable(NEWER), "ExecutionArn": "another"})

    execution = pipeline.run(resumed())

    assert execution.announcements == ()
    assert pipeline.record(KEY)["ExecutionArn"] == "another"
    assert pipeline.registered() == []


def test_an_outcome_that_was_not_announced_is_announced_without_processing(pipeline: StateMachine):
    stored = {"Status": "COMPLETED", "Width": 4000, "Height": 3000, "Format": "JPEG", "Renditions": RENDITIONS}
    pipeline.put(**PROCESSING | stored | {"CompletedAt": "2026-03-01T12:00:03Z"})

    execution = pipeline.run(resumed())

    assert execution.outcomes_announced == ("SUCCESS",)
    assert execution.calls_of("validate") == []
    assert pipeline.registered() == []


def test_after_a_day_an_image_is_recorded_as_failed(pipeline: StateMachine):
    pipeline.put(**PROCESSING)

    execution = pipeline.run(resumed(resumptions=LAST))

    assert execution.outcomes_announced == ("FAILURE",)
    assert pipeline.record(KEY)["Error"]["Name"] == "Execution.TIMED_OUT"
    assert len(pipeline.registered()) == 1


def test_resumptions_are_counted_for_the_next_one(pipeline: StateMachine):
    pipeline.put(**PROCESSING)

    pipeline.run(resumed(resumptions=4), {"validate": 3 * [CRASH]})

    (item,) = pipeline.registered()
    assert item["Resumptions"] == {"N": "4"}


@pytest.mark.parametrize(("resumptions", "resumed_again"), [(3, True), (LAST, True), (LAST + 3, False)])
def test_housekeeping_resumes_an_express_execution_for_a_day(deploy, resumptions: int, resumed_again: bool):
    answers = {
        "resolve_current_version": {"Action": "KEEP"},
        "cleanup": {"Removed": 0},
        "states:startExecution": {"ExecutionArn": "next", "StartDate": 0},
    }
    housekeeping = deploy("Housekeeping", answers)

    execution = housekeeping.run(ended_early(ABANDONED, json.dumps(resumed(resumptions=resumptions))))

    started = [call.arguments["Input"] for call in execution.calls_of("states:startExecution")]
    assert [event["Abandoned"]["Resumptions"] for event in started] == [resumptions + 1] * resumed_again
    assert all(event["Abandoned"]["ExecutionArn"] == ABANDONED for event in started)


def test_a_registration_whose_response_was_lost_is_repeated_harmlessly(pipeline: StateMachine):
    pipeline.run(uploaded(), {"dynamodb:putItem": [LOST]})

    assert pipeline.registered() == []

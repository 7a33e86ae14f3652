"""What ImagePipeline promises for an upload: its record, its notification, and what each function is sent."""

import json
from dataclasses import dataclass, field

import pytest

from imagepipeline import analysis, errors
from imagepipeline.errors import (
    EmptyFile,
    FolderMarker,
    RekognitionFailed,
    RenditionsNotRemoved,
    Superseded,
    UploadGone,
    UploadReplaced,
)
from imagepipeline.keys import MAX_KEY_BYTES, comparable
from imagepipeline.models import Upload
from imagepipeline.rekognition import RETRIES
from tests.event_schema import require_valid
from tests.statemachine.machine import DEFINITIONS, Execution, Fault, Outcome, StateMachine
from tests.statemachine.uploads import (
    BUSY_REKOGNITION,
    BUSY_S3,
    BUSY_TABLE,
    BUSY_TOPIC,
    CRASH,
    FOREVER,
    HEADER,
    KEY,
    LOST,
    METADATA,
    NEWER,
    OLDER,
    PICTURE,
    PROCESSING,
    RENDITIONS,
    THROTTLED,
    pipeline_with,
    published,
    resumed,
    text,
    uploaded,
)

# Another attempt would change nothing about any of these.
LASTING = [
    EmptyFile(),
    errors.FileTooLarge(2, 1),
    errors.UnsupportedFormat("HTML", ("JPEG",)),
    errors.DamagedImage("PNG", "it is cut short"),
    errors.TooManyPixels(9, 9, 1),
    errors.TooComplex("30,000 scans"),
    *(reason() for reason in errors.ObjectUnreadable.__subclasses__()),
]


@pytest.fixture
def pipeline(deploy) -> StateMachine:
    return pipeline_with(deploy)


def report(message: str | None) -> str:
    """The cause that Lambda gives for a function's exception."""
    return json.dumps({"errorMessage": message, "errorType": "Crash", "stackTrace": []})


# ------------------------------------------------------------------------------------------------------------- outcomes


@dataclass(frozen=True)
class Scenario:
    """A sentence about one upload, what goes wrong, and what must be recorded and announced in the end."""

    sentence: str
    record: str | None  # the record's Status
    announced: tuple[str, ...] = ()
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    status: str = "SUCCEEDED"  # of the execution
    labels: bool = True  # whether a completed image has them


def completed(sentence: str, *, labels: bool = True, **outcomes: list[Outcome]) -> Scenario:
    return Scenario(sentence, "COMPLETED", ("SUCCESS",), outcomes, labels=labels)


def failed(sentence: str, **outcomes: list[Outcome]) -> Scenario:
    return Scenario(sentence, "FAILED", ("FAILURE",), outcomes, "FAILED")


SCENARIOS = [
    completed("a photo is completed"),
    # ---- waited for
    completed("a function that crashes twice is tried again", thumbnails=2 * [CRASH]),
    completed("a Lambda quota that is used up for a day is waited for", validate=99 * [THROTTLED]),
    completed("an S3 that does not answer is waited for", thumbnails=6 * [BUSY_S3]),
    completed("a Rekognition quota that is used up for a day is waited for", metadata=99 * [BUSY_REKOGNITION]),
    completed("a Rekognition quota is waited for before a crop, too", thumbnails=99 * [BUSY_REKOGNITION]),
    completed("a busy table is waited for", **{"dynamodb:putItem": 6 * [BUSY_TABLE]}),
    completed("renditions that are hard to remove are waited for", store=10 * [RenditionsNotRemoved("SlowDown")]),
    completed("a busy topic is waited for", **{"sns:publish": 7 * [BUSY_TOPIC]}),
    # ---- completed without labels
    completed(
        "a Rekognition that throttles for good costs only the labels",
        labels=False,
        metadata=FOREVER * [BUSY_REKOGNITION],
    ),
    completed(
        "a Rekognition that fails costs only the labels",
        labels=False,
        metadata=3 * [RekognitionFailed("InternalServerError")],
    ),
    completed("a metadata function that crashes costs only the labels", labels=False, metadata=3 * [CRASH]),
    # ---- failed
    failed("a validate function that crashes", validate=3 * [CRASH]),
    failed("a thumbnails function that crashes", thumbnails=3 * [CRASH]),
    failed("a store function that crashes", store=3 * [CRASH]),
    failed("a function that times out", thumbnails=3 * [Fault("States.Timeout")]),
    failed("a thumbnails function that answers nonsense", thumbnails=3 * [{}]),
    failed("a Lambda quota that is used up for good", validate=FOREVER * [THROTTLED]),
    failed("an S3 that does not answer for good", thumbnails=7 * [BUSY_S3]),
    failed("a record that cannot be discarded", validate=[UploadGone()], **{"dynamodb:deleteItem": 7 * [BUSY_TABLE]}),
    failed("a failure that SNS accepts at the second attempt", validate=3 * [CRASH], **{"sns:publish": [BUSY_TOPIC]}),
    failed(
        "a failure whose renditions stay", validate=3 * [CRASH], cleanup=FOREVER * [RenditionsNotRemoved("SlowDown")]
    ),
    # ---- announced although it cannot be recorded
    Scenario(
        "a failure that cannot be recorded",
        "PROCESSING",
        ("FAILURE",),
        {"thumbnails": 3 * [CRASH], "dynamodb:updateItem": 7 * [BUSY_TABLE]},
        "FAILED",
    ),
    Scenario(
        "a failure that cannot be recorded, and that SNS accepts at the second attempt",
        "PROCESSING",
        ("FAILURE",),
        {"thumbnails": 3 * [CRASH], "dynamodb:updateItem": 7 * [BUSY_TABLE], "sns:publish": [BUSY_TOPIC]},
        "FAILED",
    ),
    Scenario(
        "a rejection that cannot be recorded",
        "PROCESSING",
        ("FAILURE",),
        {"validate": [EmptyFile()], "dynamodb:updateItem": 7 * [BUSY_TABLE]},
    ),
    Scenario(
        "a rejection whose announcement cannot be recorded",
        "REJECTED",
        ("FAILURE",),
        {"validate": [EmptyFile()], "dynamodb:updateItem": [None, *7 * [BUSY_TABLE]]},
    ),
    Scenario(
        "a rejection whose renditions are hard to remove",
        "REJECTED",
        ("FAILURE",),
        {"validate": [EmptyFile()], "cleanup": 10 * [RenditionsNotRemoved("SlowDown")]},
    ),
    Scenario(
        "a rejection whose renditions stay",
        "REJECTED",
        ("FAILURE",),
        {"validate": [EmptyFile()], "cleanup": FOREVER * [RenditionsNotRemoved("SlowDown")]},
        "FAILED",
    ),
    # ---- neither recorded nor announced
    Scenario("a folder marker", None, (), {"validate": [FolderMarker()]}),
    Scenario("an upload replaced before it was validated", None, (), {"validate": [UploadReplaced()]}),
    Scenario("an upload replaced before it was decoded", None, (), {"thumbnails": [UploadReplaced()]}),
    Scenario("an upload deleted before it was validated", None, (), {"validate": [UploadGone()]}),
    Scenario("an upload deleted before it was decoded", None, (), {"thumbnails": [UploadGone()]}),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_every_upload_ends_with_its_record_and_its_notification(pipeline: StateMachine, scenario: Scenario):
    execution = pipeline.run(uploaded(), scenario.outcomes)

    record = pipeline.record(KEY)
    assert (record and record["Status"]) == scenario.record
    assert execution.outcomes_announced == scenario.announced
    assert execution.status == scenario.status
    if scenario.record == "COMPLETED":
        assert ("LabelsError" not in record) == scenario.labels


@dataclass(frozen=True)
class Resumption:
    """What an execution leaves to the one that Housekeeping starts in its place, which completes the image."""

    sentence: str
    record: str | None  # the record's Status in between
    outcomes: dict[str, list[Outcome]]


RESUMPTIONS = [
    Resumption("a table that accepts no record", None, {"dynamodb:putItem": 7 * [BUSY_TABLE]}),
    Resumption("a topic that accepts nothing", "COMPLETED", {"sns:publish": 8 * [BUSY_TOPIC]}),
    Resumption(
        "a busy topic, and a table that cannot say who owns the record",
        "COMPLETED",
        {"sns:publish": [BUSY_TOPIC], "dynamodb:updateItem": 7 * [BUSY_TABLE]},
    ),
    Resumption(
        "a topic that accepts nothing, and a table that cannot record it",
        "COMPLETED",
        {"sns:publish": 8 * [BUSY_TOPIC], "dynamodb:updateItem": [*7 * [None], *7 * [BUSY_TABLE]]},
    ),
    Resumption(
        "a discarded record whose current version cannot be resolved",
        None,
        {"validate": [UploadReplaced()], "resolve_current_version": 3 * [CRASH]},
    ),
]


@pytest.mark.parametrize("first", RESUMPTIONS, ids=lambda first: first.sentence)
def test_the_next_execution_does_what_a_failed_one_could_not(pipeline: StateMachine, first: Resumption):
    execution = pipeline.run(uploaded(), first.outcomes)
    between = pipeline.record(KEY)

    resumption = pipeline.run(resumed(execution.arn, "FAILED"))

    assert (between and between["Status"]) == first.record
    assert (execution.status, execution.announcements) == ("FAILED", ())
    assert (resumption.status, resumption.outcomes_announced) == ("SUCCEEDED", ("SUCCESS",))
    assert pipeline.record(KEY)["Status"] == "COMPLETED"
    assert "NotificationError" not in pipeline.record(KEY)


def test_a_completed_image_costs_six_state_transitions(pipeline: StateMachine):
    execution = pipeline.run(uploaded())

    assert len(execution.states) == 6
    assert len(execution.calls) == 6


@pytest.mark.parametrize("reason", LASTING, ids=lambda reason: type(reason).__name__)
@pytest.mark.parametrize(("function", "step"), [("validate", "ValidateImage"), ("thumbnails", "CreateThumbnails")])
def test_a_lasting_reason_is_recorded_and_announced_after_one_attempt(
    pipeline: StateMachine, function: str, step: str, reason: errors.PipelineError
):
    execution = pipeline.run(uploaded(), {function: FOREVER * [reason]})

    record, (announcement,) = pipeline.record(KEY), execution.announcements
    rejected = isinstance(reason, errors.ImageRejected)
    assert execution.status == ("SUCCEEDED" if rejected else "FAILED")
    assert len(execution.calls_of(function)) == 1
    assert record["Status"] == ("REJECTED" if rejected else "FAILED")
    assert record["Error"] == {"Name": type(reason).__name__, "Message": str(reason)}
    assert record["FailedStep"] == step
    assert record["Attempts"][step] == 1
    assert f"  Reason      {reason}\n" in text(announcement)


def test_every_rejection_is_among_the_lasting_reasons():
    assert {*map(type, LASTING)} >= {*errors.ImageRejected.__subclasses__()}


# ------------------------------------------------------------------------------------------- what each function is sent


def test_each_function_receives_the_event_and_earlier_results(pipeline: StateMachine):
    event = uploaded(version="3sL4kqtJlcpXroDTDmJ")

    calls = pipeline.run(event).calls

    sent = {call.task: call.arguments for call in calls}
    execution = sent["store"]["Execution"]
    caller = {"Arn": execution["Arn"]}
    assert sent["validate"] == {"Event": event, "Execution": caller}
    assert sent["thumbnails"] == {"Event": event, "Execution": execution, "Header": HEADER, "RetryCount": 0}
    described = {"Event": event, "Execution": caller, "Picture": PICTURE, "Renditions": RENDITIONS}
    assert sent["metadata"] == described | {"RetryCount": 0}
    assert sent["store"].items() >= {"Event": event, "Metadata": METADATA, "Renditions": RENDITIONS}.items()


def test_the_record_counts_every_attempt_of_every_step(pipeline: StateMachine):
    crash = Fault("Runtime.ExitError")

    pipeline.run(uploaded(), {"thumbnails": 2 * [crash], "metadata": 3 * [crash], "store": [crash]})

    assert pipeline.record(KEY)["Attempts"] == {
        "ValidateImage": 1,
        "CreateThumbnails": 3,
        "ExtractMetadata": 3,
        "StoreResult": 2,
    }


def test_the_record_describes_the_upload_from_the_beginning(pipeline: StateMachine):
    event = uploaded(version="3sL4kqtJlcpXroDTDmJ")
    seen = []

    pipeline.run(event, {"validate": [lambda payload: seen.append(pipeline.record(KEY)) or HEADER]})

    (record,), upload = seen, Upload.from_event(event)
    assert record["StartedAt"]
    assert (
        record.items()
        >= {
            "Status": "PROCESSING",
            "ImageKey": upload.key,
            "VersionId": upload.version_id,
            "ETag": upload.etag,
            "Bytes": upload.size,
            "Sequencer": upload.sequencer,
            "ReceivedAt": upload.received_at,
        }.items()
    )
    assert pipeline.record(KEY)["ExecutionArn"] == record["ExecutionArn"]


@pytest.mark.parametrize(
    ("parameters", "known", "missing"),
    [
        ({}, {}, {"Labels"}),
        ({"DetectLabels": "false"}, {}, set()),
        ({"DetectFaces": "true"}, {}, {"Labels", "Faces"}),
        ({"DetectFaces": "true", "Moderation": "record"}, {}, {"Labels", "Faces", "Moderation"}),
        ({"DetectFaces": "true", "Moderation": "record"}, {"Labels": [], "ModerationLabels": []}, {"Faces"}),
    ],
    ids=["by default", "without labels", "with faces", "with moderation", "a redrive for faces"],
)
def test_a_step_that_fails_names_each_missing_answer(
    deploy, parameters: dict[str, str], known: dict, missing: set[str]
):
    pipeline = pipeline_with(deploy, **parameters)
    event = uploaded() | ({"Answers": known} if known else {})

    pipeline.run(event, {"metadata": 3 * [CRASH]})

    record = pipeline.record(KEY)
    errors = {name: value for name, value in record.items() if name.endswith("Error")}
    assert errors == {f"{name}Error": {"Name": "KeyError", "Message": "'Event'"} for name in missing}
    assert record["Status"] == "COMPLETED"
    assert record["Labels"] == []
    assert ("LabelsSkipped" in record) == (parameters.get("DetectLabels") == "false")
    assert record.items() >= (PICTURE | known).items()


@pytest.mark.parametrize("attribute", ["Faces", "FacesError"])
def test_a_step_that_fails_keeps_the_faces_of_an_earlier_one(deploy, attribute: str):
    pipeline = pipeline_with(deploy, DetectFaces="true")
    known = {"Faces": [{"Confidence": 99}], "FacesError": {"Name": "RekognitionFailed", "Message": "AccessDenied"}}
    rendered = {"Renditions": RENDITIONS, "Picture": PICTURE | {attribute: known[attribute]}}

    pipeline.run(uploaded(), {"thumbnails": [rendered], "metadata": 3 * [CRASH]})

    record = pipeline.record(KEY)
    assert record[attribute] == known[attribute]
    assert {"Faces", "FacesError"} & record.keys() == {attribute}
    assert record["LabelsError"]["Name"] == "KeyError"


def test_a_function_learns_how_often_it_was_tried(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"metadata": 2 * [BUSY_REKOGNITION]})

    assert [call.arguments["RetryCount"] for call in execution.calls_of("metadata")] == [0, 1, 2]


@pytest.mark.parametrize("state", ["CreateThumbnails", "ExtractMetadata"])
def test_functions_that_call_rekognition_know_their_last_attempt(state: str):
    rules = json.loads((DEFINITIONS / "image_pipeline.asl.json").read_text())["States"][state]["Retry"]

    for error, retries in RETRIES.items():
        rule = next(rule for rule in rules if {error.__name__, "States.ALL"} & set(rule["ErrorEquals"]))
        assert rule["MaxAttempts"] == retries


@pytest.mark.parametrize(
    ("outcomes", "counted"),
    [
        ({"validate": [EmptyFile()]}, ("REJECTED", "EmptyFile")),
        ({"validate": 3 * [CRASH]}, ("FAILED", "KeyError")),
        ({"validate": [UploadGone()]}, ("SUPERSEDED", "Superseded")),
        ({"validate": [FolderMarker()]}, ("SUPERSEDED", "Superseded")),
        ({"validate": [EmptyFile()], "cleanup": [RenditionsNotRemoved("SlowDown")]}, ("REJECTED", "EmptyFile")),
    ],
    ids=["rejection", "failure", "deletion", "folder marker", "second attempt"],
)
def test_renditions_are_removed_and_the_outcome_is_counted(
    pipeline: StateMachine, outcomes: dict, counted: tuple[str, str]
):
    execution = pipeline.run(uploaded(), outcomes)

    *failed, last = execution.calls_of("cleanup")
    assert len(failed) == len(outcomes.get("cleanup", []))
    assert last.arguments["ImageKey"] == KEY
    assert (last.arguments["Outcome"], last.arguments["Error"]) == counted


def test_every_function_is_told_which_execution_invokes_it(pipeline: StateMachine):
    executions = [pipeline.run(uploaded(), {}), pipeline.run(uploaded(sequencer=NEWER), {"validate": [UploadGone()]})]

    for execution in executions:
        of_functions = [call for call in execution.calls if ":" not in call.task]
        assert len({call.arguments["Execution"]["Arn"] for call in of_functions}) == 1


def test_an_older_version_that_is_current_again_is_processed_instead(pipeline: StateMachine):
    older = uploaded(sequencer=NEWER, version="older")
    outcomes = {
        "validate": [UploadReplaced()],
        "resolve_current_version": [{"Action": "PROCESS", "Event": older}],
    }

    execution = pipeline.run(uploaded(version="newer"), outcomes)

    record = pipeline.record(KEY)
    assert (record["Status"], record["VersionId"]) == ("COMPLETED", "older")
    assert execution.outcomes_announced == ("SUCCESS",)


# -------------------------------------------------------------------------------------------------------- notifications


def test_success_is_announced_in_the_words_of_the_store_function(pipeline: StateMachine):
    (announcement,) = pipeline.run(uploaded()).announcements

    assert announcement["Subject"] == "Image pipeline: an image is ready"
    assert text(announcement) == "An image is ready."
    assert announcement["MessageAttributes"]["imageId"]["StringValue"] == KEY


def test_a_failure_is_announced_with_its_reason(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"thumbnails": 3 * [Fault("OutOfPaper", report("S3 is gone"))]})

    record, (announcement,) = pipeline.record(KEY), execution.announcements
    assert record["Error"] == {"Name": "OutOfPaper", "Message": "S3 is gone"}
    assert record["FailedStep"] == "CreateThumbnails"
    assert record["Attempts"] == {"ValidateImage": 1, "CreateThumbnails": 3}
    assert record["AnnouncedAt"] >= record["CompletedAt"] >= record["StartedAt"]
    assert announcement["Subject"] == "Image pipeline: an image was not processed"
    assert text(announcement).splitlines() == [
        "An image was not processed.",
        "",
        f"  Image       {KEY}",
        "  Reason      S3 is gone",
        "  Error       OutOfPaper, in CreateThumbnails",
        "  Uploaded    2026-03-01T12:00:00Z",
        f"  Execution   {record['ExecutionArn']}",
        "  Repeat      image-pipeline redrive, with the key",
    ]
    assert (execution.error, execution.cause) == ("OutOfPaper", "S3 is gone")


def test_nobody_is_told_to_repeat_what_was_rejected(pipeline: StateMachine):
    (announcement,) = pipeline.run(uploaded(), {"validate": [EmptyFile()]}).announcements

    assert "redrive" not in text(announcement)


# --------------------------------------------------------------------------------------------------------------- events


def test_programs_receive_a_document_and_people_a_text(pipeline: StateMachine):
    success = pipeline.run(uploaded())
    failure = pipeline.run(uploaded(sequencer=NEWER), {"validate": [EmptyFile()]})

    for execution in (success, failure):
        (announcement,) = execution.announcements
        messages = json.loads(announcement["Message"])
        assert announcement["MessageStructure"] == "json"
        assert messages["default"] == messages["email"] == text(announcement)
        assert {messages[protocol] for protocol in ("http", "https", "sqs", "lambda")} == {messages["sqs"]}


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        ({}, "COMPLETED"),
        ({"metadata": 3 * [CRASH]}, "COMPLETED"),
        ({"validate": [EmptyFile()]}, "REJECTED"),
        ({"thumbnails": 3 * [CRASH]}, "FAILED"),
        ({"validate": [EmptyFile()], "sns:publish": 2 * [BUSY_TOPIC]}, "REJECTED"),
    ],
    ids=["success", "no labels", "rejection", "failure", "busy topic"],
)
def test_an_event_holds_the_record(pipeline: StateMachine, outcomes: dict, outcome: str):
    (event,) = pipeline.run(uploaded(version="3sL4kqtJlcpXroDTDmJ"), outcomes).events

    require_valid(event)
    assert event["Outcome"] == outcome
    assert (event["UploadsBucket"], event["ThumbnailsBucket"]) == ("uploads", "thumbnails")
    assert event["Record"] == published(pipeline.record(KEY))


@pytest.mark.parametrize(("sent", "again"), [({}, "COMPLETED"), ({"validate": [EmptyFile()]}, "REJECTED")])
def test_an_event_that_is_sent_again_is_the_same(pipeline: StateMachine, sent: dict, again: str):
    lost = Fault("States.Timeout", response_lost=True)

    first, second = pipeline.run(uploaded(), sent | {"sns:publish": [lost]}).events

    assert first == second
    assert first["Outcome"] == again


def test_the_largest_event_fits_into_a_message(pipeline: StateMachine):
    key = "uploads/" + "\1" * (MAX_KEY_BYTES - len("uploads/"))  # each character is escaped with six
    points = [{"Type": name, "X": 0.1234567, "Y": -0.1234567} for name in analysis.LANDMARKS]
    face = {
        "BoundingBox": dict.fromkeys(("Left", "Top", "Width", "Height"), 0.1234567),
        "Confidence": 99.98765,
        "Landmarks": points,
        "Pose": dict.fromkeys(("Roll", "Yaw", "Pitch"), -123.4567),
    }
    label = {"Name": "N" * 50, "ParentName": "P" * 50, "Confidence": 99.98765, "TaxonomyLevel": 3}
    record = (
        COMPLETED
        | {"ImageKey": key, "LabelModelVersion": "3.0"}
        | analysis.LABELS.read({"Labels": [{"Name": "L" * 100, "Confidence": 98.12}] * 100})
        | analysis.FACES.read({"FaceDetails": [face] * 100})
        | analysis.MODERATION.read({"ModerationLabels": [label] * 100, "ModerationModelVersion": "7.0"})
        | {"Renditions": {f"{number:032}": RENDITIONS["small"] | {"Key": "k" * 150} for number in range(12)}}
    )

    execution = take_over(pipeline, record)

    (announcement,) = execution.announcements
    assert len(json.dumps(announcement, ensure_ascii=False).encode()) < 262_144


# ------------------------------------------------------------------------------------------------- order and duplicates


def test_a_duplicate_event_is_processed_once(pipeline: StateMachine):
    pipeline.run(uploaded())
    first = pipeline.record(KEY)

    second = pipeline.run(uploaded())

    assert second.status == "SUCCEEDED"
    assert len(second.calls_of("dynamodb:putItem")) == 1
    assert second.calls_of("validate") == []
    assert second.announcements == ()
    assert pipeline.record(KEY) == first


def test_a_newer_event_replaces_a_failure(pipeline: StateMachine):
    pipeline.run(uploaded(sequencer=OLDER), {"validate": [EmptyFile()]})

    pipeline.run(uploaded(sequencer=NEWER))

    assert pipeline.record(KEY)["Status"] == "COMPLETED"
    assert "Error" not in pipeline.record(KEY)


@pytest.mark.parametrize(
    ("outcomes", "call"),
    [
        ({}, "dynamodb:putItem"),
        ({"validate": [EmptyFile()]}, "dynamodb:updateItem"),
        ({"validate": [UploadGone()]}, "dynamodb:deleteItem"),
    ],
    ids=["begin", "record a failure", "discard"],
)
def test_a_write_whose_response_was_lost_is_repeated_harmlessly(pipeline: StateMachine, outcomes: dict, call: str):
    expected = pipeline.run(uploaded(), outcomes)
    record = pipeline.record(KEY)
    pipeline.delete(KEY)

    execution = pipeline.run(uploaded(), outcomes | {call: [LOST]})

    again = pipeline.record(KEY)
    assert execution.status == expected.status
    assert execution.outcomes_announced == expected.outcomes_announced
    # An older version that a deletion uncovered is processed by whoever discards the record.
    assert len(execution.calls_of("resolve_current_version")) == len(expected.calls_of("resolve_current_version"))
    assert (again and again["Status"]) == (record and record["Status"])


NEWER_RECORD = {"ImageKey": KEY, "Status": "PROCESSING", "Sequencer": comparable(NEWER), "ExecutionArn": "another"}


@pytest.mark.parametrize(
    ("function", "problem", "status"),
    [
        ("validate", EmptyFile(), "SUCCEEDED"),
        ("validate", CRASH, "FAILED"),
        ("validate", UploadReplaced(), "SUCCEEDED"),
        ("thumbnails", UploadGone(), "SUCCEEDED"),
        ("store", Superseded(), "SUCCEEDED"),
        ("store", CRASH, "FAILED"),
    ],
    ids=str,
)
def test_a_superseded_execution_leaves_the_newer_record_alone(
    pipeline: StateMachine, function: str, problem: Exception, status: str
):
    def superseded(payload: dict) -> dict:
        pipeline.put(**NEWER_RECORD)
        raise problem

    execution = pipeline.run(uploaded(), {function: FOREVER * [superseded]})

    assert pipeline.record(KEY) == NEWER_RECORD
    assert execution.announcements == ()
    assert execution.calls_of("cleanup")
    assert execution.status == status


@pytest.mark.parametrize(("problem", "status"), [(EmptyFile(), "SUCCEEDED"), (CRASH, "FAILED")], ids=str)
def test_a_deleted_upload_that_fails_leaves_nothing(pipeline: StateMachine, problem: Exception, status: str):
    def deleted(payload: dict) -> dict:
        pipeline.delete(KEY)
        raise problem

    execution = pipeline.run(uploaded(), {"validate": 3 * [deleted]})

    assert execution.announcements == ()
    assert pipeline.record(KEY) is None
    assert execution.status == status


@pytest.mark.parametrize(("problem", "times"), [(CRASH, 3), (RenditionsNotRemoved("SlowDown"), 11)], ids=str)
def test_an_error_after_completion_leaves_the_image_completed(pipeline: StateMachine, problem: Exception, times: int):
    def completes_and_crashes(payload: dict) -> dict:
        pipeline.store(payload)
        raise problem

    execution = pipeline.run(uploaded(), {"store": times * [completes_and_crashes]})
    resumption = pipeline.run(resumed(pipeline.record(KEY)["ExecutionArn"], "FAILED"))

    assert pipeline.record(KEY)["Status"] == "COMPLETED"
    assert (execution.status, execution.error) == ("FAILED", type(problem).__name__)
    assert execution.announcements == ()
    assert resumption.outcomes_announced == ("SUCCESS",)


def test_a_store_function_that_runs_on_does_not_revive_a_failure(pipeline: StateMachine):
    payloads = []
    pipeline.run(uploaded(), {"store": 3 * [lambda payload: payloads.append(payload) or {}]})
    failed = pipeline.record(KEY)

    with pytest.raises(Superseded):
        pipeline.store(payloads[-1])

    assert failed["Status"] == "FAILED"
    assert "AnnouncedAt" in failed
    assert pipeline.record(KEY) == failed


@pytest.mark.parametrize("outcomes", [{}, {"validate": [EmptyFile()]}], ids=["success", "failure"])
def test_a_failed_notification_is_not_repeated_after_a_newer_upload(pipeline: StateMachine, outcomes: dict):
    def superseded_meanwhile(arguments: dict) -> dict:
        pipeline.put(**NEWER_RECORD)
        raise TimeoutError

    execution = pipeline.run(uploaded(), outcomes | {"sns:publish": [superseded_meanwhile]})

    assert execution.announcements == ()
    assert pipeline.record(KEY) == NEWER_RECORD
    assert execution.status == "SUCCEEDED"


def test_an_outdated_notification_does_not_mark_the_newer_record(pipeline: StateMachine):
    def superseded_meanwhile(arguments: dict) -> dict:
        pipeline.put(**NEWER_RECORD)
        return {"MessageId": "1"}

    pipeline.run(uploaded(), {"validate": [EmptyFile()], "sns:publish": [superseded_meanwhile]})

    assert pipeline.record(KEY) == NEWER_RECORD


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("0066e1a2b3c4d5e6f7", "0066E1A2B3C4D5E6F8"),
        ("0066E1A2B3C4D5E6F7", "0066e1a2b3c4d5e6f8"),
        ("0066E1A2B3C4D5E6F7", "0066E1A2B3C4D5E6F701"),
        ("0066E1A2B3C4D5E6F7AA", "0066E1A2B3C4D5E6F8"),
        ("9", "a"),
    ],
)
def test_an_older_event_that_arrives_late_changes_nothing(pipeline: StateMachine, earlier: str, later: str):
    pipeline.run(uploaded(sequencer=later))
    record = pipeline.record(KEY)

    late = pipeline.run(uploaded(sequencer=earlier))

    assert (late.status, late.announcements) == ("SUCCEEDED", ())
    assert pipeline.record(KEY) == record
    assert record["Sequencer"] == comparable(later) > comparable(earlier)


@pytest.mark.parametrize(("given", "version"), [(None, "null"), ("", "null"), ("null", "null"), ("3sL4kqt", "3sL4kqt")])
def test_an_object_without_a_version_has_the_version_null(pipeline: StateMachine, given: str | None, version: str):
    event = uploaded(version=given)

    pipeline.run(event, {"validate": [EmptyFile()]})

    assert pipeline.record(KEY)["VersionId"] == version == Upload.from_event(event).version_id


# ---------------------------------------------------------------------------- in place of an execution that ended early


REJECTED = PROCESSING | {
    "Status": "REJECTED",
    "Error": {"Name": "EmptyFile", "Message": "the file is empty"},
    "FailedStep": "ValidateImage",
    "CompletedAt": "2026-03-01T12:00:04.000Z",
    "Attempts": {"ValidateImage": 1},
}
COMPLETED = PROCESSING | {
    "Status": "COMPLETED",
    "Width": 4000,
    "Height": 3000,
    "Format": "JPEG",
    "CompletedAt": "2026-03-01T12:00:04.000Z",
    "Attempts": {"ValidateImage": 1, "CreateThumbnails": 2, "ExtractMetadata": 1, "StoreResult": 1},
    "Exif": {"FNumber": 1.8, "Iso": 50, "FlashFired": False},
    "Palette": [{"Hex": "#343f5a", "Share": 0.5}],
    "Labels": [],
    "Renditions": {
        "small": {"Key": "0a/1/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 4096},
        "medium": {"Key": "0a/1/medium.jpg", "Width": 640, "Height": 480, "Format": "JPEG", "Bytes": 50_000},
    },
}


def take_over(pipeline: StateMachine, record: dict, status: str = "ABORTED") -> Execution:
    pipeline.put(**record)
    return pipeline.run(resumed(status=status, key=record["ImageKey"]))


@pytest.mark.parametrize("status", ["ABORTED", "FAILED"])
def test_an_upload_whose_execution_ended_early_has_failed(pipeline: StateMachine, status: str):
    execution = take_over(pipeline, PROCESSING, status)

    record, (announcement,) = pipeline.record(KEY), execution.announcements
    reason = f"the execution that processed it ended early ({status})"
    assert record["Status"] == "FAILED"
    assert record["Error"] == {"Name": f"Execution.{status}", "Message": reason}
    assert f"  Reason      {reason}\n" in text(announcement)
    assert execution.outcomes_announced == ("FAILURE",)


def test_a_late_announcement_of_a_rejection_has_its_reason(pipeline: StateMachine):
    execution = take_over(pipeline, REJECTED)

    (announcement,) = execution.announcements
    assert "  Reason      the file is empty\n  Error       EmptyFile, in ValidateImage\n" in text(announcement)
    assert execution.status == "SUCCEEDED"
    assert pipeline.record(KEY)["Error"] == REJECTED["Error"]


def test_a_late_announcement_is_made_from_the_record(pipeline: StateMachine):
    (announcement,) = take_over(pipeline, COMPLETED).announcements

    said = text(announcement).splitlines()[2:]
    assert said[:2] == [f"  Image       {KEY}", "  Picture     4000 x 3000 JPEG"]
    assert said[2] in ("  Renditions  small, medium", "  Renditions  medium, small")
    assert len(said) == 3
    assert announcement["MessageAttributes"]["processing_status"]["StringValue"] == "SUCCESS"
    assert pipeline.record(KEY)["Status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("attributes", "lines"),
    [
        ({"Faces": []}, ["  Faces       none found"]),
        ({"Faces": [{"Confidence": 99}]}, ["  Faces       1"]),
        ({"Faces": 3 * [{"Confidence": 99}]}, ["  Faces       3"]),
        ({"ModerationLabels": []}, ["  Moderation  nothing found"]),
        ({"ModerationLabels": [{"Name": "Violence"}]}, ["  Moderation  Violence"]),
        ({"ModerationLabels": [{"Name": "Violence"}, {"Name": "Weapons"}]}, ["  Moderation  Violence, Weapons"]),
        (
            {"FacesError": {"Name": "X", "Message": "no"}, "ModerationError": {"Name": "X", "Message": "nothing"}},
            ["  Faces       none: no", "  Moderation  none: nothing"],
        ),
        ({"LabelsError": {"Name": "X", "Message": "slow down"}}, ["  Labels      none: slow down"]),
    ],
)
def test_a_late_announcement_says_what_was_found(pipeline: StateMachine, attributes: dict, lines: list[str]):
    (announcement,) = take_over(pipeline, COMPLETED | attributes).announcements

    assert text(announcement).splitlines()[5:] == lines


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (PROCESSING, "FAILED"),
        (PROCESSING | {"VersionId": "older", "Sequencer": comparable(NEWER)}, "FAILED"),
        (REJECTED, "REJECTED"),
        (COMPLETED, "COMPLETED"),
        (COMPLETED | {"NotificationError": {"Name": "SNS.ThrottledException", "Message": ""}}, "COMPLETED"),
    ],
    ids=["processing", "processing an older version", "rejected", "completed", "completed, topic busy"],
)
def test_a_late_event_holds_the_record(pipeline: StateMachine, record: dict, outcome: str):
    (event,) = take_over(pipeline, record).events

    require_valid(event)
    assert event["Outcome"] == outcome
    assert event["Record"] == published(pipeline.record(KEY))


@pytest.mark.parametrize(
    "record",
    [REJECTED | {"AnnouncedAt": "2026-03-01T12:00:05Z"}, PROCESSING | {"ExecutionArn": "another"}],
    ids=["announced", "owned by another execution"],
)
def test_nothing_else_is_taken_over(pipeline: StateMachine, record: dict):
    execution = take_over(pipeline, record)

    assert execution.announcements == ()
    assert execution.status == "SUCCEEDED"
    assert pipeline.record(KEY) == record


def test_a_takeover_whose_response_was_lost_is_repeated_harmlessly(pipeline: StateMachine):
    pipeline.put(**PROCESSING)

    execution = pipeline.run(resumed(), {"dynamodb:updateItem": [LOST]})

    assert execution.outcomes_announced == ("FAILURE",)


@pytest.mark.parametrize(("resumptions", "announced"), [(1, ()), (2, ()), (3, ("FAILURE",))])
def test_the_last_execution_announces_an_image_without_a_record(
    pipeline: StateMachine, resumptions: int, announced: tuple[str, ...]
):
    busy = {"dynamodb:putItem": 7 * [BUSY_TABLE]}

    execution = pipeline.run(resumed(resumptions=resumptions), busy)

    assert (execution.status, execution.outcomes_announced) == ("FAILED", announced)
    for event in execution.events:
        require_valid(event)
        assert event["Record"]["Error"] == {"Name": BUSY_TABLE.error, "Message": BUSY_TABLE.cause}
        assert event["Record"]["FailedStep"] == "BeginRecord"


def test_an_image_without_record_and_announcement_leaves_a_failed_execution(pipeline: StateMachine):
    """`image-pipeline failures` finds it."""
    busy = {"dynamodb:putItem": 7 * [BUSY_TABLE], "sns:publish": [BUSY_TOPIC]}

    execution = pipeline.run(resumed(resumptions=3), busy)

    assert (execution.status, execution.announcements) == ("FAILED", ())


# ----------------------------------------------------------------------------------------------------- names and causes


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        *[
            pytest.param(key, key, id=key[:40])
            for key in (
                "uploads/holiday snaps/a b.jpg",
                "uploads/a+b.jpg",
                "uploads/100%25 of it.jpg",
                "uploads/🐈 café.jpg",
                'uploads/it\'s "quoted" \\ & <b>.jpg',
                "uploads/{% $event %} ${ImagesTable} $.x.jpg",
                "uploads/" + "x" * 1016,
            )
        ],
        pytest.param("uploads/two\nlines\t.jpg", "uploads/two%0Alines%09.jpg", id="lines"),
        pytest.param("uploads/\u202egpj.exe\u2028", "uploads/%E2%80%AEgpj.exe%E2%80%A8", id="directions"),
        pytest.param("uploads/\0" + "\x7f" * 1015, "uploads/%00" + "%7F" * 1015, id="controls"),
        pytest.param("uploads/100%0A 👩\u200d🚀.jpg", "uploads/100%0A 👩\u200d🚀.jpg", id="percent signs and joiners"),
        pytest.param("uploads/\ufffe\uffff.jpg", "uploads/%EF%BF%BE%EF%BF%BF.jpg", id="refused by SNS"),
    ],
)
def test_a_key_is_announced_printable_and_recorded_as_it_is(pipeline: StateMachine, key: str, shown: str):
    success = pipeline.run(uploaded(key))
    failure = pipeline.run(uploaded(key, sequencer=NEWER), {"validate": [EmptyFile()]})
    unrecorded = pipeline.run(resumed(key=key, resumptions=3), {"dynamodb:putItem": 7 * [BUSY_TABLE]})
    taken_over = take_over(pipeline, COMPLETED | {"ImageKey": key, "Sequencer": comparable("0066E1A2B3C4D5E6FA")})

    for execution in (success, failure, unrecorded, taken_over):
        (announcement,) = execution.announcements
        assert announcement["MessageAttributes"]["imageId"]["StringValue"] == shown
        assert key == shown or key not in text(announcement)
        assert not {"\ufffe", "\uffff"} & set(announcement["Message"])
        assert execution.events[0]["Record"]["ImageKey"] == key
    for execution in (failure, unrecorded, taken_over):
        assert f"  Image       {shown}\n" in text(execution.announcements[0])
    for call in success.calls_of("validate") + success.calls_of("store"):
        assert call.arguments["Event"]["detail"]["object"]["key"] == key
    assert pipeline.record(key)["ImageKey"] == key


def test_an_error_of_sns_is_recorded_printable(pipeline: StateMachine):
    pipeline.run(uploaded(), {"sns:publish": 8 * [Fault("SNS.InvalidParameterException", ODD_TEXT)]})

    error = {"Name": "SNS.InvalidParameterException", "Message": ODD_TEXT_SHOWN}
    assert pipeline.record(KEY)["NotificationError"] == error


NO_REASON = "no reason was given"
ODD_TEXT, ODD_TEXT_SHOWN = 'a "quoted" \\ line\nand 🐈 \u202eanother', 'a "quoted" \\ line%0Aand 🐈 %E2%80%AEanother'


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        pytest.param(report("the disk is full"), "the disk is full", id="a function's"),
        pytest.param(report(ODD_TEXT), ODD_TEXT_SHOWN, id="a function's with quotes, lines and emoji"),
        pytest.param(report(""), NO_REASON, id="a function's without a message"),
        pytest.param(report(None), NO_REASON, id="a function's with null"),
        pytest.param(report("x" * 200_000), "x" * 1000, id="a function's, huge"),
        pytest.param(report("🐈" * 5_000), "🐈" * 1000, id="a function's, huge, emoji"),
        pytest.param(report("cut")[:-9], report("cut")[:-9], id="a function's, truncated"),
        pytest.param('{"errorType": "Exit"}', '{"errorType": "Exit"}', id="JSON without a message"),
        pytest.param("{not JSON}", "{not JSON}", id="braces without JSON"),
        pytest.param("[1, 2]", "[1, 2]", id="JSON, no object"),
        pytest.param("Rate exceeded (Service: Lambda)", "Rate exceeded (Service: Lambda)", id="text"),
        pytest.param(ODD_TEXT, ODD_TEXT_SHOWN, id="text with quotes, lines and emoji"),
        pytest.param("x" * 32_768, "x" * 1000, id="text of the largest size"),
        pytest.param("", NO_REASON, id="none"),
    ],
)
def test_a_message_is_the_cause_cut_to_a_thousand_characters(pipeline: StateMachine, cause: str, message: str):
    execution = pipeline.run(uploaded(), {"validate": 3 * [Fault("Crash", cause)]})

    assert pipeline.record(KEY)["Error"] == {"Name": "Crash", "Message": message}
    assert f"  Reason      {message}\n" in text(execution.announcements[0])

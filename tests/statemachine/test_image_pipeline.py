"""Every way through ImagePipeline: which states, what each task is sent, what is recorded and who is told."""

import json
from dataclasses import dataclass, field

import pytest

from imagepipeline.errors import (
    DamagedImage,
    EmptyFile,
    FileTooLarge,
    ImageRejected,
    RekognitionFailed,
    RekognitionThrottled,
    RenditionsNotRemoved,
    ServiceUnavailable,
    Superseded,
    TooComplex,
    TooManyPixels,
    UnsupportedFormat,
    UploadGone,
    UploadReplaced,
)
from imagepipeline.keys import comparable
from tests.statemachine.machine import Fault, Outcome, StateMachine

KEY = "uploads/cat.jpg"
OLDER, NEWER = "0066E1A2B3C4D5E6F7", "0066E1A2B3C4D5E6F8"

HEADER = {"Format": "JPEG", "Width": 4000, "Height": 3000}
RENDITIONS = {"small": {"Key": "0a/1/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 4096}}
PICTURE = {"Format": "JPEG", "Width": 4000, "Height": 3000, "ColorMode": "RGB"}
METADATA = PICTURE | {"Labels": [{"Name": "Cat", "Confidence": 98.1}]}

REJECTIONS = [
    EmptyFile(),
    FileTooLarge(2, 1),
    UnsupportedFormat("HTML", ("JPEG",)),
    DamagedImage("PNG", "it is cut short"),
    TooManyPixels(9, 9, 1),
    TooComplex("30,000 scans"),
]
CRASH = KeyError("Upload")
THROTTLED = Fault("Lambda.TooManyRequestsException", "Rate Exceeded.")
BUSY_S3 = ServiceUnavailable("S3", "SlowDown")
BUSY_REKOGNITION = RekognitionThrottled("slow down")
BUSY_TABLE = Fault("DynamoDB.ProvisionedThroughputExceededException", "The level of throughput was exceeded.")
BUSY_TOPIC = Fault("SNS.ThrottledException", "Rate exceeded")

BEGUN = ("IsFolderMarker", "BeginRecord")
VALIDATED = (*BEGUN, "ValidateImage")
RENDERED = (*VALIDATED, "CreateThumbnails")
DESCRIBED = (*RENDERED, "ExtractMetadata")
DESCRIBED_WITHOUT_LABELS = (*DESCRIBED, "DescribeWithoutLabels")
TOLD = ("NotifySuccess", "RecordAnnouncement")
COMPLETED = (*DESCRIBED, "StoreResult", *TOLD)
COMPLETED_WITHOUT_LABELS = (*DESCRIBED_WITHOUT_LABELS, "StoreResult", *TOLD)
TOLD_OF_FAILURE = ("NotifyFailure", "RecordFailureAnnouncement", "RemoveOutdatedRenditions", "IsRejected")
REJECTED = ("RecordRejection", *TOLD_OF_FAILURE, "Rejected")
FAILED = ("RecordFailure", *TOLD_OF_FAILURE, "Failed")
LEFT_TO_ANOTHER = ("RemoveRenditions", "Superseded")
LET_GO = ("DiscardRecord", "ResolveCurrentVersion", "RouteByCurrentVersion")
NOT_HEARD = ("WaitToNotify", "CheckStillNewest", "IsWorthAnotherTry")
TRIES_AGAIN = (*NOT_HEARD, "WhichNotification")


@pytest.fixture
def pipeline(deploy) -> StateMachine:
    """ImagePipeline with functions that find nothing wrong. None of them writes a record."""
    answers = {
        "validate": HEADER,
        "thumbnails": {"Renditions": RENDITIONS, "Picture": PICTURE},
        "metadata": METADATA,
        "store": {"Message": "An image is ready."},
        "cleanup": {"Removed": 0},
        "resolve_current_version": {"Next": "NOTHING"},
    }
    return deploy("ImagePipeline", answers)


def uploaded(key: str = KEY, sequencer: str = OLDER, size: int = 4_000_000, version: str | None = None) -> dict:
    """S3's event for a new object."""
    described = {"key": key, "size": size, "etag": "9b2cf535f27731c974343645a3985328", "sequencer": sequencer}
    if version is not None:
        described["version-id"] = version
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-03-01T12:00:00Z",
        "detail": {"bucket": {"name": "uploads"}, "object": described, "reason": "PutObject"},
    }


def report(message: str | None) -> str:
    """The cause that Lambda gives for a function's exception."""
    return json.dumps({"errorMessage": message, "errorType": "Crash", "stackTrace": []})


@dataclass(frozen=True)
class Scenario:
    """A sentence about one upload, and what it promises."""

    sentence: str
    path: tuple[str, ...]
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    status: str = "SUCCEEDED"
    record: str | None = "PROCESSING"  # COMPLETED would be written by the store function, which is none here
    announced: tuple[str, ...] = ()
    event: dict = field(default_factory=uploaded)


def completed(sentence: str, path: tuple[str, ...], **outcomes: list[Outcome]) -> Scenario:
    return Scenario(sentence, path, outcomes, announced=("SUCCESS",))


def rejected(sentence: str, path: tuple[str, ...], **outcomes: list[Outcome]) -> Scenario:
    return Scenario(sentence, (*path, *REJECTED), outcomes, "SUCCEEDED", "REJECTED", ("FAILURE",))


def failed(sentence: str, path: tuple[str, ...], **outcomes: list[Outcome]) -> Scenario:
    end = FAILED[1:] if path[-1] == "RecordFailureToBegin" else FAILED
    return Scenario(sentence, (*path, *end), outcomes, "FAILED", "FAILED", ("FAILURE",))


SCENARIOS = [
    completed("a photo goes through eight states", COMPLETED),
    Scenario(
        "a folder made in the console starts no work",
        ("IsFolderMarker", "FolderMarker"),
        record=None,
        event=uploaded("uploads/2026/", size=0),
    ),
    Scenario(
        "a file whose name ends in a slash is no folder",
        COMPLETED,
        announced=("SUCCESS",),
        event=uploaded("uploads/a/"),
    ),
    Scenario(
        "an empty file with an ordinary name is no folder",
        (*VALIDATED, *REJECTED),
        {"validate": [EmptyFile()]},
        record="REJECTED",
        announced=("FAILURE",),
        event=uploaded(size=0),
    ),
    # ---- what fails it
    failed("a crash of validate fails the image", VALIDATED, validate=3 * [CRASH]),
    failed("a crash of thumbnails fails the image", RENDERED, thumbnails=3 * [CRASH]),
    failed("a crash of metadata fails the image", DESCRIBED_WITHOUT_LABELS, metadata=6 * [CRASH]),
    failed("a crash of store fails the image", (*DESCRIBED, "StoreResult"), store=3 * [CRASH]),
    failed("a function out of time fails the image", RENDERED, thumbnails=3 * [Fault("States.Timeout")]),
    failed("thumbnails that answer nonsense fail the image", RENDERED, thumbnails=3 * [{}]),
    failed("a store that answers nonsense fails the image", (*DESCRIBED, "StoreResult"), store=3 * [{}]),
    failed("throttling by Lambda for good fails the image", VALIDATED, validate=41 * [THROTTLED]),
    failed("an S3 that stays unavailable fails the image", RENDERED, thumbnails=7 * [BUSY_S3]),
    # ---- what is waited for
    completed("a crash that passes is forgotten", COMPLETED, thumbnails=2 * [CRASH]),
    completed("throttling by Lambda is waited for", COMPLETED, validate=40 * [THROTTLED]),
    completed("an unavailable S3 is waited for", COMPLETED, thumbnails=6 * [BUSY_S3]),
    completed("a throttling Rekognition is waited for", COMPLETED, metadata=12 * [BUSY_REKOGNITION]),
    completed("a busy table is waited for", COMPLETED, **{"dynamodb:putItem": 6 * [BUSY_TABLE]}),
    completed("outdated renditions are removed when S3 can", COMPLETED, store=10 * [RenditionsNotRemoved("SlowDown")]),
    # ---- what costs less than all
    completed(
        "a Rekognition that throttles for good costs the labels alone",
        COMPLETED_WITHOUT_LABELS,
        metadata=13 * [BUSY_REKOGNITION],
    ),
    completed(
        "a Rekognition that errs costs the labels alone",
        COMPLETED_WITHOUT_LABELS,
        metadata=3 * [RekognitionFailed("InternalServerError")],
    ),
    # ---- who has the key
    Scenario(
        "an upload replaced before it was validated is left to its successor",
        (*VALIDATED, *LET_GO, *LEFT_TO_ANOTHER),
        {"validate": [UploadReplaced()]},
        record=None,
    ),
    Scenario(
        "an upload replaced before it was decoded is left to its successor",
        (*RENDERED, *LET_GO, *LEFT_TO_ANOTHER),
        {"thumbnails": [UploadReplaced()]},
        record=None,
    ),
    Scenario(
        "an upload overtaken at the end is left to its successor",
        (*DESCRIBED, "StoreResult", *LEFT_TO_ANOTHER),
        {"store": [Superseded()]},
    ),
    Scenario(
        "an upload deleted before it was validated leaves nothing",
        (*VALIDATED, *LET_GO, *LEFT_TO_ANOTHER),
        {"validate": [UploadGone()], "resolve_current_version": [{"Next": "REMOVE"}]},
        record=None,
    ),
    Scenario(
        "an upload deleted before it was decoded leaves nothing",
        (*RENDERED, *LET_GO, *LEFT_TO_ANOTHER),
        {"thumbnails": [UploadGone()], "resolve_current_version": [{"Next": "REMOVE"}]},
        record=None,
    ),
    completed(
        "a version that is back in its place is processed instead",
        (*VALIDATED, *LET_GO, *COMPLETED),
        validate=[UploadReplaced()],
        resolve_current_version=[{"Next": "PROCESS", "Event": uploaded(sequencer=NEWER, version="older")}],
    ),
    failed(
        "not to know what took an upload's place fails it",
        (*VALIDATED, *LET_GO[:2], "RecordFailureToBegin"),
        validate=[UploadReplaced()],
        resolve_current_version=3 * [CRASH],
    ),
    # ---- a table that won't write
    Scenario(
        "an image whose record can't be begun is recorded as failed when that works",
        (*BEGUN, "RecordFailureToBegin", *TOLD_OF_FAILURE, "Failed"),
        {"dynamodb:putItem": 7 * [BUSY_TABLE]},
        "FAILED",
        "FAILED",
        ("FAILURE",),
    ),
    Scenario(
        "an image that can't be recorded at all is still announced",
        (*BEGUN, "RecordFailureToBegin", *TOLD_OF_FAILURE, "Failed"),
        {"dynamodb:putItem": 14 * [BUSY_TABLE]},
        "FAILED",
        None,
        ("FAILURE",),
    ),
    Scenario(
        "a failure that can't be recorded is still announced",
        (*RENDERED, *FAILED),
        {"thumbnails": 3 * [CRASH], "dynamodb:updateItem": 7 * [BUSY_TABLE]},
        "FAILED",
        "PROCESSING",
        ("FAILURE",),
    ),
    Scenario(
        "a rejection that can't be recorded is still announced",
        (*VALIDATED, *REJECTED),
        {"validate": [EmptyFile()], "dynamodb:updateItem": 7 * [BUSY_TABLE]},
        "SUCCEEDED",
        "PROCESSING",
        ("FAILURE",),
    ),
    Scenario(
        "a record that can't be forgotten says why",
        (*VALIDATED, "DiscardRecord", *FAILED),
        {"validate": [UploadGone()], "dynamodb:deleteItem": 7 * [BUSY_TABLE]},
        "FAILED",
        "FAILED",
        ("FAILURE",),
    ),
    # ---- a topic that won't tell
    completed(
        "success is announced when SNS takes it",
        (*DESCRIBED, "StoreResult", *7 * ("NotifySuccess", *TRIES_AGAIN), *TOLD),
        **{"sns:publish": 7 * [BUSY_TOPIC]},
    ),
    Scenario(
        "a failure is announced when SNS takes it",
        (*VALIDATED, *FAILED[:2], *TRIES_AGAIN, *FAILED[1:]),
        {"validate": 3 * [CRASH], "sns:publish": [BUSY_TOPIC]},
        "FAILED",
        "FAILED",
        ("FAILURE",),
    ),
    Scenario(
        "an image that can't be announced ends as such and keeps its record",
        (*DESCRIBED, "StoreResult", *7 * ("NotifySuccess", *TRIES_AGAIN), "NotifySuccess", *NOT_HEARD, "Unannounced"),
        {"sns:publish": 8 * [BUSY_TOPIC]},
        "FAILED",
    ),
    Scenario(
        "renditions that can't be removed leave the failure as it was announced",
        (*VALIDATED, *FAILED[:-2], "Failed"),
        {"validate": 3 * [CRASH], "cleanup": 11 * [RenditionsNotRemoved("SlowDown")]},
        "FAILED",
        "FAILED",
        ("FAILURE",),
    ),
    Scenario(
        "renditions that can't be removed leave the rejection as it was announced, and are left to Housekeeping",
        (*VALIDATED, *REJECTED[:-2], "Failed"),
        {"validate": [EmptyFile()], "cleanup": 11 * [RenditionsNotRemoved("SlowDown")]},
        "FAILED",
        "REJECTED",
        ("FAILURE",),
    ),
    completed(
        "an announcement that can't be noted was made",
        (*COMPLETED, "AnnouncementNotRecorded"),
        **{"dynamodb:updateItem": 7 * [BUSY_TABLE]},
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_every_way_through(pipeline: StateMachine, scenario: Scenario):
    execution = pipeline.run(scenario.event, scenario.outcomes)

    record = pipeline.record(scenario.event["detail"]["object"]["key"])
    assert execution.states == scenario.path
    assert execution.status == scenario.status
    assert (record and record["Status"]) == scenario.record
    assert tuple(map(outcome_told, execution.announcements)) == scenario.announced


def outcome_told(announcement: dict) -> str:
    return announcement["MessageAttributes"]["processing_status"]["StringValue"]


@pytest.mark.parametrize("rejection", REJECTIONS, ids=lambda rejection: type(rejection).__name__)
@pytest.mark.parametrize(("function", "path"), [("validate", VALIDATED), ("thumbnails", RENDERED)])
def test_a_rejection_is_recorded_and_announced_and_never_tried_again(
    pipeline: StateMachine, function: str, path: tuple[str, ...], rejection: ImageRejected
):
    execution = pipeline.run(uploaded(), {function: 10 * [rejection]})

    record, (announcement,) = pipeline.record(KEY), execution.announcements
    assert execution.states == (*path, *REJECTED)
    assert len(execution.calls_in(path[-1])) == 1
    assert record["Status"] == "REJECTED"
    assert record["Error"] == {"Name": type(rejection).__name__, "Message": str(rejection)}
    assert record["FailedStep"] == path[-1]
    assert record["Attempts"] == dict.fromkeys(path[path.index("ValidateImage") :], "1")
    assert f"  Reason      {rejection}\n" in announcement["Message"]


# ----------------------------------------------------------------------------------------------- what each task is sent


def test_each_function_is_sent_the_upload_and_what_the_ones_before_it_answered(pipeline: StateMachine):
    execution = pipeline.run(uploaded(version="3sL4kqtJlcpXroDTDmJ"))

    upload = {
        "Bucket": "uploads",
        "ImageKey": KEY,
        "VersionId": "3sL4kqtJlcpXroDTDmJ",
        "ETag": "9b2cf535f27731c974343645a3985328",
        "Bytes": 4_000_000,
        "Sequencer": comparable(OLDER),
        "ReceivedAt": "2026-03-01T12:00:00Z",
    }
    sent = {call.task: call.arguments for call in execution.calls}
    assert sent["validate"].keys() == {"Upload"}
    assert sent["validate"]["Upload"].items() >= upload.items()
    assert sent["thumbnails"] == sent["validate"] | {"Header": HEADER}
    assert sent["metadata"] == sent["validate"] | {"Picture": PICTURE, "Renditions": RENDITIONS}
    attempts = dict.fromkeys(("ValidateImage", "CreateThumbnails", "ExtractMetadata", "StoreResult"), 1)
    assert sent["store"] == sent["validate"] | {"Metadata": METADATA, "Renditions": RENDITIONS, "Attempts": attempts}


def test_every_attempt_of_every_step_counts(pipeline: StateMachine):
    crash = Fault("Runtime.ExitError")
    outcomes = {"thumbnails": 2 * [crash], "metadata": 13 * [BUSY_REKOGNITION], "store": [crash]}

    execution = pipeline.run(uploaded(), outcomes)

    assert execution.calls_in("StoreResult")[-1].arguments["Attempts"] == {
        "ValidateImage": 1,
        "CreateThumbnails": 3,
        "ExtractMetadata": 13,
        "DescribeWithoutLabels": 1,
        "StoreResult": 2,
    }


def test_the_record_tells_of_the_upload_from_the_beginning(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"store": [Superseded()]})

    (call,) = execution.calls_in("ValidateImage")
    described = {name: value for name, value in call.arguments["Upload"].items() if name != "Bucket"}
    assert pipeline.record(KEY) == described | {"Status": "PROCESSING", "Bytes": "4000000"}


def test_success_is_announced_in_the_words_of_the_store_function_and_noted(pipeline: StateMachine):
    (announcement,) = pipeline.run(uploaded()).announcements

    assert announcement["Subject"] == "Image pipeline: an image is ready"
    assert announcement["Message"] == "An image is ready."
    assert announcement["MessageAttributes"]["imageId"]["StringValue"] == KEY
    assert "AnnouncedAt" in pipeline.record(KEY)


def test_a_failure_is_announced_and_recorded_with_what_where_and_why(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"thumbnails": 3 * [Fault("OutOfPaper", report("S3 is gone"))]})

    record, (announcement,) = pipeline.record(KEY), execution.announcements
    assert record["Error"] == {"Name": "OutOfPaper", "Message": "S3 is gone"}
    assert record["FailedStep"] == "CreateThumbnails"
    assert record["Attempts"] == {"ValidateImage": "1", "CreateThumbnails": "3"}
    assert record["AnnouncedAt"] >= record["CompletedAt"] >= record["StartedAt"]
    assert announcement["Subject"] == "Image pipeline: an image was not processed"
    assert announcement["Message"].splitlines() == [
        "An image was not processed.",
        "",
        f"  Image       {KEY}",
        "  Reason      S3 is gone",
        "  Error       OutOfPaper, in CreateThumbnails",
        "  Uploaded    2026-03-01T12:00:00Z",
        f"  Execution   {record['ExecutionArn']}",
    ]
    assert (execution.error, execution.cause) == ("OutOfPaper", "S3 is gone")


def test_an_image_without_labels_carries_the_reason_into_its_record(pipeline: StateMachine):
    execution = pipeline.run(uploaded(), {"metadata": 13 * [BUSY_REKOGNITION]})

    asked, told = execution.calls_in("ExtractMetadata")[-1], execution.calls_in("DescribeWithoutLabels")[0]
    reason = {"Name": "RekognitionThrottled", "Message": "Rekognition is throttling: slow down"}
    assert told.arguments == asked.arguments | {"LabelsError": reason}


def test_a_record_that_could_not_be_begun_is_whole_all_the_same(pipeline: StateMachine):
    pipeline.run(uploaded(), {"dynamodb:putItem": 7 * [BUSY_TABLE]})

    record = pipeline.record(KEY)
    assert record["Error"] == {"Name": BUSY_TABLE.error, "Message": BUSY_TABLE.cause}
    assert record["FailedStep"] == "BeginRecord"
    assert record["Attempts"] == {"BeginRecord": "7"}
    assert record["Sequencer"] == comparable(OLDER)
    assert record["Bytes"] == "4000000"
    assert "AnnouncedAt" in record


def test_what_sns_said_stays_in_the_record_until_it_takes_the_announcement(pipeline: StateMachine):
    pipeline.run(uploaded(), {"sns:publish": 8 * [BUSY_TOPIC]})
    unannounced = pipeline.record(KEY)
    pipeline.run(uploaded(sequencer=NEWER), {"sns:publish": [BUSY_TOPIC]})
    announced = pipeline.record(KEY)

    assert unannounced["NotificationError"] == {"Name": BUSY_TOPIC.error, "Message": BUSY_TOPIC.cause}
    assert "AnnouncedAt" not in unannounced
    assert "NotificationError" not in announced
    assert "AnnouncedAt" in announced


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({"validate": 3 * [CRASH]}, "RemoveOutdatedRenditions"),
        ({"validate": [UploadGone()]}, "RemoveRenditions"),
        ({"thumbnails": [UploadReplaced()]}, "RemoveRenditions"),
    ],
)
def test_renditions_are_removed_by_the_uploads_key(pipeline: StateMachine, outcomes: dict, state: str):
    execution = pipeline.run(uploaded(), outcomes)

    (call,) = execution.calls_in(state)
    assert call.task == "cleanup"
    assert call.arguments == {"ImageKey": KEY}


# --------------------------------------------------------------------------------------------------------- runaway cost


@pytest.mark.parametrize(
    ("function", "state"),
    [
        ("validate", "ValidateImage"),
        ("thumbnails", "CreateThumbnails"),
        ("metadata", "ExtractMetadata"),
        ("store", "StoreResult"),
    ],
)
def test_what_nobody_foresaw_is_tried_three_times_and_no_more(pipeline: StateMachine, function: str, state: str):
    execution = pipeline.run(uploaded(), {function: 10 * [CRASH]})

    assert len(execution.calls_in(state)) == 3


# ------------------------------------------------------------------------------------------------- order and duplicates


def test_the_same_event_twice_is_worked_on_once(pipeline: StateMachine):
    pipeline.run(uploaded())
    first = pipeline.record(KEY)

    second = pipeline.run(uploaded())

    assert second.states == (*BEGUN, "Superseded")
    assert len(second.calls_in("BeginRecord")) == 1
    assert second.announcements == ()
    assert pipeline.record(KEY) == first


def test_an_older_event_that_comes_late_changes_nothing(pipeline: StateMachine):
    pipeline.run(uploaded(sequencer=NEWER))
    before = pipeline.record(KEY)

    late = pipeline.run(uploaded(sequencer=OLDER))

    assert late.states == (*BEGUN, "Superseded")
    assert late.announcements == ()
    assert pipeline.record(KEY) == before


def test_an_older_event_that_can_hardly_be_recorded_changes_nothing_either(pipeline: StateMachine):
    pipeline.run(uploaded(sequencer=NEWER))
    before = pipeline.record(KEY)

    late = pipeline.run(uploaded(sequencer=OLDER), {"dynamodb:putItem": 7 * [BUSY_TABLE]})

    assert late.states == (*BEGUN, "RecordFailureToBegin", "Superseded")
    assert late.announcements == ()
    assert pipeline.record(KEY) == before


def test_a_newer_event_takes_the_record_over_even_from_a_failure(pipeline: StateMachine):
    pipeline.run(uploaded(sequencer=OLDER), {"validate": [EmptyFile()]})

    newer = pipeline.run(uploaded(sequencer=NEWER))

    assert newer.states == COMPLETED
    assert "Error" not in pipeline.record(KEY)


def test_a_first_write_whose_answer_was_lost_does_not_lock_its_own_execution_out(pipeline: StateMachine):
    lost = Fault("DynamoDB.SdkClientException", "Unable to read the answer", unheard=True)

    execution = pipeline.run(uploaded(), {"dynamodb:putItem": [lost]})

    assert len(execution.calls_in("BeginRecord")) == 2
    assert execution.states == COMPLETED


def test_a_record_that_was_let_go_without_the_answer_being_heard_is_let_go(pipeline: StateMachine):
    lost = Fault("DynamoDB.SdkClientException", "Unable to read the answer", unheard=True)

    execution = pipeline.run(uploaded(), {"validate": [UploadReplaced()], "dynamodb:deleteItem": [lost]})

    assert execution.states == (*VALIDATED, *LET_GO, *LEFT_TO_ANOTHER)


@pytest.mark.parametrize("prefix", ["DynamoDB", "DynamoDb"])
def test_a_duplicate_is_told_by_either_spelling_of_the_error(pipeline: StateMachine, prefix: str):
    pipeline.error_prefix = prefix
    pipeline.run(uploaded())

    assert pipeline.run(uploaded()).states == (*BEGUN, "Superseded")


@pytest.mark.parametrize("prefix", ["DynamoDB", "DynamoDb"])
@pytest.mark.parametrize(
    ("function", "problem", "end"),
    [
        ("validate", EmptyFile(), ("RecordRejection", *LEFT_TO_ANOTHER)),
        ("thumbnails", CRASH, ("RecordFailure", "Failed")),
        ("thumbnails", UploadGone(), ("DiscardRecord", *LEFT_TO_ANOTHER)),
    ],
)
def test_an_upload_that_was_overtaken_neither_overwrites_nor_announces(
    pipeline: StateMachine, prefix: str, function: str, problem: Exception, end: tuple[str, ...]
):
    newer = {"ImageKey": KEY, "Status": "PROCESSING", "Sequencer": comparable(NEWER), "ExecutionArn": "another"}

    def overtaken(payload: dict) -> dict:
        pipeline.put(**newer)
        raise problem

    pipeline.error_prefix = prefix
    execution = pipeline.run(uploaded(), {function: 3 * [overtaken]})

    assert execution.states[-len(end) :] == end
    assert len(execution.calls_in(end[0])) == 1
    assert execution.announcements == ()
    assert pipeline.record(KEY) == newer


@pytest.mark.parametrize(
    ("problem", "end"),
    [(EmptyFile(), LEFT_TO_ANOTHER), (CRASH, ("RecordFailure", "Failed"))],
    ids=["rejection", "failure"],
)
def test_what_was_deleted_while_it_failed_is_neither_recorded_nor_announced(
    pipeline: StateMachine, problem: Exception, end: tuple[str, ...]
):
    def deleted(payload: dict) -> dict:
        pipeline.delete(KEY)
        raise problem

    execution = pipeline.run(uploaded(), {"validate": 3 * [deleted]})

    assert execution.states[-2:] == end
    assert execution.announcements == ()
    assert pipeline.record(KEY) is None


@pytest.mark.parametrize(("problem", "times"), [(CRASH, 3), (RenditionsNotRemoved("SlowDown"), 11)])
def test_an_image_that_was_completed_is_not_turned_into_a_failure_by_what_comes_after(
    pipeline: StateMachine, problem: Exception, times: int
):
    def completes_and_crashes(payload: dict) -> dict:
        upload = payload["Upload"]
        pipeline.put(
            ImageKey=KEY, Status="COMPLETED", Sequencer=upload["Sequencer"], ExecutionArn=upload["ExecutionArn"]
        )
        raise problem

    execution = pipeline.run(uploaded(), {"store": times * [completes_and_crashes]})

    assert pipeline.record(KEY)["Status"] == "COMPLETED"
    assert execution.states[-2:] == ("RecordFailure", "Failed")  # whereupon Housekeeping tells of it
    assert execution.error == type(problem).__name__
    assert execution.announcements == ()


def test_an_execution_that_left_renditions_behind_says_so_not_what_was_wrong_with_the_image(pipeline: StateMachine):
    outcomes = {"validate": 3 * [CRASH], "cleanup": 11 * [RenditionsNotRemoved("SlowDown")]}

    execution = pipeline.run(uploaded(), outcomes)

    assert (execution.error, execution.cause) == ("RenditionsNotRemoved", "unneeded renditions remain: SlowDown")
    assert pipeline.record(KEY)["Error"]["Name"] == "KeyError"


@pytest.mark.parametrize("outcomes", [{}, {"validate": [EmptyFile()]}], ids=["success", "failure"])
def test_an_announcement_that_failed_is_not_sent_again_once_a_newer_event_has_the_key(
    pipeline: StateMachine, outcomes: dict
):
    def overtaken_meanwhile(arguments: dict) -> dict:
        pipeline.put(ImageKey=KEY, Status="PROCESSING", Sequencer=comparable(NEWER), ExecutionArn="another")
        raise TimeoutError

    execution = pipeline.run(uploaded(), outcomes | {"sns:publish": [overtaken_meanwhile]})

    assert execution.states[-3:] == ("CheckStillNewest", *LEFT_TO_ANOTHER)
    assert execution.announcements == ()


def test_an_upload_overtaken_while_it_is_announced_notes_nothing_in_the_newer_ones_record(pipeline: StateMachine):
    newer = {"ImageKey": KEY, "Status": "PROCESSING", "Sequencer": comparable(NEWER), "ExecutionArn": "another"}

    def overtaken_meanwhile(arguments: dict) -> dict:
        pipeline.put(**newer)
        return {"MessageId": "1"}

    execution = pipeline.run(uploaded(), {"sns:publish": [overtaken_meanwhile]})

    assert execution.states == (*COMPLETED, "Superseded")
    assert len(execution.calls_in("RecordAnnouncement")) == 1
    assert pipeline.record(KEY) == newer


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
def test_sequencers_compare_whatever_their_case_and_length(pipeline: StateMachine, earlier: str, later: str):
    pipeline.run(uploaded(sequencer=later))

    assert pipeline.run(uploaded(sequencer=earlier)).states[-1] == "Superseded"
    assert comparable(earlier) < comparable(later)


def test_a_sequencer_means_the_same_to_the_state_machine_and_to_the_functions(pipeline: StateMachine):
    execution = pipeline.run(uploaded(sequencer="66e1a2b3"))

    (call,) = execution.calls_in("ValidateImage")
    assert call.arguments["Upload"]["Sequencer"] == comparable("66e1a2b3")


@pytest.mark.parametrize(("given", "version"), [(None, "null"), ("", "null"), ("null", "null"), ("3sL4kqt", "3sL4kqt")])
def test_an_object_without_a_version_is_called_null_as_s3_does(pipeline: StateMachine, given: str | None, version: str):
    execution = pipeline.run(uploaded(version=given))

    (call,) = execution.calls_in("ValidateImage")
    assert call.arguments["Upload"]["VersionId"] == version


# ----------------------------------------------------------------------------------------------------- names and causes


@pytest.mark.parametrize(
    "key",
    [
        "uploads/holiday snaps/a b.jpg",
        "uploads/a+b.jpg",
        "uploads/100%25 of it.jpg",
        "uploads/🐈 café.jpg",
        'uploads/it\'s "quoted" \\ & <b>.jpg',
        "uploads/{% $upload %} ${ImagesTable} $.x.jpg",
        "uploads/" + "x" * 1016,
    ],
)
def test_a_key_arrives_everywhere_as_s3_spelled_it(pipeline: StateMachine, key: str):
    success = pipeline.run(uploaded(key))
    failure = pipeline.run(uploaded(key, sequencer=NEWER), {"validate": [EmptyFile()]})

    uploads = [call.arguments["Upload"] for call in success.calls if "Upload" in call.arguments]
    assert [upload["ImageKey"] for upload in uploads] == 4 * [key]
    for execution in (success, failure):
        assert execution.announcements[0]["MessageAttributes"]["imageId"]["StringValue"] == key
    assert f"  Image       {key}\n" in failure.announcements[0]["Message"]
    assert pipeline.record(key)["Status"] == "REJECTED"


NO_REASON = "no reason was given"
ODD_TEXT = 'a "quoted" \\ line\nand 🐈 another'


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        pytest.param(report("the disk is full"), "the disk is full", id="a function's"),
        pytest.param(report(ODD_TEXT), ODD_TEXT, id="a function's with quotes, lines and emoji"),
        pytest.param(report(""), NO_REASON, id="a function's without a message"),
        pytest.param(report(None), NO_REASON, id="a function's with null"),
        pytest.param(report("x" * 200_000), "x" * 1000, id="a function's, huge"),
        pytest.param(report("🐈" * 5_000), "🐈" * 1000, id="a function's, huge, emoji"),
        pytest.param(report("cut")[:-9], report("cut")[:-9], id="a function's, cut off"),
        pytest.param('{"errorType": "Exit"}', '{"errorType": "Exit"}', id="JSON without a message"),
        pytest.param("{not JSON}", "{not JSON}", id="braces without JSON"),
        pytest.param("[1, 2]", "[1, 2]", id="JSON, no object"),
        pytest.param("Rate exceeded (Service: Lambda)", "Rate exceeded (Service: Lambda)", id="text"),
        pytest.param(ODD_TEXT, ODD_TEXT, id="text with quotes, lines and emoji"),
        pytest.param("x" * 32_768, "x" * 1000, id="text, as long as can be"),
        pytest.param("", NO_REASON, id="none"),
    ],
)
def test_a_message_says_what_the_cause_says_and_no_more_than_a_thousand_characters(
    pipeline: StateMachine, cause: str, message: str
):
    execution = pipeline.run(uploaded(), {"validate": 3 * [Fault("Crash", cause)]})

    assert execution.states == (*VALIDATED, *FAILED)
    assert pipeline.record(KEY)["Error"] == {"Name": "Crash", "Message": message}
    assert f"  Reason      {message}\n" in execution.announcements[0]["Message"]

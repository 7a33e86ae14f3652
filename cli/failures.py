"""What failed and why: in the table, among the events that could not be delivered, and in Housekeeping's executions."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Self

from cli.events import Event
from cli.stack import Record, Stack, from_item
from imagepipeline.keys import renditions_prefix

FAILED = "FAILED"
STUCK = "STUCK"  # PROCESSING, and its execution is over
UNANNOUNCED = "UNANNOUNCED"
UNLABELLED = "UNLABELLED"
REJECTED = "REJECTED"
UNDELIVERED = "UNDELIVERED"  # an event in the queue
NOT_REMOVED = "NOT_REMOVED"  # a record or renditions that a deletion, or an execution that was overtaken, left behind

# What `redrive` runs again for what the record says; the other kinds come with the event to start again.
OF_RECORDS = frozenset({FAILED, STUCK, UNANNOUNCED, UNLABELLED})

PATIENCE = timedelta(minutes=10)  # the state machines' own tries at SNS take about five, and an abandoned record less
LOOK_BACK = timedelta(days=14)  # as long as the queue keeps an event
SEGMENTS = 4  # of the table, scanned at once
_HIDDEN_SECONDS = 300  # how long a message stays out of others' sight if this process dies

_PROJECTION = (
    "ImageKey, #status, Sequencer, ExecutionArn, StartedAt, CompletedAt, AnnouncedAt, #error, FailedStep, "
    "LabelsError, NotificationError"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that failed, once."""

    key: str  # empty for a message in the queue that is no event
    kind: str  # one of those above
    error: dict[str, str]  # {"Name", "Message"}
    since: str  # ISO 8601, UTC
    record: Record = field(default_factory=dict)  # as far as it is scanned for
    event: Event | None = None  # to be started again as it is
    receipt: str = ""  # of the message in the queue that holds the event

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.kind == REJECTED:
            return "upload a file that the pipeline takes"
        if self.kind == UNDELIVERED and self.event is None:
            return "read it in the queue, and delete it there"
        if self.error["Name"] == "ConfigError":
            return "correct the setting, deploy, then redrive it"
        return "redrive it"


# ----------------------------------------------------------------------------------------------------------- the table


def in_table(
    stack: Stack, now: datetime, *, rejected: bool = False, on_progress: Callable[[int], None] = lambda scanned: None
) -> list[Failure]:
    """What the records tell, by key. Reads the whole table: half a read unit for each 4 KB of it.

    `on_progress` is called from the scanning threads with the number of records just read.
    """

    def scan(segment: int) -> Iterator[Failure]:
        for page in _pages(stack, segment, rejected):
            on_progress(page["ScannedCount"])
            yield from filter(None, (of_record(from_item(item), now) for item in page["Items"]))

    def over(suspect: Failure) -> bool:
        return stack.execution_status(suspect.record["ExecutionArn"]) != "RUNNING"

    with ThreadPoolExecutor(SEGMENTS, "scan") as pool:
        parts = pool.map(lambda segment: list(scan(segment)), range(SEGMENTS))
        found = {failure.key: failure for part in parts for failure in part}
        suspects = [failure for failure in found.values() if failure.kind == STUCK]
        stuck = {suspect.key for suspect, is_over in zip(suspects, pool.map(over, suspects), strict=True) if is_over}
    return [found[key] for key in sorted(found) if found[key].kind != STUCK or key in stuck]


def of_record(record: Record, now: datetime) -> Failure | None:
    """What is wrong with a record, if anything is. With STUCK, only if its execution is over."""
    key, status = record["ImageKey"], record["Status"]
    if status == "PROCESSING":
        if now - _moment(record["StartedAt"]) <= PATIENCE:
            return None
        error = {"Name": "Stuck", "Message": "its execution is over, and its record doesn't say so"}
        return Failure(key, STUCK, error, record["StartedAt"], record)
    since = record["CompletedAt"]
    if status == "FAILED":
        return Failure(key, FAILED, record["Error"], since, record)
    if "AnnouncedAt" not in record and now - _moment(since) > PATIENCE:
        untold = {"Name": "Unannounced", "Message": "no notification of it was recorded"}
        return Failure(key, UNANNOUNCED, record.get("NotificationError", untold), since, record)
    if "LabelsError" in record:
        return Failure(key, UNLABELLED, record["LabelsError"], since, record)
    if status == "REJECTED":
        return Failure(key, REJECTED, record["Error"], since, record)
    return None


def _pages(stack: Stack, segment: int, rejected: bool) -> Iterable[dict]:
    statuses = {":failed": "FAILED", ":processing": "PROCESSING"} | ({":rejected": "REJECTED"} if rejected else {})
    return stack.dynamodb.get_paginator("scan").paginate(
        TableName=stack.outputs["ImagesTable"],
        Segment=segment,
        TotalSegments=SEGMENTS,
        FilterExpression=f"#status IN ({', '.join(statuses)}) "
        "OR attribute_exists(LabelsError) OR attribute_not_exists(AnnouncedAt)",
        ProjectionExpression=_PROJECTION,
        ExpressionAttributeNames={"#status": "Status", "#error": "Error"},
        ExpressionAttributeValues={name: {"S": status} for name, status in statuses.items()},
    )


# ----------------------------------------------------------------------------------------------------------- the queue


class UndeliveredEvents:
    """The queue of events that could not start an execution; a context manager.

    Reading a queue hides its messages from everyone else. Those not removed are visible again when the context ends.
    """

    def __init__(self, stack: Stack) -> None:
        self._sqs = stack.sqs
        self._url = stack.outputs["UndeliveredEventsQueue"]
        self.failures: list[Failure] = []  # one a message
        self._hidden: set[str] = set()  # their receipts

    def __enter__(self) -> Self:
        seen: set[str] = set()
        while messages := [message for message in self._receive() if message["MessageId"] not in seen]:
            seen |= {message["MessageId"] for message in messages}
            self.failures += map(_of_message, messages)
        self._hidden = {failure.receipt for failure in self.failures}
        return self

    def __exit__(self, *_: object) -> None:
        for receipts in batched(self._hidden, 10, strict=False):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for number, receipt in enumerate(receipts)
            ]
            # Refused are those that the time has made visible already.
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def remove(self, failure: Failure) -> None:
        """Delete the message: what it asked for is under way."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=failure.receipt)
        self._hidden.discard(failure.receipt)

    def _receive(self) -> list[dict]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,  # without waiting, SQS asks only some of its servers and may overlook messages
            MessageAttributeNames=["ERROR_CODE", "ERROR_MESSAGE"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return answer.get("Messages", [])


def _of_message(message: dict) -> Failure:
    attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    try:
        event = Event.parse(message["Body"])
    except ValueError as problem:
        error = {"Name": "NotAnEvent", "Message": f"message {message['MessageId']}: {problem}"}
        return Failure("", UNDELIVERED, error, _text(sent), receipt=message["ReceiptHandle"])
    reason = attributes.get("ERROR_MESSAGE", "EventBridge could not start an execution for it")
    error = {
        "Name": attributes.get("ERROR_CODE", "Undelivered"),
        "Message": f"{event.document['detail-type']}: {reason}",
    }
    return Failure(event.key, UNDELIVERED, error, _text(sent), event=event, receipt=message["ReceiptHandle"])


# ------------------------------------------------------------------------------------------- Housekeeping's executions


def in_housekeeping(stack: Stack, now: datetime) -> list[Failure]:
    """Executions that failed in the last two weeks, as far as what they were for is still not done."""
    found: dict[str, Failure] = {}
    for execution in _failed_executions(stack, now - LOOK_BACK):
        try:
            event = Event.parse(execution["input"])
        except ValueError:  # somebody tried a state machine out by hand
            continue
        record = stack.records([event.key]).get(event.key)
        if reason := _left_to_do(stack, event, record, execution["executionArn"]):
            kind = STUCK if record and record["Status"] == "PROCESSING" else NOT_REMOVED
            error = {"Name": f"Housekeeping.{execution.get('error', execution['status'])}", "Message": reason}
            since = _text(execution["startDate"])
            # The same event may have failed several times: one of them is enough to start again.
            found.setdefault(execution["input"], Failure(event.key, kind, error, since, record or {}, event))
    return list(found.values())


def _failed_executions(stack: Stack, after: datetime) -> Iterator[dict]:
    for status in ("FAILED", "TIMED_OUT", "ABORTED"):
        pages = stack.stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=stack.outputs["Housekeeping"], statusFilter=status
        )
        for execution in (execution for page in pages for execution in page["executions"]):
            if execution["startDate"] < after:
                break  # the newest come first
            yield stack.stepfunctions.describe_execution(executionArn=execution["executionArn"])


def _left_to_do(stack: Stack, event: Event, record: Record | None, execution: str) -> str:
    if record and record["Status"] == "PROCESSING":
        over = record["ExecutionArn"] in {event.abandoned, execution}
        return "its execution ended early, and its record doesn't say so" if over else ""
    if record and stack.head(event.key) is None:
        return "its object was deleted, and its record is still there"
    named = {rendition["Key"] for rendition in (record or {}).get("Renditions", {}).values()}
    pages = stack.s3.get_paginator("list_objects_v2").paginate(
        Bucket=stack.outputs["ThumbnailsBucket"], Prefix=renditions_prefix(event.key)
    )
    unnamed = {found["Key"] for page in pages for found in page.get("Contents", [])} - named
    return f"{len(unnamed)} renditions are left that no record names" if unnamed else ""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

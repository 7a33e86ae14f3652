"""What failed and why: in the table, in executions that ended early, and among the events that were not delivered."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Self

from cli.events import Event
from cli.stack import KEYS_PER_READ, Document, Record, Stack
from imagepipeline.analysis import LABELS, MODERATION, missing
from imagepipeline.executions import PATIENCE
from imagepipeline.keys import renditions_prefix
from imagepipeline.lists import ATTENTION
from imagepipeline.models import timestamp

FAILED = "FAILED"
STUCK = "STUCK"  # PROCESSING, although its execution has ended
UNANNOUNCED = "UNANNOUNCED"  # without a notification
UNLABELLED = "UNLABELLED"
INCOMPLETE = "INCOMPLETE"  # without faces or moderation labels
HELD = "HELD"  # waits for a moderator
REJECTED = "REJECTED"
UNDELIVERED = "UNDELIVERED"  # an event in the queue
NOT_REMOVED = "NOT_REMOVED"  # a record or renditions that Housekeeping should have removed

# The kinds for which `redrive` processes the image again; for the others it starts the failed event again.
OF_RECORDS = frozenset({FAILED, STUCK, UNANNOUNCED, UNLABELLED, INCOMPLETE})

LOOK_BACK = timedelta(days=14)  # as long as the queue keeps an event
ENDED_EARLY = ("FAILED", "TIMED_OUT", "ABORTED")  # statuses of an execution
_THREADS = 4  # that ask Step Functions
_HIDDEN_SECONDS = 300  # how long a message stays hidden from other readers if this process dies


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that failed, once."""

    key: str  # empty for a message in the queue that is not an event
    kind: str  # one of those above
    error: dict[str, str]  # {"Name", "Message"}
    since: str  # ISO 8601, UTC
    record: Record = field(default_factory=Document)
    event: Event | None = None  # to be started again unchanged
    receipt: str = ""  # of the message in the queue that holds the event

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.kind == REJECTED:
            return "upload a supported image"
        if self.kind == HELD:
            return "release or reject it"
        if self.kind == UNDELIVERED and self.event is None:
            return "inspect it in the queue, and delete it there"
        if self.error["Name"] == "ConfigError":
            return "correct the setting, deploy, then redrive it"
        return "redrive it"


def in_stack(
    stack: Stack, now: datetime, *, rejected: bool = False, on_progress: Callable[[int], None] = lambda read: None
) -> list[Failure]:
    """All failures except those in the queue; the parameters are those of `in_table`."""
    records = in_table(stack, now, rejected=rejected, on_progress=on_progress)
    again = (UNLABELLED, INCOMPLETE, HELD)
    explained = {failure.record["ExecutionArn"] for failure in records if failure.kind not in again}
    return [*records, *in_image_pipeline(stack, now, explained), *in_housekeeping(stack, now)]


# ----------------------------------------------------------------------------------------------------------- the table


def in_table(
    stack: Stack, now: datetime, *, rejected: bool = False, on_progress: Callable[[int], None] = lambda read: None
) -> list[Failure]:
    """The failures that records show, by key. Reads the records that may show one, which the indexes name.

    `on_progress` is called with the number of records just read.
    """

    def is_running(failure: Failure) -> bool:
        return failure.kind == STUCK and stack.execution_status(failure.record["ExecutionArn"]) == "RUNNING"

    found: dict[str, Failure] = {}
    for keys in _candidates(stack, rejected):
        on_progress(len(keys))
        failures = (of_record(record, now) for record in stack.records(keys).values())
        found |= {failure.key: failure for failure in failures if failure and (rejected or failure.kind != REJECTED)}
    by_key = [found[key] for key in sorted(found)]
    with ThreadPoolExecutor(_THREADS, "describe") as pool:
        return [failure for failure, waits in zip(by_key, pool.map(is_running, by_key), strict=True) if not waits]


def _candidates(stack: Stack, rejected: bool) -> Iterator[list[str]]:
    """Keys of all records that may show a failure; some of them several times."""
    for status in ("FAILED", "PROCESSING", "HELD", *(["REJECTED"] if rejected else [])):
        yield from stack.keys_by_status(status)
    yield from stack.keys_in_list(ATTENTION)


def of_record(record: Record, now: datetime) -> Failure | None:
    """The failure that a record shows, if any. Something STUCK may still be running."""
    key, status = record["ImageKey"], record["Status"]
    if status == "PROCESSING":
        if now - _moment(record["StartedAt"]) <= PATIENCE:
            return None
        error = {"Name": "Stuck", "Message": "the execution ended without recording an outcome"}
        return Failure(key, STUCK, error, record["StartedAt"], record)
    since = record["CompletedAt"]
    if status == "FAILED":
        return Failure(key, FAILED, record["Error"], since, record)
    # A completed or held image has no AnnouncedAt: its execution succeeds only after the notification.
    lacks_notice = "AnnouncedAt" not in record and (status == "REJECTED" or "NotificationError" in record)
    if lacks_notice and now - _moment(since) > PATIENCE:
        unrecorded = {"Name": "Unannounced", "Message": "no notification was recorded"}
        return Failure(key, UNANNOUNCED, record.get("NotificationError", unrecorded), since, record)
    if status == "REJECTED":
        return Failure(key, REJECTED, record["Error"], since, record)
    if status == "HELD" and MODERATION not in missing(record):
        return Failure(key, HELD, record["HeldBecause"], since, record)
    for analysis in missing(record):
        return Failure(key, UNLABELLED if analysis is LABELS else INCOMPLETE, record[analysis.error], since, record)
    return None


# ----------------------------------------------------------------------------------------------------------- the queue


class UndeliveredEvents:
    """The queue of events that could not start an execution; a context manager.

    Reading a queue hides its messages from other readers. Those not removed are visible again when the context ends.
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
            # SQS refuses those that have become visible already.
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def remove(self, failure: Failure) -> None:
        """Delete the message of an event that was started."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=failure.receipt)
        self._hidden.discard(failure.receipt)

    def _receive(self) -> list[Document]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,  # without waiting, SQS asks only some of its servers and may miss messages
            MessageAttributeNames=["ERROR_CODE", "ERROR_MESSAGE"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        messages: list[Document] = answer.get("Messages", [])
        return messages


def _of_message(message: Document) -> Failure:
    attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    since = timestamp(datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC), "seconds")
    try:
        event = Event.parse(message["Body"])
    except ValueError as problem:
        error = {"Name": "NotAnEvent", "Message": f"message {message['MessageId']}: {problem}"}
        return Failure("", UNDELIVERED, error, since, receipt=message["ReceiptHandle"])
    reason = attributes.get("ERROR_MESSAGE", "EventBridge could not start an execution")
    error = {
        "Name": attributes.get("ERROR_CODE", "Undelivered"),
        "Message": f"{event.document['detail-type']}: {reason}",
    }
    return Failure(event.key, UNDELIVERED, error, since, event=event, receipt=message["ReceiptHandle"])


# ------------------------------------------------------------------------------------------ executions that ended early


def in_image_pipeline(stack: Stack, now: datetime, explained: Collection[str] = ()) -> list[Failure]:
    """The images whose execution ended early in the last two weeks, unless a record shows the failure.

    `explained` are ARNs of executions that need no look, because their records are listed already.
    """
    found: dict[str, Failure] = {}
    for execution, event, record in _ended_early(stack, "ImagePipeline", now, explained):
        if now - execution["stopDate"] <= PATIENCE:  # Housekeeping may be about to recover it
            continue
        if not record and stack.exists(event.key):
            kind, lacking = STUCK, "there is no record of the image"
        elif _completed(record, execution["executionArn"]) and "AnnouncedAt" not in record:
            kind, lacking = UNANNOUNCED, "no notification was recorded"
        else:
            continue
        error = {"Name": f"Execution.{execution['status']}", "Message": f"the execution ended early, and {lacking}"}
        since = timestamp(execution["stopDate"], "seconds")
        found.setdefault(event.key, Failure(event.key, kind, error, since, record))
    return list(found.values())


def _completed(record: Record, execution: str) -> bool:
    """Whether this execution completed or held the image. One that recovers another makes the record its own."""
    return record.get("Status") in ("COMPLETED", "HELD") and record.get("ExecutionArn") == execution


def in_housekeeping(stack: Stack, now: datetime) -> list[Failure]:
    """The events of executions that failed in the last two weeks, if their work is still to be done."""
    found: dict[str, Failure] = {}
    for execution, event, record in _ended_early(stack, "Housekeeping", now):
        error = {"Name": f"Housekeeping.{execution.get('error', execution['status'])}"}
        since = timestamp(execution["startDate"], "seconds")
        # Of a Standard workflow, the execution that ended early is listed.
        if stack.is_express and not record and stack.exists(event.key):
            error["Message"] = "the execution ended early, and there is no record of the image"
            failure = Failure(event.key, STUCK, error, since, record)
        elif reason := _left_behind(stack, event.key, record):
            error["Message"] = reason
            failure = Failure(event.key, NOT_REMOVED, error, since, record, event)
        else:
            continue
        found.setdefault(execution["input"], failure)  # the same event may have failed several times
    return list(found.values())


def _ended_early(
    stack: Stack, machine: str, now: datetime, explained: Collection[str] = ()
) -> Iterator[tuple[Document, Event, Record]]:
    """Executions that ended early, each with its event and the record that its key has now, which may be empty."""
    if machine == "ImagePipeline" and stack.is_express:
        yield from _with_records(stack, _left_registered(stack))
        return

    def described(arn: str) -> Document:
        execution: Document = stack.stepfunctions.describe_execution(executionArn=arn)
        return execution

    arns = [arn for arn in _listed(stack, machine, now - LOOK_BACK) if arn not in explained]
    with ThreadPoolExecutor(_THREADS, "describe") as pool:
        yield from _with_records(stack, pool.map(described, arns))


def _left_registered(stack: Stack) -> Iterator[Document]:
    """Executions of an Express workflow that Sweep should have handed to Housekeeping, as Step Functions has others."""
    for registered, execution_input in stack.registered():
        yield {
            "executionArn": registered.arn,
            "status": "TIMED_OUT",
            "stopDate": registered.due(),
            "input": execution_input,
        }


def _with_records(stack: Stack, executions: Iterable[Document]) -> Iterator[tuple[Document, Event, Record]]:
    for batch in batched(executions, KEYS_PER_READ, strict=False):
        events = [(execution, _event_of(execution)) for execution in batch]
        records = stack.records(event.key for _, event in events if event)
        for execution, event in events:
            if event:
                yield execution, event, records.get(event.key, {})


def _event_of(execution: Document) -> Event | None:
    try:
        return Event.parse(execution["input"])
    except ValueError:  # somebody started the state machine by hand
        return None


def _listed(stack: Stack, machine: str, after: datetime) -> Iterator[str]:
    for status in ENDED_EARLY:
        pages = stack.stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=stack.outputs[machine], statusFilter=status
        )
        for execution in (execution for page in pages for execution in page["executions"]):
            if execution["startDate"] < after:
                break  # the newest come first
            yield execution["executionArn"]


def _left_behind(stack: Stack, key: str, record: Record) -> str:
    """What should have been removed, in words; nothing while the image is being processed."""
    if record.get("Status") == "PROCESSING":
        return ""
    if record and not stack.exists(key):
        return "the object was deleted, and its record still exists"
    named = {rendition["Key"] for rendition in record.get("Renditions", {}).values()}
    pages = stack.s3.get_paginator("list_objects_v2").paginate(
        Bucket=stack.outputs["ThumbnailsBucket"], Prefix=renditions_prefix(key)
    )
    unnamed = {found["Key"] for page in pages for found in page.get("Contents", [])} - named
    return f"{len(unnamed)} renditions exist that no record names" if unnamed else ""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

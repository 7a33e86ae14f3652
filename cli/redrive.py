"""Processing images again, and following each to a terminal state."""

import json
import threading
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cli import events
from cli.events import Event, sequencer_of
from cli.failures import OF_RECORDS, Failure, UndeliveredEvents
from cli.following import (
    DEFAULT_TIMEOUT,
    NOT_FOUND,
    NOT_STARTED,
    REMOVED,
    TERMINAL,
    Followed,
    Result,
    Work,
    start_and_follow,
    why,
)
from cli.problems import name_and_message
from cli.stack import Record, Stack
from imagepipeline.keys import before_every_event

IN_FLIGHT = 100  # keys started and not finished: leaves most of an account's Lambda concurrency to new uploads


@dataclass(slots=True, kw_only=True)
class _Run(Followed):
    """What was started for one key, and which record shows the outcome."""

    sequencer: str = ""  # of the oldest record that shows the outcome
    execution: str = ""  # of ImagePipeline, if one was started
    housekeeping: list[str] = field(default_factory=list)  # executions that have to end first


def redrive(
    stack: Stack,
    keys: Iterable[str],
    failures: Iterable[Failure],
    undelivered: UndeliveredEvents | None = None,
    *,
    always: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    stop: threading.Event | None = None,
) -> Generator[Result]:
    """Run each of the `keys` (distinct) again and yield its Result as soon as it is known.

    Events among the `failures` are started as they are, and their messages removed from `undelivered` afterwards.
    Beyond that, a key is processed again if its record failed, or `always`; not if one of those events does it, or an
    execution is still running. Errors, `timeout` and `stop` are those of `start_and_follow`.
    """
    return start_and_follow(_Redrives(stack, failures, undelivered, always), keys, timeout=timeout, stop=stop)


class _Redrives(Work[str, _Run]):
    """Starts the executions that a key needs."""

    abandoned = "was started and then not followed to a terminal state"

    def __init__(
        self, stack: Stack, failures: Iterable[Failure], undelivered: UndeliveredEvents | None, always: bool
    ) -> None:
        self.in_flight = IN_FLIGHT
        super().__init__(stack)
        self._undelivered = undelivered
        self._always = always
        self._failures: dict[str, list[Failure]] = defaultdict(list)
        for failure in failures:
            self._failures[failure.key].append(failure)

    def not_started(self, key: str, error: Exception) -> Result:
        return Result(key, NOT_STARTED, error=name_and_message(error))

    def look(self, run: _Run, record: Record | None) -> Result | None:
        return _outcome(self.stack, run, record)

    def start(self, key: str) -> _Run | Result:
        run = _Run(key=key)
        failures = self._failures.get(key, [])
        record = self.stack.records([key], consistent=True).get(key)
        delivered = ""
        for failure in failures:
            if failure.event:
                self._run(run, failure.event)
                if self._undelivered and failure.receipt:
                    self._undelivered.remove(failure)
                    delivered = max(delivered, failure.event.sequencer)

        if delivered > sequencer_of(record):
            run.sequencer = delivered
        elif self._always or any(failure.kind in OF_RECORDS for failure in failures):
            if record and self._is_running(record):
                run.sequencer = sequencer_of(record)
            elif event := self._again(key, record):
                self._run(run, event)
                run.sequencer = event.sequencer if event.machine == "ImagePipeline" else ""
            elif not run.housekeeping:
                error = {"Name": "NotFound", "Message": "there is neither an upload nor a record under this key"}
                return Result(key, NOT_FOUND, error=error)
        return run

    def _is_running(self, record: Record) -> bool:
        """Whether the execution that the record belongs to is still running."""
        return "AnnouncedAt" not in record and self.stack.execution_status(record["ExecutionArn"]) == "RUNNING"

    def _again(self, key: str, record: Record | None) -> Event | None:
        """The event that S3 would send for the key as it is now; None if there is neither an object nor a record."""
        now = datetime.now(UTC)  # before S3 is asked, so that every later upload is newer than the deletion
        head = self.stack.head(key)
        bucket = self.stack.uploads_bucket
        if head:
            sequencer = events.next_sequencer(record) if record else before_every_event(head["LastModified"])
            return events.created(bucket, key, head, sequencer, record)
        return events.deleted(bucket, key, events.next_sequencer(record), now) if record else None

    def _run(self, run: _Run, event: Event) -> None:
        started = self.stack.stepfunctions.start_execution(
            stateMachineArn=self.stack.outputs[event.machine], input=json.dumps(event.document)
        )
        if event.machine == "ImagePipeline":
            run.execution = started["executionArn"]
        else:
            run.housekeeping.append(started["executionArn"])


def _outcome(stack: Stack, run: _Run, record: Record | None) -> Result | None:
    """The outcome of what was started, if it is known."""

    def read_again() -> Record | None:
        return stack.records([run.key], consistent=True).get(run.key)

    while run.housekeeping:
        status = stack.execution_status(run.housekeeping[0])
        if status == "RUNNING":
            run.last_seen = "the Housekeeping execution is still running"
            return None
        if status != "SUCCEEDED":
            return run.unfinished(f"the Housekeeping execution ended as {status}: {run.housekeeping[0]}")
        run.housekeeping.pop(0)
        record = read_again()
    if record is None or sequencer_of(record) < run.sequencer:
        if run.execution:
            status = stack.execution_status(run.execution)
            if status == "RUNNING" or stack.may_be_unregistered(run.since):
                run.last_seen = "its execution is still running"
                return None
            if status != "SUCCEEDED":
                run.last_seen = f"its execution ended as {status}, and another one is to be started in its place"
                return None
        record = read_again()
        if record is None:
            return run.result(REMOVED)
        if sequencer_of(record) < run.sequencer:
            return run.unfinished("the execution ended and left the record as it was")
    run.last_seen = f"the status of its record is {record['Status']}"
    if record["Status"] not in TERMINAL:
        return None
    if not _is_announced(stack, record):
        run.last_seen += ", and no notification was recorded"
        return None
    return run.result(record["Status"], record, why(record))


def _is_announced(stack: Stack, record: Record) -> bool:
    """Whether a notification of the outcome was published."""
    if "AnnouncedAt" in record:
        return True
    # The execution of a completed or held image succeeds only after the notification, and does not record it.
    return record["Status"] in ("COMPLETED", "HELD") and stack.execution_status(record["ExecutionArn"]) == "SUCCEEDED"

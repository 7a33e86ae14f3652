"""Running again what failed, and following each key to its end in the pipeline."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from cli import events
from cli.events import Event, sequencer_of
from cli.failures import OF_RECORDS, Failure, UndeliveredEvents
from cli.problems import AWS_ERRORS, concerns_setup
from cli.stack import Record, Stack
from cli.upload import DEFAULT_TIMEOUT, TERMINAL, UNFINISHED, Result, finished, why

NOT_STARTED = "NOT_STARTED"
NOT_FOUND = "NOT_FOUND"  # neither an object nor a record, and nothing that waits to be started
REMOVED = "REMOVED"  # its object is gone, and now so are its record and renditions

WORKERS = 8  # keys being started at a time
IN_FLIGHT = 100  # keys started and not yet at their end: leaves most of an account's Lambda concurrency to new uploads
_FIRST_PAUSE, _LONGEST_PAUSE, _PAUSE_GROWTH = 0.3, 5.0, 1.5  # seconds between two looks at one key


@dataclass(slots=True)
class _Run:
    """What was started for one key, and how its end is told."""

    key: str
    since: float  # time.monotonic()
    due: float  # time.monotonic() of the next look
    pause: float = _FIRST_PAUSE
    sequencer: str = ""  # a record tells the end from this one on
    execution: str = ""  # of ImagePipeline, if one was started
    housekeeping: list[str] = field(default_factory=list)  # executions that have to end first
    last_seen: str = "there is no record of it yet"


def redrive(
    stack: Stack,
    keys: Iterable[str],
    failures: Iterable[Failure],
    undelivered: UndeliveredEvents | None = None,
    *,
    always: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    stop: threading.Event | None = None,
) -> Iterator[Result]:
    """Run each of the `keys` (distinct) again and yield its Result as soon as it is known.

    Events among the `failures` are started as they are, and their messages removed from `undelivered` once they are.
    Beyond that, a key is processed anew if its record failed, or `always`; not if one of those events does it, or an
    execution is still at work. `timeout` (seconds) counts for each key from its start. After `stop` is set nothing
    more is started, and what is under way comes out UNFINISHED.

    One key's failure is its Result. Where no call can succeed any more (credentials, permission, network), what is
    under way comes out UNFINISHED and then botocore's error is raised.
    """
    stop = stop or threading.Event()
    starter = _Starter(stack, failures, undelivered, always)
    follower = _Follower(stack, timeout)
    todo = iter(keys)
    starting: dict[Future[_Run | Result], str] = {}
    fatal = None

    with ThreadPoolExecutor(WORKERS, "redrive") as pool:
        try:
            while not stop.is_set():
                for key in islice(todo, IN_FLIGHT - len(starting) - len(follower.runs)):
                    starting[pool.submit(starter.start, key)] = key
                if not starting and not follower.runs:
                    break
                for started in finished(starting, stop):
                    key = starting.pop(started)
                    if error := started.exception():
                        if concerns_setup(error) or not isinstance(error, AWS_ERRORS):
                            raise error
                        yield Result(key, NOT_STARTED, error=why(error))
                    elif isinstance(outcome := started.result(), Result):
                        yield outcome
                    else:
                        follower.runs[key] = outcome
                yield from follower.poll()
        except AWS_ERRORS as error:
            fatal = error
        finally:
            pool.shutdown(cancel_futures=True)

    for started in starting:
        if not started.cancelled() and not started.exception() and isinstance(run := started.result(), _Run):
            follower.runs[run.key] = run
    yield from follower.give_up("was started and then not followed to its end")
    if fatal:
        raise fatal


class _Starter:
    """Starts what a key needs, from several threads."""

    def __init__(
        self, stack: Stack, failures: Iterable[Failure], undelivered: UndeliveredEvents | None, always: bool
    ) -> None:
        self._stack = stack
        self._undelivered = undelivered
        self._always = always
        self._failures: dict[str, list[Failure]] = defaultdict(list)
        for failure in failures:
            self._failures[failure.key].append(failure)

    def start(self, key: str) -> _Run | Result:
        """Start executions for one key, or say why not. Raises botocore's errors."""
        now = time.monotonic()
        run = _Run(key, since=now, due=now + _FIRST_PAUSE)
        failures = self._failures.get(key, [])
        record = self._stack.records([key], consistent=True).get(key)
        delivered = ""
        for failure in failures:
            if failure.event:
                self._run(run, failure.event)
            if failure.receipt:
                self._undelivered.remove(failure)
                delivered = max(delivered, failure.event.sequencer)

        if delivered > sequencer_of(record):
            run.sequencer = delivered
        elif self._always or _record_failed(record, failures):
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
        """Whether an execution is still at work on the record."""
        if record["Status"] in TERMINAL and "AnnouncedAt" in record:
            return False
        return self._stack.execution_status(record["ExecutionArn"]) == "RUNNING"

    def _again(self, key: str, record: Record | None) -> Event | None:
        """The event by which S3 would tell how the key stands now; None if there is nothing to tell."""
        now = datetime.now(UTC)  # before S3 is asked: an upload that comes after it is newer than the deletion
        head = self._stack.head(key)
        if head is None and record is None:
            return None
        bucket = self._stack.uploads_bucket
        if head is None:
            return events.deleted(bucket, key, events.next_sequencer(record), now)
        sequencer = events.next_sequencer(record) if record else events.first_sequencer(head)
        return events.created(bucket, key, head, sequencer)

    def _run(self, run: _Run, event: Event) -> None:
        started = self._stack.stepfunctions.start_execution(
            stateMachineArn=self._stack.outputs[event.machine], input=json.dumps(event.document)
        )
        if event.machine == "ImagePipeline":
            run.execution = started["executionArn"]
        else:
            run.housekeeping.append(started["executionArn"])


class _Follower:
    """Looks at the keys that were started until each shows its end."""

    def __init__(self, stack: Stack, timeout: float) -> None:
        self._stack = stack
        self._timeout = timeout
        self.runs: dict[str, _Run] = {}

    def poll(self) -> Iterator[Result]:
        """Look at the keys that are due; yield those that have come to an end, or used up their time."""
        now = time.monotonic()
        due = [run for run in self.runs.values() if run.due <= now]
        records = self._records(run.key for run in due)
        for run in due:
            result = self._result(run, records.get(run.key))
            if result is None and now - run.since >= self._timeout:
                result = _unfinished(run, f"not finished after {self._timeout:g} s: {run.last_seen}")
            if result:
                del self.runs[run.key]
                yield result
            else:
                run.due = now + run.pause
                run.pause = min(run.pause * _PAUSE_GROWTH, _LONGEST_PAUSE)

    def give_up(self, reason: str) -> Iterator[Result]:
        """What is left to say of those whose end was not seen."""
        for run in self.runs.values():
            yield _unfinished(run, f"{reason}: {run.last_seen}")
        self.runs.clear()

    def _result(self, run: _Run, record: Record | None) -> Result | None:
        while run.housekeeping:
            status = self._stack.execution_status(run.housekeeping[0])
            if status == "RUNNING":
                run.last_seen = "Housekeeping is at work"
                return None
            if status != "SUCCEEDED":
                return _unfinished(run, f"Housekeeping ended {status}: {run.housekeeping[0]}")
            run.housekeeping.pop(0)
            record = self._records([run.key]).get(run.key)
        if record is None or sequencer_of(record) < run.sequencer:
            if run.execution and self._stack.execution_status(run.execution) == "RUNNING":
                return None
            record = self._records([run.key]).get(run.key)
            if record is None:
                return Result(run.key, REMOVED, seconds=time.monotonic() - run.since)
            if sequencer_of(record) < run.sequencer:
                return _unfinished(run, "what was started is over, and left its record as it was")
        run.last_seen = f"its record says {record['Status']}"
        if record["Status"] not in TERMINAL:
            return None
        if "AnnouncedAt" not in record:
            run.last_seen += ", and no notification of it was recorded"
            return None
        return Result(
            run.key, record["Status"], record=record, seconds=time.monotonic() - run.since, error=record.get("Error")
        )

    def _records(self, keys: Iterable[str]) -> dict[str, Record]:
        return self._stack.records(keys, consistent=True)


def _record_failed(record: Record | None, failures: list[Failure]) -> bool:
    if record and record["Status"] == "PROCESSING":  # and one of its events failed
        return True
    return any(failure.kind in OF_RECORDS for failure in failures)


def _unfinished(run: _Run, reason: str) -> Result:
    return Result(run.key, UNFINISHED, error={"Name": "Unfinished", "Message": reason})

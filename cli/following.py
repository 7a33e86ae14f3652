"""Starting work on many keys at once, and following each key to a terminal state."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from cli.files import Item
from cli.problems import AWS_ERRORS, concerns_setup
from cli.stack import Record, Stack

DEFAULT_TIMEOUT = 600.0  # seconds; the pipeline retries throttled Rekognition calls for minutes

# The record's own; all other statuses are the command's.
TERMINAL = frozenset({"COMPLETED", "HELD", "REJECTED", "FAILED"})
UNFINISHED = "UNFINISHED"  # started, and no terminal state was seen
NOT_STARTED = "NOT_STARTED"
NOT_FOUND = "NOT_FOUND"  # neither an object nor a record, and no event to start again
REMOVED = "REMOVED"  # its object is gone, and now so are its record and renditions

WORKERS = 8  # keys being started at a time
_TICK = 0.1  # seconds between two looks at what is due
_FIRST_PAUSE, _PAUSE_GROWTH = 0.3, 1.5  # seconds between two looks at one key, and the factor from one to the next


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one key."""

    key: str
    status: str  # the record's Status, or one of the command's own
    item: Item | None = None
    record: Record = field(default_factory=dict)  # empty unless the record is about this very upload or redrive
    seconds: float | None = None  # from the start until a terminal state was seen
    error: dict[str, str] | None = None  # {"Name", "Message"}: why it is not COMPLETED
    url: str = ""  # of a rendition


def why(record: Record) -> dict[str, str] | None:
    """Why an image is not COMPLETED, as its record says: `{"Name", "Message"}`."""
    return record.get("Error") or record.get("HeldBecause")


@dataclass(slots=True, kw_only=True)
class Followed:
    """One key that was started."""

    key: str
    item: Item | None = None
    since: float = field(default_factory=time.monotonic)
    pause: float = field(default_factory=lambda: _FIRST_PAUSE)  # seconds until the next look
    due: float = 0.0  # time.monotonic() of the next look
    last_seen: str = "there is no record of it yet"

    def __post_init__(self) -> None:
        self.due = self.since + self.pause

    def result(self, status: str, record: Record | None = None, error: dict[str, str] | None = None) -> Result:
        """The outcome, seen now."""
        return Result(self.key, status, self.item, record or {}, time.monotonic() - self.since, error)

    def unfinished(self, reason: str) -> Result:
        """The outcome if no terminal state was seen."""
        return Result(self.key, UNFINISHED, self.item, error={"Name": "Unfinished", "Message": reason})


class Work[Entry, Started: Followed](ABC):
    """What a command does with each of many keys, and how the outcome is recognised."""

    abandoned: str  # why a key that was started has no outcome, if the command ends before
    longest_pause: float = 5.0  # seconds between two looks at one key
    in_flight: int | None = None  # how many keys may be started and not finished at any time
    consistent: bool = True  # whether records are read consistently, which costs twice as much

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    @abstractmethod
    def start(self, entry: Entry) -> Started | Result:
        """Start one, or return its Result if there is nothing to follow. Runs in several threads."""

    @abstractmethod
    def not_started(self, entry: Entry, error: Exception) -> Result:
        """The outcome of an entry whose `start` failed."""

    @abstractmethod
    def look(self, started: Started, record: Record | None) -> Result | None:
        """The outcome of what was started, if it is known."""

    def abort(self) -> None:  # noqa: B027 (most have nothing to abort)
        """Have `start` return early."""


def start_and_follow[Entry, Started: Followed](
    work: Work[Entry, Started], entries: Iterable[Entry], *, timeout: float, stop: threading.Event | None = None
) -> Generator[Result]:
    """Start each of the `entries` and yield its Result as soon as it is known.

    Every key that was started is looked at until its outcome is known or `timeout` (seconds) has passed. After `stop`
    is set, nothing more is started, and what was started ends as UNFINISHED.

    One key's failure is its Result. Where no call can succeed any more (credentials, permissions, network), what was
    started ends as UNFINISHED and then botocore's error is raised.
    """
    stop = stop or threading.Event()
    entries = iter(entries)
    starting: set[Future[Started | Result]] = set()
    following: dict[str, Started] = {}
    fatal = None

    with ThreadPoolExecutor(WORKERS, "start") as pool:
        try:
            while not stop.is_set():
                room = 2 * WORKERS if work.in_flight is None else min(2 * WORKERS, work.in_flight - len(following))
                for entry in islice(entries, max(0, room - len(starting))):
                    starting.add(pool.submit(_start, work, entry))
                if not starting and not following:
                    break
                for future in _done(starting, stop):
                    starting.remove(future)
                    if isinstance(outcome := future.result(), Result):
                        yield outcome
                    else:
                        following[outcome.key] = outcome
                yield from _look_at_due(work, following, timeout)
        except AWS_ERRORS as error:
            fatal = error
        finally:
            work.abort()
            pool.shutdown(cancel_futures=True)

    outcomes = [future.result() for future in starting if not future.cancelled() and not future.exception()]
    for outcome in (*outcomes, *following.values()):
        yield outcome if isinstance(outcome, Result) else outcome.unfinished(f"{work.abandoned}: {outcome.last_seen}")
    if fatal:
        raise fatal


def _start[Entry, Started: Followed](work: Work[Entry, Started], entry: Entry) -> Started | Result:
    try:
        return work.start(entry)
    except (*AWS_ERRORS, OSError) as error:
        if concerns_setup(error):
            raise
        return work.not_started(entry, error)


def _done[T](starting: set[Future[T]], stop: threading.Event) -> set[Future[T]]:
    """The futures that are done by now or within a tick."""
    if not starting:
        stop.wait(_TICK)
        return set()
    return wait(starting, timeout=_TICK, return_when=FIRST_COMPLETED).done


def _look_at_due[Entry, Started: Followed](
    work: Work[Entry, Started], following: dict[str, Started], timeout: float
) -> Iterator[Result]:
    now = time.monotonic()
    due = [followed for followed in following.values() if followed.due <= now]
    records = work.stack.records((followed.key for followed in due), consistent=work.consistent)
    for followed in due:
        result = work.look(followed, records.get(followed.key))
        if result is None and now - followed.since >= timeout:
            result = followed.unfinished(f"not finished after {timeout:g} s: {followed.last_seen}")
        if result:
            del following[followed.key]
            yield result
        else:
            followed.due = now + followed.pause
            followed.pause = min(followed.pause * _PAUSE_GROWTH, work.longest_pause)

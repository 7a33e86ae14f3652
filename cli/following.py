"""Starting work on many keys at once, and following each key to a terminal state."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from cli.files import Item
from cli.problems import AWS_ERRORS
from cli.stack import Record

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


def start_and_follow[Entry, Started: Followed](
    entries: Iterable[Entry],
    start: Callable[[Entry], Started | Result],
    read: Callable[[Iterable[str]], dict[str, Record]],
    look: Callable[[Started, Record | None], Result | None],
    *,
    timeout: float,
    longest_pause: float,
    stop: threading.Event,
    in_flight: int | None = None,
    abort: Callable[[], None] = lambda: None,
    abandoned: str,
) -> Generator[Result]:
    """Start each of the `entries` and yield its Result as soon as it is known.

    `start` runs in several threads. It returns a Result if there is nothing to follow, and raises only the errors
    after which no further call can succeed (credentials, permissions, network). Every key that it started is looked
    at, with its record from `read`, until `look` returns a Result or `timeout` (seconds) has passed. At most
    `in_flight` keys are started and not finished at any time.

    After `stop` is set, and after an error, nothing more is started, `abort` tells `start` to return early, and what
    was started ends as UNFINISHED, with `abandoned` as the reason. Then the error is raised.
    """
    entries = iter(entries)
    starting: set[Future[Started | Result]] = set()
    following: dict[str, Started] = {}
    fatal = None

    with ThreadPoolExecutor(WORKERS, "start") as pool:
        try:
            while not stop.is_set():
                room = 2 * WORKERS if in_flight is None else min(2 * WORKERS, in_flight - len(following))
                for entry in islice(entries, max(0, room - len(starting))):
                    starting.add(pool.submit(start, entry))
                if not starting and not following:
                    break
                for future in _done(starting, stop):
                    starting.remove(future)
                    if isinstance(outcome := future.result(), Result):
                        yield outcome
                    else:
                        following[outcome.key] = outcome
                yield from _look_at_due(following, read, look, timeout, longest_pause)
        except AWS_ERRORS as error:
            fatal = error
        finally:
            abort()
            pool.shutdown(cancel_futures=True)

    outcomes = [future.result() for future in starting if not future.cancelled() and not future.exception()]
    for outcome in (*outcomes, *following.values()):
        yield outcome if isinstance(outcome, Result) else outcome.unfinished(f"{abandoned}: {outcome.last_seen}")
    if fatal:
        raise fatal


def _done[T](starting: set[Future[T]], stop: threading.Event) -> set[Future[T]]:
    """The futures that are done by now or within a tick."""
    if not starting:
        stop.wait(_TICK)
        return set()
    return wait(starting, timeout=_TICK, return_when=FIRST_COMPLETED).done


def _look_at_due[Started: Followed](
    following: dict[str, Started],
    read: Callable[[Iterable[str]], dict[str, Record]],
    look: Callable[[Started, Record | None], Result | None],
    timeout: float,
    longest_pause: float,
) -> Iterator[Result]:
    now = time.monotonic()
    due = [followed for followed in following.values() if followed.due <= now]
    records = read(followed.key for followed in due)
    for followed in due:
        result = look(followed, records.get(followed.key))
        if result is None and now - followed.since >= timeout:
            result = followed.unfinished(f"not finished after {timeout:g} s: {followed.last_seen}")
        if result:
            del following[followed.key]
            yield result
        else:
            followed.due = now + followed.pause
            followed.pause = min(followed.pause * _PAUSE_GROWTH, longest_pause)

"""Uploading files and following each to its end in the pipeline."""

import mimetypes
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import batched
from typing import Self

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from cli.events import sequencer_of
from cli.files import Item
from cli.problems import AWS_ERRORS, code, concerns_setup, message
from cli.stack import KEYS_PER_READ, Record, Stack

DEFAULT_TIMEOUT = 600.0  # seconds; the pipeline is patient with Rekognition's throttling for minutes

TERMINAL = frozenset({"COMPLETED", "REJECTED", "FAILED"})  # the record's own; the others below are the command's
UPLOADED = "UPLOADED"  # and not followed, as asked
NOT_UPLOADED = "NOT_UPLOADED"
UNFINISHED = "UNFINISHED"  # uploaded, and no end seen
REPLACED = "REPLACED"  # another upload took the key meanwhile

WORKERS = 8  # uploads at a time
_TICK = 0.1  # seconds between looks at what is due
_FIRST_PAUSE, _LONGEST_PAUSE, _PAUSE_GROWTH = 0.3, 2.0, 1.5  # seconds between two reads of one record

_in_one_thread = TransferConfig(use_threads=False)  # the files are what runs in parallel


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one key: one a file."""

    key: str
    status: str  # the record's Status, or one of the command's own above
    item: Item | None = None
    record: Record = field(default_factory=dict)  # empty unless the record is the answer to this very upload
    seconds: float | None = None  # from the end of the upload until its end in the pipeline was seen
    error: dict[str, str] | None = None  # {"Name", "Message"}: why it isn't COMPLETED


@dataclass(slots=True)
class _Upload:
    """An object that was sent, and how its record is told from older and newer ones."""

    item: Item
    etag: str
    older: str  # comparable sequencer of the record there was before
    since: float  # time.monotonic() when S3 had it
    due: float  # time.monotonic() of the next read of its record
    pause: float = _FIRST_PAUSE
    still_ours: str = ""  # sequencer of a foreign record after which S3 was found to hold our object all the same
    last_seen: str = "there is no record of it yet"


class _StoppedError(Exception):
    """The upload was dropped halfway, as the user asked."""


def upload_and_follow(
    stack: Stack,
    items: Iterable[Item],
    on_progress: Callable[[int], None] = lambda sent: None,
    *,
    follow: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    stop: threading.Event | None = None,
) -> Iterator[Result]:
    """Upload `items` (keys distinct) and yield each one's Result as soon as it is known.

    `on_progress` is called from the uploading threads with the number of bytes just sent, negative when a retry starts
    over. `timeout` (seconds) counts for each file from the end of its upload. After `stop` is set, what is on its way
    is dropped, the files already uploaded come out UNFINISHED, and those not yet uploaded have no Result.

    One file's failure is its Result. Where no call can succeed any more (credentials, permission, network), the files
    already uploaded come out UNFINISHED and then botocore's error is raised.
    """
    stop = stop or threading.Event()
    follower = _Follower(stack, timeout)
    batches = batched(items, KEYS_PER_READ, strict=False)
    sending: dict[Future[_Upload], Item] = {}
    fatal = None

    with _Sender(stack, on_progress) as sender, ThreadPoolExecutor(WORKERS, "upload") as pool:
        try:
            batch = next(batches, ())
            while (batch or sending or follower.waiting) and not stop.is_set():
                if batch and len(sending) < WORKERS:
                    before = stack.records(item.key for item in batch) if follow else {}
                    for item in batch:
                        sending[pool.submit(sender.send, item, before.get(item.key))] = item
                    batch = next(batches, ())
                for sent in finished(sending, stop):
                    item = sending.pop(sent)
                    if error := sent.exception():
                        if concerns_setup(error) or not isinstance(error, (*AWS_ERRORS, OSError)):
                            raise error
                        yield Result(item.key, NOT_UPLOADED, item, error=why(error))
                    elif follow:
                        follower.add(sent.result())
                    else:
                        yield Result(item.key, UPLOADED, item)
                yield from follower.poll()
        except AWS_ERRORS as error:
            fatal = error
        finally:
            sender.stop()
            pool.shutdown(cancel_futures=True)

    for sent in sending:
        if not sent.cancelled() and not sent.exception():
            follower.add(sent.result())
    yield from follower.give_up("was uploaded and then not followed to its end")
    if fatal:
        raise fatal


def finished(sending: Iterable[Future], stop: threading.Event) -> set[Future]:
    """Those of what is `sending` that have ended by now or do so within a tick."""
    if not sending:
        stop.wait(_TICK)
        return set()
    return wait(sending, timeout=_TICK, return_when=FIRST_COMPLETED).done


class _Sender:
    """Sends single files, from several threads."""

    def __init__(self, stack: Stack, on_progress: Callable[[int], None]) -> None:
        self._stack = stack
        self._on_progress = on_progress
        self._stopped = threading.Event()
        self._etags: dict[str, str] = {}
        # boto3's managed upload doesn't return the ETag, and asking for it later might tell that of another upload.
        self._hooks = [
            hook
            for operation in ("PutObject", "CompleteMultipartUpload")
            for hook in (
                (f"before-parameter-build.s3.{operation}", self._note_key),
                (f"after-call.s3.{operation}", self._note_etag),
            )
        ]

    def __enter__(self) -> Self:
        for event, hook in self._hooks:
            self._stack.s3.meta.events.register(event, hook)
        return self

    def __exit__(self, *_: object) -> None:
        for event, hook in self._hooks:
            self._stack.s3.meta.events.unregister(event, hook)

    def send(self, item: Item, before: Record | None) -> _Upload:
        """Upload one file; `before` is what the table said of its key until now. Raises OSError, botocore's errors."""
        content_type, _ = mimetypes.guess_type(item.path.name)
        try:
            with item.path.open("rb") as content:
                self._stack.s3.upload_fileobj(
                    content,
                    self._stack.uploads_bucket,
                    item.key,
                    ExtraArgs={"ContentType": content_type} if content_type else None,
                    Callback=self._sent,
                    Config=_in_one_thread,
                )
        except _StoppedError:
            if item.key not in self._etags:  # else it was counting the last bytes that was stopped, not sending them
                raise
        now = time.monotonic()
        return _Upload(item, self._etags.pop(item.key), sequencer_of(before), since=now, due=now + _FIRST_PAUSE)

    def stop(self) -> None:
        """Drop what is on its way."""
        self._stopped.set()

    def _sent(self, count: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self._on_progress(count)

    @staticmethod
    def _note_key(params: dict, context: dict, **_: object) -> None:
        context["image_key"] = params["Key"]

    def _note_etag(self, parsed: dict, context: dict, **_: object) -> None:
        if "ETag" in parsed:
            self._etags[context["image_key"]] = parsed["ETag"].strip('"')


class _Follower:
    """Reads the records of what was uploaded until each shows its end."""

    def __init__(self, stack: Stack, timeout: float) -> None:
        self._stack = stack
        self._timeout = timeout
        self.waiting: dict[str, _Upload] = {}

    def add(self, upload: _Upload) -> None:
        """Follow this upload from now on."""
        self.waiting[upload.item.key] = upload

    def poll(self) -> Iterator[Result]:
        """Read the records that are due; yield the uploads that have come to an end, or used up their time."""
        now = time.monotonic()
        due = [upload for upload in self.waiting.values() if upload.due <= now]
        records = self._stack.records(upload.item.key for upload in due)
        for upload in due:
            result = self._result(upload, records.get(upload.item.key))
            if result is None and now - upload.since >= self._timeout:
                result = _unfinished(upload, f"not finished after {self._timeout:g} s: {upload.last_seen}")
            if result:
                del self.waiting[upload.item.key]
                yield result
            else:
                upload.due = now + upload.pause
                upload.pause = min(upload.pause * _PAUSE_GROWTH, _LONGEST_PAUSE)

    def give_up(self, why: str) -> Iterator[Result]:
        """What is left to say of those whose end was not seen."""
        for upload in self.waiting.values():
            yield _unfinished(upload, f"{why}: {upload.last_seen}")
        self.waiting.clear()

    def _result(self, upload: _Upload, record: Record | None) -> Result | None:
        """The upload's end, if the record tells it: only one that is newer than the upload can."""
        sequencer = sequencer_of(record)
        if not record or sequencer <= upload.older:
            return None
        ours = record["ETag"].strip('"') == upload.etag
        if ours:
            upload.last_seen = f"its record says {record['Status']}"
        if record["Status"] not in TERMINAL:
            return None
        seconds = time.monotonic() - upload.since
        if ours:
            return Result(upload.item.key, record["Status"], upload.item, record, seconds, record.get("Error"))
        if self._stands(upload, sequencer):
            return None
        error = {"Name": "Replaced", "Message": "another upload under the same key took its place"}
        return Result(upload.item.key, REPLACED, upload.item, seconds=seconds, error=error)

    def _stands(self, upload: _Upload, sequencer: str) -> bool:
        """Whether S3 still holds our object although the record tells of another: then that one was before ours."""
        if upload.still_ours != sequencer:
            try:
                head = self._stack.s3.head_object(Bucket=self._stack.uploads_bucket, Key=upload.item.key)
            except ClientError as error:
                if code(error) not in {"404", "403"}:
                    raise
                return False
            if head["ETag"].strip('"') != upload.etag:
                return False
            upload.still_ours = sequencer
        return True


def _unfinished(upload: _Upload, why: str) -> Result:
    return Result(upload.item.key, UNFINISHED, upload.item, error={"Name": "Unfinished", "Message": why})


def why(error: BaseException) -> dict[str, str]:
    """An error as a Result tells it."""
    return {"Name": code(error), "Message": message(error)}

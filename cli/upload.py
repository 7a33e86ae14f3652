"""Uploading files, and following each to a terminal state."""

import mimetypes
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Self

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from cli.events import sequencer_of
from cli.files import Item
from cli.following import DEFAULT_TIMEOUT, TERMINAL, UNFINISHED, Followed, Result, Work, start_and_follow, why
from cli.problems import code, name_and_message
from cli.stack import KEYS_PER_READ, Record, Stack
from cli.unchanged import PART_BYTES, Stored, is_unchanged, with_stored

UPLOADED = "UPLOADED"  # and not followed, as requested
NOT_UPLOADED = "NOT_UPLOADED"
UNCHANGED = "UNCHANGED"  # the same bytes are stored already
REPLACED = "REPLACED"  # by another upload under the same key

IN_FLIGHT = 1000  # files that are followed at a time; bounds memory
_LONGEST_PAUSE = 2.0  # seconds between two reads of one record
_EVENT_AFTER = timedelta(minutes=2)  # S3 sends most events within seconds, and some after more than a minute
_NO_RECORD = (
    "there is no record of it yet; a new bucket sends no events for about five minutes (see reprocess --unrecorded), "
    'and if uploads are paused, "image-pipeline resume" processes it'
)
_UNRECORDED = {
    "Name": "Unrecorded",
    "Message": "it was uploaded before, but no record shows that it was processed: perhaps uploads are paused; if not, "
    '"image-pipeline redrive" with its key processes it',
}

# Several files are sent at a time instead.
_in_one_thread = TransferConfig(use_threads=False, multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)

type _Entry = tuple[Item, Stored | None, Record | None]  # what the key had before: an object, and a record


@dataclass(slots=True, kw_only=True)
class _Upload(Followed):
    """An object that was sent, and how its record is distinguished from older and newer ones."""

    etag: str
    older: str  # sequencer of the record there was before
    last_seen: str = _NO_RECORD
    still_current: str = ""  # sequencer of another upload's record after which S3 was found to hold our object


class _StoppedError(Exception):
    """The upload was cancelled before its end."""


def upload_and_follow(
    stack: Stack,
    items: Iterable[Item],
    on_progress: Callable[[int], None] = lambda sent: None,
    *,
    follow: bool = True,
    skip_unchanged: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    longest_pause: float = _LONGEST_PAUSE,
    stop: threading.Event | None = None,
) -> Generator[Result]:
    """Upload `items` (keys distinct) and yield each one's Result as soon as it is known.

    `on_progress` is called from the uploading threads with the number of bytes just sent, negative when a retry starts
    over. With `skip_unchanged`, a file is not sent if the same bytes are stored under its key; its Result is UNCHANGED,
    or the outcome of its record. `timeout` (seconds) counts for each file from the end of its upload. After `stop` is
    set, uploads in progress are cancelled, the files already uploaded end as UNFINISHED, and the others have no Result.
    Errors are those of `start_and_follow`.
    """
    stored = with_stored(stack, items) if skip_unchanged else ((item, None) for item in items)
    entries = _with_records(stack, stored) if follow else ((item, found, None) for item, found in stored)
    with _Uploads(stack, on_progress, follow, longest_pause) as uploads:
        yield from start_and_follow(uploads, entries, timeout=timeout, stop=stop)


def _with_records(stack: Stack, entries: Iterable[tuple[Item, Stored | None]]) -> Iterator[_Entry]:
    """Each entry with the record that its key has before the upload."""
    for batch in batched(entries, KEYS_PER_READ, strict=False):
        before = stack.records(item.key for item, _ in batch)
        yield from ((item, stored, before.get(item.key)) for item, stored in batch)


class _Uploads(Work[_Entry, _Upload]):
    """Sends single files."""

    abandoned = "was uploaded and then not followed to a terminal state"
    in_flight = IN_FLIGHT
    consistent = False

    def __init__(self, stack: Stack, on_progress: Callable[[int], None], follow: bool, longest_pause: float) -> None:
        super().__init__(stack)
        self.longest_pause = longest_pause
        self._on_progress = on_progress
        self._follow = follow
        self._stopped = threading.Event()
        self._etags: dict[str, str] = {}
        # boto3's managed upload does not return the ETag, and a later HeadObject might return that of another upload.
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
            self.stack.s3.meta.events.register(event, hook)
        return self

    def __exit__(self, *_: object) -> None:
        for event, hook in self._hooks:
            self.stack.s3.meta.events.unregister(event, hook)

    def start(self, entry: _Entry) -> _Upload | Result:
        """Upload one file, unless it is stored already."""
        item, stored, before = entry
        if stored and is_unchanged(item, stored):
            self._on_progress(item.size)
            return self._found(item, stored, before)
        self._send(item)
        etag = self._etags.pop(item.key)
        if not self._follow:
            return Result(item.key, UPLOADED, item)
        return _Upload(key=item.key, item=item, etag=etag, older=sequencer_of(before))

    def not_started(self, entry: _Entry, error: Exception) -> Result:
        item, _, _ = entry
        return Result(item.key, NOT_UPLOADED, item, error=name_and_message(error))

    def look(self, upload: _Upload, record: Record | None) -> Result | None:
        return _outcome(self.stack, upload, record)

    def abort(self) -> None:
        """Cancel the uploads in progress."""
        self._stopped.set()

    def _found(self, item: Item, stored: Stored, record: Record | None) -> _Upload | Result:
        """The outcome of a file that was uploaded before, unless it is yet to come; then the file is followed."""
        if not self._follow:
            return Result(item.key, UNCHANGED, item)
        if record is None or record["ETag"] != stored.etag:
            if datetime.now(UTC) - stored.modified > _EVENT_AFTER:
                return Result(item.key, UNFINISHED, item, error=_UNRECORDED)
            return _Upload(key=item.key, item=item, etag=stored.etag, older=sequencer_of(record))
        if record["Status"] == "COMPLETED":
            return Result(item.key, UNCHANGED, item, record)
        if record["Status"] in TERMINAL:
            return Result(item.key, record["Status"], item, record, error=why(record))
        return _Upload(key=item.key, item=item, etag=stored.etag, older="")

    def _send(self, item: Item) -> None:
        content_type, _ = mimetypes.guess_type(item.path.name)
        try:
            with item.path.open("rb") as content:
                self.stack.s3.upload_fileobj(
                    content,
                    self.stack.uploads_bucket,
                    item.key,
                    ExtraArgs={"ContentType": content_type} if content_type else None,
                    Callback=self._sent,
                    Config=_in_one_thread,
                )
        except _StoppedError:
            if item.key not in self._etags:  # with an ETag, the upload itself is complete
                raise

    def _sent(self, count: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self._on_progress(count)

    @staticmethod
    def _note_key(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["image_key"] = params["Key"]

    def _note_etag(self, parsed: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        if "ETag" in parsed:
            self._etags[context["image_key"]] = parsed["ETag"].strip('"')


def _outcome(stack: Stack, upload: _Upload, record: Record | None) -> Result | None:
    """The upload's outcome, if the record shows it: only a record newer than the upload can."""
    sequencer = sequencer_of(record)
    if not record or sequencer <= upload.older:
        return None
    is_ours = record["ETag"].strip('"') == upload.etag
    if is_ours:
        upload.last_seen = f"the status of its record is {record['Status']}"
    if record["Status"] not in TERMINAL:
        return None
    if is_ours:
        return upload.result(record["Status"], record, why(record))
    if _is_current(stack, upload, sequencer):
        return None
    return upload.result(REPLACED, error={"Name": "Replaced", "Message": "another upload replaced it under this key"})


def _is_current(stack: Stack, upload: _Upload, sequencer: str) -> bool:
    """Whether S3 still holds our object although the record is of another upload: then that one came before ours."""
    if upload.still_current != sequencer:
        try:
            head = stack.s3.head_object(Bucket=stack.uploads_bucket, Key=upload.key)
        except ClientError as error:
            if code(error) not in {"404", "403"}:
                raise
            return False
        if head["ETag"].strip('"') != upload.etag:
            return False
        upload.still_current = sequencer
    return True

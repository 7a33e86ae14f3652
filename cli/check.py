"""An acceptance run against a deployed stack: its promises, one by one, and answers to docs/aws.md's open questions.

Everything happens under a prefix of its own, `uploads/image-pipeline-check-<random>/`, and is removed at the end.
"""

import json
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from statistics import median
from urllib.parse import quote

from botocore.exceptions import ClientError

from cli import events, pictures, samples
from cli.api import signed
from cli.files import Item
from cli.following import TERMINAL, Result
from cli.notices import Notices
from cli.problems import AWS_ERRORS, code, explain
from cli.stack import TO_UPLOAD, Document, Record, Stack
from cli.status_api import StatusApi
from cli.upload import upload_and_follow
from imagepipeline import renditions
from imagepipeline.keys import UPLOADS_PREFIX, renditions_prefix

NEEDED = (
    *TO_UPLOAD,
    "ThumbnailsBucket",
    "ImagePipeline",
    "NotificationsTopic",
    "ImageStatusApiEndpoint",
)

KEPT, BROKEN, SKIPPED = "pass", "FAIL", "skipped"

_SOON = 60.0  # seconds for what takes one or two: a notification, the removal of an image
_PAUSE = 0.3  # seconds between two looks
_EVENT_PATIENCE = 20.0  # seconds to wait for an upload's event before uploading again
_EXPRESS_SECONDS = 10.0  # a duplicate event's execution takes, about which an Express workflow says nothing
_MULTIPART_SECONDS = 3.0  # between the beginning and the completion of a multipart upload
_BRIGHT = 150  # the upper left corner of the sideways photo has 240; no other corner has more than 60

_PHOTO, _SIDEWAYS, _TWICE, _REPLACED, _DELETED = "photo.png", "sideways.jpg", "twice.jpg", "replaced.jpg", "deleted.jpg"
_ODD = {
    "space": "a space.jpg",
    "plus": "a+plus.jpg",
    "percent": "100%25 percent%.jpg",
    "question mark": "question?mark.jpg",
    "hash": "hash#.jpg",
    "emoji": "emoji 😀.jpg",
}
_PDF, _EMPTY, _CUT_OFF = "document.png", "empty.jpg", "cut-off.jpg"
_FOLDER_MARKER = "folder/"
_FIRST, _MULTIPART = "first.jpg", "multipart.jpg"


@dataclass(frozen=True, slots=True)
class Promise:
    """Whether one promise was kept."""

    name: str
    outcome: str  # KEPT, BROKEN or SKIPPED
    seen: str  # or why it was skipped
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stack says to one question of docs/aws.md."""

    question: str  # the first column of its row
    answer: str


class Broken(Exception):
    """A promise is not kept. The message says what was seen instead."""


class Skipped(Exception):
    """This stack does not make the promise. The message says why."""


def new_name() -> str:
    """A name for one run, for its prefix and its queue."""
    return f"image-pipeline-check-{secrets.token_hex(4)}"


def run(
    stack: Stack,
    name: str,
    photos: Iterable[Item] = (),
    *,
    timeout: float,
    keep: bool = False,
    on_start: Callable[[str], None] = lambda doing: None,
) -> Generator[Promise | Answer]:
    """Check every promise in turn, then yield the answers; `on_start` is called with the name of each promise.

    `photos` are the user's own, with keys under `uploads/<name>/`. `timeout` (seconds) bounds each wait for the
    pipeline. However the run ends, the queue and, unless `keep`, everything that was uploaded is removed. Raises
    botocore's errors if the queue cannot be created, or something cannot be removed.
    """
    prefix = f"{UPLOADS_PREFIX}{name}/"
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        notices = ends.enter_context(
            Notices(stack.sqs, stack.session.client("sns"), stack.outputs["NotificationsTopic"], name, prefix)
        )
        trial = _Trial(stack, notices, prefix, list(photos), folder, timeout)
        if not keep:
            ends.callback(trial.close)
        for promise, look in trial.promises().items():
            on_start(promise)
            yield trial.look(promise, look)
        promise = "Nothing remains after the deletion of every upload"
        on_start(promise)
        yield trial.look(promise, trial.kept if keep else trial.clean_up)
        yield from trial.answers


class _Trial:
    """One run: what was uploaded, and what became of it."""

    def __init__(
        self,
        stack: Stack,
        notices: Notices,
        prefix: str,
        photos: list[Item],
        folder: Path,
        timeout: float,
    ) -> None:
        self.answers: list[Answer] = []
        self._stack = stack
        self._notices = notices
        needs_signature = stack.parameters.get("ApiAuthorization") == "AWS_IAM"
        self._api = StatusApi(
            stack.outputs["ImageStatusApiEndpoint"], signed(stack.session) if needs_signature else None
        )
        self._prefix = prefix
        self._photos = photos
        self._specs = renditions.parse(stack.parameters.get("Renditions", renditions.DEFAULT))
        self._folder = folder
        self._timeout = timeout
        self._soon = min(timeout, _SOON)
        self._results: dict[str, Result] = {}  # by key, of the upload that is current
        self._announcements: Counter[str] = Counter()  # by key: how many there should be
        self._keys: set[str] = set()  # all that were ever uploaded
        self._read: dict[str, tuple[bytes, str]] = {}  # content and type of renditions, by key
        self._started = False  # whether the first upload was processed
        self._clean = False

    def promises(self) -> dict[str, Callable[[], str]]:
        """How each promise is checked, in this order. Each check returns what it saw, or raises Broken or Skipped."""
        return {
            "An upload starts the pipeline": self._starts,
            "Photos are completed, and have a record": self._completes,
            "Renditions exist, with the right size and type": self._renders,
            "A photo taken sideways is stored upright": self._rotates,
            "Renditions contain no metadata": self._strips,
            "Labels are detected": self._labels,
            "Any file name works": self._odd_names,
            "A PDF called .png is rejected": lambda: self._rejects(_PDF, "UnsupportedFormat"),
            "An empty file is rejected": lambda: self._rejects(_EMPTY, "EmptyFile"),
            "A photo that is cut off is rejected": lambda: self._rejects(_CUT_OFF, "DamagedImage"),
            "A multipart upload is processed": self._multipart,
            "Each upload is announced once": self._announces,
            "A folder marker leaves no record and no notification": self._ignores_folders,
            "The status API answers for every upload": self._status,
            "The status API answers 404 for an unknown image": self._unknown,
            "The status API refuses unsigned requests": self._unsigned,
            "A duplicate event changes nothing": self._duplicate_event,
            "The same bytes uploaded again are processed again": self._same_again,
            "A replaced photo loses its old renditions": self._replaces,
            "A deleted photo loses its record and renditions": self._deletes,
        }

    def look(self, name: str, check: Callable[[], str]) -> Promise:
        """Check one promise, and measure how long that took."""
        started = time.monotonic()

        def promise(outcome: str, seen: object) -> Promise:
            return Promise(name, outcome, str(seen), time.monotonic() - started)

        try:
            if not self._started and check not in (self._starts, self.clean_up, self.kept):
                raise Skipped("the first upload was not processed")
            return promise(KEPT, check())
        except Skipped as reason:
            return promise(SKIPPED, reason)
        except Broken as seen:
            return promise(BROKEN, seen)
        except AWS_ERRORS as error:
            return promise(BROKEN, explain(error))
        except (LookupError, ValueError) as error:
            return promise(BROKEN, f"the stack's answer has an unexpected form: {error!r}")

    def close(self) -> None:
        """Remove everything, after whatever end of the run."""
        try:
            with suppress(Broken):
                self.clean_up()
        except BaseException as error:
            where = f"s3://{self._stack.uploads_bucket}/{self._prefix}"
            error.add_note(f"not everything was removed: delete {where}, and the pipeline removes the rest")
            raise

    def kept(self) -> str:
        """Nothing is removed, by request."""
        raise Skipped(f"--keep: everything is left under {self._prefix}")

    def clean_up(self) -> str:
        """Delete every upload, wait until the pipeline has removed records and renditions, and remove the rest.

        Raises Broken if there was a rest, and does nothing the second time.
        """
        if self._clean:
            return ""
        uploads = self._stack.uploads_bucket
        for key in self._stored(uploads, self._prefix):
            self._stack.s3.delete_object(Bucket=uploads, Key=key)
        with suppress(Broken):
            self._until(lambda: not any(self._left()), self._soon, "")
        self._purge_versions()
        records, left = self._left()
        for key in records:
            self._stack.dynamodb.delete_item(TableName=self._stack.outputs["ImagesTable"], Key={"ImageKey": {"S": key}})
        for key in left:
            self._stack.s3.delete_object(Bucket=self._stack.outputs["ThumbnailsBucket"], Key=key)
        self._clean = True
        if records or left:
            raise Broken(f"the pipeline left {len(records)} records and {len(left)} renditions, which were removed now")
        return f"{len(self._keys)} uploads, their records and renditions are gone"

    # --------------------------------------------------------------------------------------------------- the promises

    def _starts(self) -> str:
        """Uploads until an event arrives: before S3 sends events for a new bucket, they are lost."""
        key = self._key(_FIRST)
        started = time.monotonic()
        tries = 0
        while not self._started:
            tries += 1
            self._put(key, samples.SIDEWAYS_JPEG)
            with suppress(Broken):
                left = started + self._timeout - time.monotonic()
                self._until(lambda: self._record(key) is not None, min(_EVENT_PATIENCE, max(0, left)), "")
                self._started = True
            if not self._started and time.monotonic() - started >= self._timeout:
                raise Broken(
                    f"no record appeared in {self._timeout:.0f} s after {tries} uploads: are S3's events for "
                    "EventBridge switched on, and does UploadsRule exist? `image-pipeline failures` lists what failed"
                )
        seconds = time.monotonic() - started
        of_tries = "the first upload" if tries == 1 else f"upload {tries} of one every {_EVENT_PATIENCE:.0f} s"
        self._answer(
            "Does a new bucket send events after five minutes?",
            f"a record of {of_tries} appeared after {seconds:.1f} s",
        )
        record = self._ended(key)
        if record["Status"] != "COMPLETED":
            raise Broken(f"the first upload is {_reason(record)}")
        return f"completed {time.monotonic() - started:.1f} s after {of_tries}"

    def _completes(self) -> str:
        same = dict.fromkeys((_SIDEWAYS, *_ODD.values(), _TWICE, _REPLACED, _DELETED), samples.SIDEWAYS_JPEG)
        others = {_PHOTO: samples.png(1600, 1200), _PDF: samples.PDF, _EMPTY: b"", _CUT_OFF: samples.cut_off_jpeg()}
        self._put(self._prefix + _FOLDER_MARKER, b"")
        self._upload(same | others)
        self._answer_times()
        results = [self._require_completed(key) for key in (*self._photo_keys(), *map(self._key, (_PHOTO, _SIDEWAYS)))]
        for name, expected in ((_PHOTO, ("PNG", 1600, 1200)), (_SIDEWAYS, ("JPEG", *samples.SIDEWAYS_SIZE))):
            record = self._results[self._key(name)].record
            seen = (record["Format"], record["Width"], record["Height"])
            if seen != expected:
                raise Broken(f"the record of {name} says {seen}, and not {expected}")
        return ", ".join(f"{self._short(result.key)} {_described(result.record)}" for result in results)

    def _renders(self) -> str:
        formats: Counter[str] = Counter()
        for result in self._completed():
            stored = result.record["Renditions"]
            if stored.keys() != {spec.name for spec in self._specs}:
                raise Broken(f"{self._short(result.key)} has the renditions {', '.join(stored) or 'none'}")
            for spec in self._specs:
                formats[self._require_rendition(result, spec)] += 1
        return f"{formats.total()} renditions: {', '.join(f'{count} {name}' for name, count in formats.items())}"

    def _require_rendition(self, result: Result, spec: renditions.RenditionSpec) -> str:
        """The format of a rendition, if S3 has it, and it is what the stack's parameter asks for."""
        described = result.record["Renditions"][spec.name]
        who = f"{spec.name} of {self._short(result.key)}"
        data, content_type = self._rendition(who, described["Key"])
        try:
            picture = pictures.read(data)
        except ValueError as error:
            raise Broken(f"{who} is no picture: {error}") from error
        width, height = _expected_size(result.record["Width"], result.record["Height"], spec)
        if abs(picture.width - width) > 1 or abs(picture.height - height) > 1 or picture.format != spec.format:
            raise Broken(f"{who} is {picture}, and not {width:.0f}×{height:.0f} {spec.format}")
        if (picture.format, picture.width, picture.height) != tuple(
            described[name] for name in ("Format", "Width", "Height")
        ):
            raise Broken(f"{who} is {picture}, and its record says otherwise")
        if content_type != f"image/{picture.format.lower()}":
            raise Broken(f"{who} is {picture}, and its type is {content_type}")
        return picture.format

    def _rotates(self) -> str:
        stored = self._require_completed(self._key(_SIDEWAYS)).record["Renditions"]
        jpegs = 0
        for spec in self._specs:
            data, _ = self._rendition(spec.name, stored[spec.name]["Key"])
            picture = pictures.read(data)
            if spec.fit == "inside" and picture.width > picture.height:
                raise Broken(f"{spec.name} is {picture}: not turned")
            if picture.format == "JPEG":
                jpegs += 1
                if (brightness := pictures.corner_brightness(data)) < _BRIGHT:
                    raise Broken(
                        f"{spec.name} is turned the wrong way: brightness {brightness} in the upper left corner"
                    )
        seen = "higher than wide"
        return f"{seen}, and the right corner is at the upper left in {jpegs} JPEG renditions" if jpegs else seen

    def _strips(self) -> str:
        count = 0
        for result in self._completed():
            for name, described in result.record["Renditions"].items():
                data, _ = self._rendition(name, described["Key"])
                count += 1
                if found := pictures.metadata(data):
                    raise Broken(f"{name} of {self._short(result.key)} contains {', '.join(found)}")
        return f"no EXIF, XMP, IPTC or comment in {count} renditions"

    def _labels(self) -> str:
        if self._stack.parameters.get("DetectLabels") == "false":
            raise Skipped("DetectLabels is false")
        results = [self._require_completed(key) for key in self._photo_keys() or [self._key(_PHOTO)]]
        seen = [f"{self._short(result.key)}: {_labels(result.record)}" for result in results]
        if not self._photos:
            seen.append("that is a colour gradient; pass a photo to see its labels")
        if self._photos:
            self._answer("Are labels, quotas and latency of Rekognition as expected?", "; ".join(seen))
        if any("LabelsError" in result.record for result in results):
            raise Broken("; ".join(seen))
        return "; ".join(seen)

    def _odd_names(self) -> str:
        for name in _ODD.values():
            self._require_completed(self._key(name))
        return ", ".join(_ODD)

    def _rejects(self, name: str, error: str) -> str:
        result = self._result(self._key(name))
        if result.status != "REJECTED" or not result.error or result.error["Name"] != error:
            raise Broken(_reason_of(result))
        if "Renditions" in result.record:
            raise Broken("the record of a rejected file names renditions")
        return f"{result.error['Name']}: {result.error['Message']}"

    def _multipart(self) -> str:
        """In two calls of S3's own, with a pause between, to see which of the two LastModified is."""
        bucket, key = self._stack.uploads_bucket, self._key(_MULTIPART)
        self._keys.add(key)
        begun = self._stack.s3.create_multipart_upload(Bucket=bucket, Key=key)
        upload = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        try:
            part = self._stack.s3.upload_part(**upload, PartNumber=1, Body=samples.SIDEWAYS_JPEG)
            time.sleep(_MULTIPART_SECONDS)
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            done = self._stack.s3.complete_multipart_upload(**upload, MultipartUpload=parts)
        except BaseException:
            self._stack.s3.abort_multipart_upload(**upload)
            raise
        self._announcements[key] += 1
        record = self._ended(key)
        if head := self._stack.head(key):
            times = (_date(begun), _date(done), datetime.fromisoformat(record["ReceivedAt"]))
            since_begun, since_done, since_event = ((head["LastModified"] - at).total_seconds() for at in times)
            self._answer(
                "Does an object's `LastModified` compare with the time of an event?",
                f"a multipart upload's LastModified minus the time it was begun: {since_begun:+.0f} s, "
                f"completed: {since_done:+.0f} s, of its event: {since_event:+.1f} s",
            )
        if record["Status"] != "COMPLETED":
            raise Broken(_reason(record))
        return _described(record)

    def _announces(self) -> str:
        keys = list(self._announcements)
        ended = {key: self._executed(record) for key, record in self._stack.records(keys, consistent=True).items()}
        if bad := [f"{self._short(key)} {status}" for key, status in ended.items() if status != "SUCCEEDED"]:
            raise Broken(f"executions did not succeed: {', '.join(bad)}")
        self._notices.wait_for(self._announcements, self._soon)
        statuses: Counter[str] = Counter()
        for key in keys:
            statuses[self._require_announced(key)] += 1
        repeated = f"; SNS delivered {self._notices.repeated} of them twice" if self._notices.repeated else ""
        return f"{', '.join(f'{count} {name}' for name, count in statuses.items())}{repeated}"

    def _ignores_folders(self) -> str:
        key = self._prefix + _FOLDER_MARKER
        if record := self._record(key):
            raise Broken(f"there is a record of it: {_reason(record)}")
        if self._notices.of(key):
            raise Broken("it was announced")
        return "none, after other uploads of the same time were announced"

    def _status(self) -> str:
        known = {key: result for key, result in self._results.items() if result.status in TERMINAL}
        left_out = []
        for key, result in known.items():
            answer = self._api.of(key)
            if answer is None:
                left_out.append(self._short(key))
                continue
            seen = answer.status, answer.body.get("ImageKey", key), answer.body.get("Status")
            if seen != (200, key, result.status):
                raise Broken(f"{self._short(key)}: HTTP {answer.status} {json.dumps(answer.body, ensure_ascii=False)}")
        self._answer_paths()
        asked = f"{len(known) - len(left_out)} images"
        return f"{asked}; not asked, because this stack has no ?key=: {', '.join(left_out)}" if left_out else asked

    def _unknown(self) -> str:
        answer = self._api.of(f"{self._prefix}unknown.jpg")
        if answer is None or answer.status != 404:
            raise Broken(f"{answer}")
        return "HTTP 404"

    def _unsigned(self) -> str:
        if self._stack.parameters.get("ApiAuthorization") != "AWS_IAM":
            raise Skipped("ApiAuthorization is NONE: anyone who knows an image's name may ask")
        answer = self._api.get(f"/images/{quote(self._prefix)}{_PHOTO}/status", unsigned=True)
        if answer.status != 403:
            raise Broken(f"HTTP {answer.status}")
        return "HTTP 403"

    def _duplicate_event(self) -> str:
        key = self._key(_SIDEWAYS)
        before = self._require_completed(key).record
        head = self._stack.head(key)
        if head is None:
            raise Broken("the upload is gone")
        event = events.created(self._stack.uploads_bucket, key, head, before["Sequencer"])
        arn = self._stack.stepfunctions.start_execution(
            stateMachineArn=self._stack.outputs["ImagePipeline"], input=json.dumps(event.document)
        )["executionArn"]
        if self._stack.is_express:
            time.sleep(_EXPRESS_SECONDS)
        status = self._executed({"ExecutionArn": arn})
        errors = self._errors_of(arn)
        self._answer(
            "What are DynamoDB's errors called in Step Functions?",
            f"the second execution of an event {status}; it met {', '.join(errors) or 'no error'}",
        )
        if status != "SUCCEEDED":
            raise Broken(f"its execution {status}: {', '.join(errors)}")
        self._notices.wait_for(self._announcements, self._soon)
        self._require_announced(key)
        if self._record(key) != before:
            raise Broken("the record has changed")
        return "its execution SUCCEEDED; same record, no second notification"

    def _same_again(self) -> str:
        return self._replace(_TWICE, samples.SIDEWAYS_JPEG)

    def _replaces(self) -> str:
        return self._replace(_REPLACED, samples.png(300, 200, blue=30))

    def _replace(self, name: str, content: bytes) -> str:
        """Upload again under the key; what the first upload left must go, and the second be announced."""
        key = self._key(name)
        before = _rendition_keys(self._require_completed(key).record)
        self._upload({name: content})
        after = _rendition_keys(self._require_completed(key).record)
        if after & before:
            raise Broken("old and new renditions have the same keys")
        self._until(lambda: self._renditions_of(key) == after, self._soon, "old renditions are still there")
        self._executed(self._results[key].record)
        self._notices.wait_for(self._announcements, self._soon)
        self._require_announced(key)
        return f"{len(after)} new renditions, {len(before)} old ones are gone, a second notification"

    def _deletes(self) -> str:
        key = self._key(_DELETED)
        renditions_before = len(_rendition_keys(self._require_completed(key).record))
        self._stack.s3.delete_object(Bucket=self._stack.uploads_bucket, Key=key)
        self._until(lambda: self._record(key) is None, self._soon, "the record is still there")
        self._until(lambda: not self._renditions_of(key), self._soon, "renditions are still there")
        self._notices.wait_for(self._announcements, self._soon)
        self._require_announced(key)
        if (answer := self._api.of(key)) and answer.status != 404:
            raise Broken(f"the status API still answers {answer.status}")
        return f"the record and {renditions_before} renditions are gone, without a notification"

    # ---------------------------------------------------------------------------------------------------- the answers

    def _answer(self, question: str, answer: str) -> None:
        self.answers.append(Answer(question, answer))

    def _answer_times(self) -> None:
        completed = self._completed()
        seconds = [result.seconds for result in completed if result.seconds is not None]
        if seconds:
            self._answer(
                "Are speed and memory sufficient?",
                f"from upload to COMPLETED, {len(self._results)} uploads at once: median {median(seconds):.1f} s, "
                f"longest {max(seconds):.1f} s, of {len(seconds)} photos (± {_PAUSE} s)",
            )
        delays = [self._event_delay(result) for result in completed]
        if known := [delay for delay in delays if delay is not None]:
            self._answer(
                "Does an object's `LastModified` compare with the time of an event?",
                f"event's time minus LastModified: {min(known):+.3f} to {max(known):+.3f} s, of {len(known)} uploads",
            )
        attempts = {tuple(sorted(result.record.get("Attempts", {}).values())) for result in completed}
        rejected = self._result(self._key(_PDF)).record.get("Attempts", {})
        self._answer(
            "What is `State.RetryCount` in `Arguments` and after a `Catch`?",
            f"Attempts of completed photos: {', '.join(sorted(str(list(one)) for one in attempts))}; "
            f"of a rejected file: {list(rejected.values())}",
        )

    def _event_delay(self, result: Result) -> float | None:
        head = self._stack.head(result.key)
        if head is None:
            return None
        delay = datetime.fromisoformat(result.record["ReceivedAt"]) - head["LastModified"]
        return float(delay.total_seconds())

    def _answer_paths(self) -> None:
        """What API Gateway makes of each odd name in a path, encoded once and twice."""

        def outcome(key: str, encoded: str) -> str:
            answer = self._api.by_path(encoded)
            right = answer.status == 200 and answer.body.get("ImageKey", key) == key
            return "right" if right else str(answer.status)

        encodings: dict[str, Callable[[str], str]] = {"once": quote, "twice": lambda key: quote(quote(key))}
        found = []
        for times, encode in encodings.items():
            outcomes = {char: outcome(self._key(name), encode(self._key(name))) for char, name in _ODD.items()}
            found.append(f"encoded {times}: " + ", ".join(f"{char} {seen}" for char, seen in outcomes.items()))
        self._answer("How does an HTTP API decode the path?", "; ".join(found))

    # ------------------------------------------------------------------------------------------------------- the means

    def _put(self, key: str, content: bytes) -> None:
        self._keys.add(key)
        self._stack.s3.put_object(Bucket=self._stack.uploads_bucket, Key=key, Body=content)

    def _upload(self, contents: Mapping[str, bytes]) -> None:
        """Upload samples, and the user's photos with the first ones, and follow them to their end."""
        items = [] if self._results else list(self._photos)
        for number, (name, content) in enumerate(contents.items()):
            path = self._folder / f"{number}{Path(name).suffix}"
            path.write_bytes(content)
            items.append(Item(path, self._key(name), len(content)))
        self._keys |= {item.key for item in items}
        self._announcements.update(item.key for item in items)
        for result in upload_and_follow(self._stack, items, timeout=self._timeout, longest_pause=_PAUSE):
            self._results[result.key] = result

    def _completed(self) -> list[Result]:
        completed = [result for result in self._results.values() if result.status == "COMPLETED"]
        if not completed:
            raise Broken("no photo was completed")
        return completed

    def _result(self, key: str) -> Result:
        if key not in self._results:
            raise Broken(f"{self._short(key)} was not uploaded")
        return self._results[key]

    def _require_completed(self, key: str) -> Result:
        result = self._result(key)
        if result.status != "COMPLETED":
            raise Broken(f"{self._short(result.key)} is {_reason_of(result)}")
        return result

    def _require_announced(self, key: str) -> str:
        """The status that the key's notifications have, if there are as many as there should be."""
        seen = [notice.status for notice in self._notices.of(key)]
        status = self._results[key].status if key in self._results else "COMPLETED"
        expected = {"COMPLETED": "SUCCESS", "HELD": "HELD"}.get(status, "FAILURE")
        if seen != [expected] * self._announcements[key]:
            raise Broken(
                f"{self._short(key)} was announced {len(seen)} times ({', '.join(seen) or 'never'}), "
                f"and not {self._announcements[key]} times as {expected}"
            )
        return expected

    def _ended(self, key: str) -> Record:
        """The record of a key as soon as its status is final."""
        self._until(
            lambda: (self._record(key) or {}).get("Status") in TERMINAL,
            self._timeout,
            f"{self._short(key)} has no final status",
        )
        return self._record(key) or {}

    def _executed(self, record: Record) -> str:
        """The status of a record's execution after its end."""
        arn = record["ExecutionArn"]
        self._until(
            lambda: self._stack.execution_status(arn) != "RUNNING", self._timeout, "an execution is still running"
        )
        return self._stack.execution_status(arn)

    def _until(self, condition: Callable[[], bool], timeout: float, complaint: str) -> None:
        """Wait for a condition. Raises Broken after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                raise Broken(f"{complaint} after {timeout:.0f} s")
            time.sleep(_PAUSE)

    def _record(self, key: str) -> Record | None:
        return self._stack.records([key], consistent=True).get(key)

    def _errors_of(self, execution: str) -> list[str]:
        """The names of the errors that the tasks of an execution met; unknown of an Express workflow's."""
        if self._stack.is_express:
            return []
        pages = self._stack.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
        details = (event.get("taskFailedEventDetails") for page in pages for event in page["events"])
        return list(dict.fromkeys(str(detail["error"]) for detail in details if detail))

    def _rendition(self, who: str, key: str) -> tuple[bytes, str]:
        """The content of a rendition, and its Content-Type."""
        if key not in self._read:
            try:
                answer = self._stack.s3.get_object(Bucket=self._stack.outputs["ThumbnailsBucket"], Key=key)
            except ClientError as error:
                if code(error) != "NoSuchKey":
                    raise
                raise Broken(f"{who} does not exist") from error
            self._read[key] = answer["Body"].read(), answer["ContentType"]
        return self._read[key]

    def _renditions_of(self, key: str) -> set[str]:
        return set(self._stored(self._stack.outputs["ThumbnailsBucket"], renditions_prefix(key)))

    def _stored(self, bucket: str, prefix: str) -> Iterator[str]:
        pages = self._stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return (found["Key"] for page in pages for found in page.get("Contents", ()))

    def _left(self) -> tuple[list[str], list[str]]:
        """The records and the renditions that exist of anything that was uploaded."""
        records = self._stack.records(sorted(self._keys), consistent=True)
        return list(records), [found for key in sorted(self._keys) for found in self._renditions_of(key)]

    def _purge_versions(self) -> None:
        """In a versioned bucket, delete what the deletions left: old versions first, so that none becomes current."""
        pages = self._stack.s3.get_paginator("list_object_versions").paginate(
            Bucket=self._stack.uploads_bucket, Prefix=self._prefix
        )
        listed = list(pages)
        for kind in ("Versions", "DeleteMarkers"):
            for found in (found for page in listed for found in page.get(kind, ())):
                self._stack.s3.delete_object(
                    Bucket=self._stack.uploads_bucket, Key=found["Key"], VersionId=found["VersionId"]
                )

    def _photo_keys(self) -> list[str]:
        return [item.key for item in self._photos]

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _short(self, key: str) -> str:
        return key.removeprefix(self._prefix)


def _expected_size(width: int, height: int, spec: renditions.RenditionSpec) -> tuple[float, float]:
    """The size of a rendition of a picture, before rounding: never enlarged."""
    if spec.fit == "inside":
        factor = min(1, spec.width / width, spec.height / height)
        return max(1, width * factor), max(1, height * factor)
    factor = min(1, width / spec.width, height / spec.height)
    return max(1, spec.width * factor), max(1, spec.height * factor)


def _date(answer: Document) -> datetime:
    """When S3 gave an answer, by its own clock, in whole seconds."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _rendition_keys(record: Record) -> set[str]:
    return {rendition["Key"] for rendition in record["Renditions"].values()}


def _described(record: Record) -> str:
    return f"{record['Width']}×{record['Height']} {record['Format']}"


def _labels(record: Record) -> str:
    if problem := record.get("LabelsError") or record.get("LabelsSkipped"):
        return f"none ({problem['Name']}: {problem['Message']})"
    return ", ".join(f"{label['Name']} {label['Confidence']:.0f}%" for label in record.get("Labels", ())) or "none"


def _reason(record: Document) -> str:
    error = record.get("Error")
    return str(record["Status"]) + (f" ({error['Name']}: {error['Message']})" if error else "")


def _reason_of(result: Result) -> str:
    return result.status + (f" ({result.error['Name']}: {result.error['Message']})" if result.error else "")

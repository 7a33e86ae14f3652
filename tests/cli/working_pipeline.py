"""A pipeline on moto that keeps every promise, except those that a test breaks."""

import io
import json
import threading
from collections.abc import Callable
from itertools import count
from urllib.parse import unquote

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.sns.models import SNSBackend, sns_backends
from moto.stepfunctions.models import stepfunctions_backends
from PIL import Image, ImageOps

from cli.events import Event, created
from cli.stack import Stack
from cli.status_api import Answer
from imagepipeline import renditions
from imagepipeline.keys import rendition_key, renditions_prefix
from tests.cli.stand_in import NOW, REGION, write


class WorkingPipeline:
    """Processes an upload or a deletion before the client's call for it returns. `faults` are what it does wrong."""

    def __init__(self, stack: Stack) -> None:
        self.faults: set[str] = set()
        self.ignored_uploads = 0  # how many of the next uploads have no event
        self.on_upload: Callable[[str], object] = lambda key: None
        self.stack = Stack.find(boto3.Session(region_name=REGION), stack.name)  # with clients without the hooks
        self._sequencers = count(0x100)
        self._lock = threading.RLock()
        s3, stepfunctions = stack.s3.meta.events, stack.stepfunctions.meta.events
        uploads = [(s3, f"{{}}.s3.{name}", self._uploaded) for name in ("PutObject", "CompleteMultipartUpload")]
        self._hooks = [
            (source, pattern.format(moment), hook)
            for source, pattern, after in (
                *uploads,
                (s3, "{}.s3.DeleteObject", self._deleted),
                (stepfunctions, "{}.stepfunctions.StartExecution", self._executed),
            )
            for moment, hook in (("before-parameter-build", self._note_request), ("after-call", after))
        ]

    def __enter__(self) -> "WorkingPipeline":
        for source, event, hook in self._hooks:
            source.register(event, hook)
        return self

    def __exit__(self, *_: object) -> None:
        for source, event, hook in self._hooks:
            source.unregister(event, hook)

    @property
    def sns(self) -> SNSBackend:
        return sns_backends[DEFAULT_ACCOUNT_ID][REGION]

    def left_behind(self) -> list[str]:
        """Everything that a run could leave: versions, delete markers, records, renditions, queues, subscriptions."""
        versions = self.stack.s3.list_object_versions(Bucket=self.stack.uploads_bucket)
        thumbnails = self.stack.s3.list_objects_v2(Bucket=self.stack.outputs["ThumbnailsBucket"])
        records = self.stack.dynamodb.scan(TableName=self.stack.outputs["ImagesTable"])
        return [
            *(found["Key"] for kind in ("Versions", "DeleteMarkers") for found in versions.get(kind, ())),
            *(found["Key"] for found in thumbnails.get("Contents", ())),
            *(item["ImageKey"]["S"] for item in records["Items"]),
            *self.stack.sqs.list_queues(QueueNamePrefix="image-pipeline-check").get("QueueUrls", ()),
            *(subscription.arn for subscription in self.sns.subscriptions.values()),
        ]

    def answer(self, target: str, *, unsigned: bool = False) -> Answer:
        """The status API."""
        if unsigned and "unsigned requests are answered" not in self.faults:
            return Answer(403, {})
        path, _, query = target.partition("?")
        if "no query" in self.faults and query:
            return Answer(400, {})
        key = unquote(query.removeprefix("key=") if query else path[len("/images/") : -len("/status")])
        record = self.stack.records([key]).get(key)
        if "status 500" in self.faults:
            return Answer(500, {})
        if record is None and "unknown images are found" not in self.faults:
            return Answer(404, {})
        return Answer(200, record or {})

    @staticmethod
    def _note_request(params: dict, context: dict, **_: object) -> None:
        context["request"] = params

    def _uploaded(self, parsed: dict, context: dict, **_: object) -> None:
        key = context["request"]["Key"]
        self.on_upload(key)
        with self._lock:
            head = self.stack.head(key)
            if "no events" in self.faults or ("the same bytes are ignored" in self.faults and self._is_known(key)):
                return
            if self.ignored_uploads:
                self.ignored_uploads -= 1
                return
            if key.endswith("/") and "folder markers are recorded" not in self.faults:
                return
            content = self.stack.s3.get_object(Bucket=self.stack.uploads_bucket, Key=key)["Body"].read()
            if "plus is decoded" in self.faults:
                key = key.replace("+", " ")
            event = created(self.stack.uploads_bucket, key, head, f"{next(self._sequencers):018X}")
            self._process(event, content, self._start(event))

    def _deleted(self, context: dict, **_: object) -> None:
        request = context["request"]
        if request["Bucket"] == self.stack.uploads_bucket and "VersionId" not in request:
            with self._lock:
                self._delete(request["Key"])

    def _executed(self, parsed: dict, context: dict, **_: object) -> None:
        """Somebody else has started an execution, with an event that was processed before."""
        event = Event.parse(context["request"]["input"])
        if "a duplicate event is announced" in self.faults:
            self._announce(event.key, {"Status": "COMPLETED"})
        self._end(parsed["executionArn"], "FAILED" if "a duplicate event fails" in self.faults else "SUCCEEDED")

    def _process(self, event: Event, content: bytes, arn: str) -> None:
        described = event.document["detail"]["object"]
        about = {
            "Sequencer": event.sequencer,
            "ETag": described["etag"],
            "Bytes": described["size"],
            "ReceivedAt": NOW,
            "ExecutionArn": arn,
            "Attempts": {"ValidateImage": 1},
        }
        if error := self._error(event.key, content):
            record = {"Status": "REJECTED", "Error": {"Name": error, "Message": "no"}}
        else:
            record = self._complete(event, content, arn)
            if "photos are held" in self.faults and event.key.endswith("photo.png"):
                record |= {"Status": "HELD", "HeldBecause": {"Name": "Flagged", "Message": "Violence 99 %"}}
        write(self.stack, event.key, **about | record)
        stale = [key for key in self._stored(event.key) if key not in str(record)]
        if "old renditions stay" not in self.faults:
            self._remove(stale)
        if not ("a notification is missing" in self.faults and "plus" in event.key):
            self._announce(event.key, record)
            if "a notification is sent twice" in self.faults and "plus" in event.key:
                self._announce(event.key, record)

    def _error(self, key: str, content: bytes) -> str:
        if not content:
            return "EmptyFile" if "empty files" not in self.faults else "Oops"
        if content.startswith(b"%PDF"):
            return "UnsupportedFormat" if "documents" not in self.faults else "Oops"
        if "photos are rejected" in self.faults and key.endswith("photo.png"):
            return "Oops"
        if "multipart uploads are rejected" in self.faults and "multipart" in key:
            return "Oops"
        try:
            Image.open(io.BytesIO(content)).load()
        except OSError:
            return "DamagedImage" if "damaged files" not in self.faults else "Oops"
        return ""

    def _complete(self, event: Event, content: bytes, arn: str) -> dict:
        image = Image.open(io.BytesIO(content))
        exif = image.info.get("exif", b"")
        upright = image if "photos stay sideways" in self.faults else ImageOps.exif_transpose(image)
        if "photos are turned the wrong way" in self.faults and exif:
            upright = upright.rotate(180)
        upright.info.clear()
        stored = {}
        for spec in renditions.parse(self.stack.parameters["Renditions"]):
            rendition = upright.copy()
            if spec.fit == "cover":
                rendition = ImageOps.fit(upright, (spec.width, spec.height))
            else:
                rendition.thumbnail((spec.width, spec.height) if "sizes" not in self.faults else (50, 50))
            file = io.BytesIO()
            rendition.save(file, spec.format, **({"exif": exif} if "metadata is kept" in self.faults else {}))
            key = rendition_key(event.key, event.sequencer, arn, spec.name, spec.format)
            if not ("a rendition is missing" in self.faults and spec.format == "WEBP"):
                self.stack.s3.put_object(
                    Bucket=self.stack.outputs["ThumbnailsBucket"],
                    Key=key,
                    Body=file.getvalue(),
                    ContentType=f"image/{spec.format.lower() if 'types' not in self.faults else 'x'}",
                )
            width, height = rendition.size
            stored[spec.name] = {"Key": key, "Width": width, "Height": height, "Format": spec.format}
        labels = {"Labels": []}
        if "labels fail" in self.faults:
            labels |= {"LabelsError": {"Name": "RekognitionFailed", "Message": "AccessDenied"}}
        width, height = upright.size
        return {"Format": image.format, "Width": width, "Height": height, "Renditions": stored, **labels}

    def _delete(self, key: str) -> None:
        if "deletions are ignored" in self.faults:
            return
        if "rejections outlive their files" in self.faults and key.endswith("document.png"):
            return
        self.stack.dynamodb.delete_item(TableName=self.stack.outputs["ImagesTable"], Key={"ImageKey": {"S": key}})
        self._remove(self._stored(key))

    def _announce(self, key: str, record: dict) -> None:
        status = {"COMPLETED": "SUCCESS", "HELD": "HELD"}.get(record.get("Status", "COMPLETED"), "FAILURE")
        attributes = {"processing_status": status, "imageId": key}
        self.sns.publish(
            "about an image",
            arn=self.stack.outputs["NotificationsTopic"],
            message_attributes={name: {"Type": "String", "Value": value} for name, value in attributes.items()},
        )

    def _is_known(self, key: str) -> bool:
        record, head = self.stack.records([key]).get(key), self.stack.head(key)
        return record is not None and record["ETag"] == head["ETag"].strip('"')

    def _start(self, event: Event) -> str:
        arn = self.stack.stepfunctions.start_execution(
            stateMachineArn=self.stack.outputs["ImagePipeline"], input=json.dumps(event.document)
        )["executionArn"]
        self._end(arn, "SUCCEEDED")
        return arn

    def _end(self, arn: str, status: str) -> None:
        machine = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION].describe_state_machine(
            self.stack.outputs["ImagePipeline"]
        )
        [execution] = [execution for execution in machine.executions if execution.execution_arn == arn]
        execution.status, execution.stop_date = status, utcnow()

    def _stored(self, key: str) -> list[str]:
        listed = self.stack.s3.list_objects_v2(
            Bucket=self.stack.outputs["ThumbnailsBucket"], Prefix=renditions_prefix(key)
        )
        return [found["Key"] for found in listed.get("Contents", ())]

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            self.stack.s3.delete_object(Bucket=self.stack.outputs["ThumbnailsBucket"], Key=key)

"""What surrounds a deployed function, in memory: its invocation, its events, its AWS."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import boto3
from PIL import Image

from functions.index import app as index
from functions.metadata import app as metadata
from functions.pause import app as pause
from functions.read_images import app as read_images
from functions.status import app as status
from functions.store import app as store
from functions.sweep import app as sweep
from functions.thumbnails import app as thumbnails
from functions.validate import app as validate
from functions.write_images import app as write_images
from imagepipeline import aws
from imagepipeline.items import to_item

PROJECT = Path(__file__).parents[2]
PHOTO = (PROJECT / "local" / "photos" / "rocket-sideways.jpg").read_bytes()  # the one the sample events tell of


def sample(name: str) -> dict:
    """A sample event, as in events/."""
    return json.loads((PROJECT / "events" / f"{name}.json").read_text())


UPLOADS_BUCKET = sample("upload")["detail"]["bucket"]["name"]
THUMBNAILS_BUCKET = "image-pipeline-thumbnailsbucket-1a2b3c4d5e6f"
IMAGES_TABLE = "image-pipeline-ImagesTable-1A2B3C4D5E6F"
INDEX_TABLE = "image-pipeline-IndexTable-1A2B3C4D5E6F"
IMAGE_PIPELINE = "arn:aws:states:us-east-1:111122223333:stateMachine:ImagePipeline-1A2B3C4D5E6F"
EXECUTIONS_TABLE = "image-pipeline-ExecutionsTable-1A2B3C4D5E6F"
HOUSEKEEPING = "arn:aws:states:us-east-1:123456789012:stateMachine:Housekeeping-1A2B3C4D5E6F"
STATUS_API = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"

SETTINGS = {
    "MAX_FILE_BYTES": "104857600",
    "MAX_PIXELS": "100000000",
    "RENDITIONS": "small=100x100 medium=640x480 large=1280x1280",
    "UPLOADS_BUCKET": UPLOADS_BUCKET,
    "THUMBNAILS_BUCKET": THUMBNAILS_BUCKET,
    "RECORD_LOCATION": "false",
    "DETECT_LABELS": "true",
    "LABELS_MIN_CONFIDENCE": "75",
    "LABELS_MAX_COUNT": "10",
    "DETECT_FACES": "false",
    "MODERATION": "off",
    "MODERATION_MIN_CONFIDENCE": "50",
    "IMAGES_TABLE": IMAGES_TABLE,
    "INDEX_TABLE": INDEX_TABLE,
    "EXECUTIONS_TABLE": EXECUTIONS_TABLE,
    "HOUSEKEEPING": HOUSEKEEPING,
    "WORKFLOW_TYPE": "EXPRESS",
    "API_AUTHORIZATION": "NONE",
    "STATUS_API": STATUS_API,
    "IMAGE_PIPELINE": IMAGE_PIPELINE,
    "UPLOADS_RULE": "image-pipeline-UploadsRule-1A2B3C4D5E6F",
    "PAUSED_UPLOADS_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:image-pipeline-PausedUploadsQueue-1A2B3C4D5E6F",
    "ALARMS_TOPIC": "arn:aws:sns:us-east-1:123456789012:image-pipeline-AlarmsTopic-1A2B3C4D5E6F",
}


UPLOADS_TARGET = {
    "Id": "ImagePipeline",
    "Arn": "arn:aws:states:us-east-1:123456789012:stateMachine:ImagePipeline",
    "RoleArn": "arn:aws:iam::123456789012:role/RulesRole",
    "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
    "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:123456789012:UndeliveredEventsQueue"},
}


@dataclass(frozen=True)
class Context:
    """Lambda's context object, as far as handlers look at it."""

    function_name: str = "function"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:111122223333:function:function"
    memory_limit_in_mb: int = 512
    aws_request_id: str = "8f5a1c9e-2b7d-4e36-9a40-d1c2b3a4f5e6"
    log_group_name: str = "/aws/lambda/function"
    log_stream_name: str = "2026/11/21/[$LATEST]0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def invoke(app, event: dict) -> dict:
    """What a function returns for an event, which like the answer travels as JSON."""
    return json.loads(json.dumps(app.handler(json.loads(json.dumps(event)), Context())))


def published(capsys) -> list[dict]:
    """The metrics in the log since it was last looked at, as CloudWatch reads them."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]


def new_execution_environment() -> None:
    """Forget what a warm function keeps: clients, and settings once read."""
    aws.client.cache_clear()
    modules = (index, metadata, pause, read_images, status, store, sweep, thumbnails, validate, write_images)
    for module in modules:
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()


def put_uploads_rule() -> None:
    """The rule for uploads as deployed, the queue for its events and the topic of the alarms."""
    events = boto3.client("events")
    events.put_rule(Name=SETTINGS["UPLOADS_RULE"], EventPattern=json.dumps({"source": ["aws.s3"]}))
    events.put_targets(Rule=SETTINGS["UPLOADS_RULE"], Targets=[UPLOADS_TARGET])
    boto3.client("sns").create_topic(Name=SETTINGS["ALARMS_TOPIC"].rsplit(":", 1)[1])
    boto3.client("sqs").create_queue(QueueName=SETTINGS["PAUSED_UPLOADS_QUEUE_ARN"].rsplit(":", 1)[1])


def upload(body: bytes, key: str = "uploads/photo.jpg", sequencer: str = "00691FBA1C8D2E7F40") -> dict:
    """Put an object into the uploads bucket, and return the event that S3 sends for it."""
    put = aws.client("s3").put_object(Bucket=UPLOADS_BUCKET, Key=key, Body=body)
    event = sample("upload")
    event["detail"]["object"] = {"key": key, "size": len(body), "etag": put["ETag"].strip('"'), "sequencer": sequencer}
    if "VersionId" in put:
        event["detail"]["object"]["version-id"] = put["VersionId"]
    return event


def put(record: dict) -> None:
    """Write a record, and let the index follow it."""
    change = aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(record), ReturnValues="ALL_OLD")
    deliver(record["ImageKey"], change.get("Attributes"), to_item(record))


def remove(image_key: str) -> None:
    """Remove a record, and let the index follow it."""
    key = {"ImageKey": {"S": image_key}}
    change = aws.client("dynamodb").delete_item(TableName=IMAGES_TABLE, Key=key, ReturnValues="ALL_OLD")
    deliver(image_key, change.get("Attributes"), None)


def deliver(image_key: str, old: dict | None, new: dict | None) -> None:
    """Invoke the index function as the stream of the table would."""
    images = {"OldImage": old, "NewImage": new}
    change = {"Keys": {"ImageKey": {"S": image_key}}} | {name: image for name, image in images.items() if image}
    invoke(index, {"Records": [{"dynamodb": change}]})


def deploy_housekeeping() -> None:
    """A state machine under the ARN of Housekeeping, which does nothing."""
    aws.client("stepfunctions").create_state_machine(
        name=HOUSEKEEPING.rsplit(":", 1)[-1],
        definition='{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}',
        roleArn="arn:aws:iam::123456789012:role/housekeeping",
    )


def keep_versions() -> None:
    """Turn versioning on for the uploads bucket."""
    aws.client("s3").put_bucket_versioning(Bucket=UPLOADS_BUCKET, VersioningConfiguration={"Status": "Enabled"})


def picture(width: int, height: int, format_name: str = "JPEG", noise: bool = False) -> bytes:
    """An image file: red on the left and blue on the right, or noise, which hardly compresses."""
    if noise:
        image = Image.effect_noise((width, height), 100).convert("RGB")
    else:
        image = Image.new("RGB", (width, height), "blue")
        image.paste("red", (0, 0, width // 2, height))
    file = io.BytesIO()
    image.save(file, format_name)
    return file.getvalue()

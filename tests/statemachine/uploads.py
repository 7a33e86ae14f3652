"""An upload that ImagePipeline processes, what may go wrong meanwhile, and what is said about it."""

import json
from collections.abc import Callable

from imagepipeline.errors import RekognitionThrottled, ServiceUnavailable
from imagepipeline.keys import comparable
from tests.statemachine.machine import Fault, StateMachine

KEY = "uploads/cat.jpg"
BYTES, ETAG = 4_000_000, "9b2cf535f27731c974343645a3985328"
OLDER, NEWER = "0066E1A2B3C4D5E6F7", "0066E1A2B3C4D5E6F8"

HEADER = {"Format": "JPEG", "Width": 4000, "Height": 3000}
RENDITIONS = {"small": {"Key": "0a/1/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 4096}}
PICTURE = {"Format": "JPEG", "Width": 4000, "Height": 3000, "ColorMode": "RGB"}
METADATA = PICTURE | {"Sha256": 64 * "0", "Labels": [{"Name": "Cat", "Confidence": 98.1}]}

CRASH = KeyError("Event")
THROTTLED = Fault("Lambda.TooManyRequestsException", "Rate Exceeded.")
BUSY_S3 = ServiceUnavailable("S3", "SlowDown")
BUSY_REKOGNITION = RekognitionThrottled("slow down")
BUSY_TABLE = Fault("DynamoDB.ProvisionedThroughputExceededException", "The level of throughput was exceeded.")
BUSY_TOPIC = Fault("SNS.ThrottledException", "Rate exceeded")
FOREVER = 200  # attempts: more than any rule allows
LOST = Fault("DynamoDB.SdkClientException", "Unable to read the response", response_lost=True)
ABANDONED = "arn:aws:states:us-east-1:123456789012:execution:pipeline:abandoned"
# The record of an execution that ended early.
PROCESSING = {
    "ImageKey": KEY,
    "Status": "PROCESSING",
    "Sequencer": comparable(OLDER),
    "VersionId": "null",
    "ETag": ETAG,
    "Bytes": BYTES,
    "ReceivedAt": "2026-03-01T12:00:00Z",
    "StartedAt": "2026-03-01T12:00:01.000Z",
    "ExecutionArn": ABANDONED,
}


def pipeline_with(deploy: Callable[..., StateMachine], metadata: dict = METADATA, **parameters: str) -> StateMachine:
    """ImagePipeline with functions that accept and process every upload, for these parameters of the stack."""
    answers = {
        "validate": HEADER,
        "thumbnails": {"Renditions": RENDITIONS, "Picture": PICTURE},
        "metadata": metadata,
        "cleanup": {"Removed": 0},
        "resolve_current_version": {"Action": "KEEP"},
    }
    machine = deploy("ImagePipeline", answers, **parameters)
    answers["store"] = machine.store
    return machine


def uploaded(key: str = KEY, sequencer: str = OLDER, version: str | None = None) -> dict:
    """S3's event for a new object."""
    described = {"key": key, "size": BYTES, "etag": ETAG, "sequencer": sequencer}
    if version is not None:
        described["version-id"] = version
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-03-01T12:00:00Z",
        "detail": {"bucket": {"name": "uploads"}, "object": described, "reason": "PutObject"},
    }


def resumed(
    execution_arn: str = ABANDONED, status: str = "ABORTED", resumptions: int = 1, **upload: str | None
) -> dict:
    """The event of an execution that Housekeeping starts in place of one that ended early."""
    abandoned = {"ExecutionArn": execution_arn, "Status": status, "Resumptions": resumptions}
    return uploaded(**upload) | {"Abandoned": abandoned}


def text(announcement: dict) -> str:
    """What an announcement says to a person."""
    return json.loads(announcement["Message"])["email"]


def published(record: dict) -> dict:
    """What subscribers receive of a record."""
    return {
        name: value
        for name, value in record.items()
        if name not in ("ExecutionArn", "AnnouncedAt", "NotificationError")
    }

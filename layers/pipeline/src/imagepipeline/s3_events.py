"""Builds events as S3 sends them to EventBridge, where S3 sends none. Pure, standard library only.

S3 sends no event when a deletion uncovers an older version, nor when an operator asks for an image to be processed
again. https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html describes the structure.
"""

from datetime import datetime

from imagepipeline.models import JsonObject, timestamp

OBJECT_CREATED = "Object Created"
OBJECT_DELETED = "Object Deleted"

# The operations that S3 names as the `reason` of an upload. Whoever stands in for S3 gives another.
REASONS_OF_UPLOADS = frozenset({"PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"})


def object_created(
    bucket: str,
    key: str,
    *,
    size: int,
    etag: str,
    version_id: str,
    sequencer: str,
    time: datetime,
    reason: str,
) -> JsonObject:
    """The event of an upload. `version_id` is "null" in a bucket without versions; `time` has a time zone."""
    # S3 leaves the attribute out where there is no version ID.
    version = {} if version_id == "null" else {"version-id": version_id}
    described = {"key": key, "size": size, "etag": etag, **version, "sequencer": sequencer}
    return _event(OBJECT_CREATED, bucket, described, time, reason)


def object_deleted(bucket: str, key: str, *, sequencer: str, time: datetime, reason: str) -> JsonObject:
    """The event of a deletion in a bucket without versions, with the same conventions."""
    return _event(OBJECT_DELETED, bucket, {"key": key, "sequencer": sequencer}, time, reason)


def _event(detail_type: str, bucket: str, described: JsonObject, time: datetime, reason: str) -> JsonObject:
    return {
        "source": "aws.s3",
        "detail-type": detail_type,
        "time": timestamp(time, "seconds"),
        "detail": {"bucket": {"name": bucket}, "object": described, "reason": reason},
    }

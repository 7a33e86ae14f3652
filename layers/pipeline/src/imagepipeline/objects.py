"""Reading uploads and writing renditions: the edge towards S3."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.errors import ServiceUnavailable, UploadGone, UploadReplaced
from imagepipeline.keys import renditions_prefix, sequencer_of
from imagepipeline.models import Upload

_CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif"}
# A rendition never changes under its key (see keys.rendition_key), so caches may keep it for good.
_CACHE_CONTROL = "public, max-age=31536000, immutable"


class UploadedObject:
    """Exactly the object an event told of, read in ranges: never a newer one under the same key.

    Every read may raise UploadReplaced, UploadGone or ServiceUnavailable.
    """

    def __init__(self, upload: Upload) -> None:
        self.size = upload.size
        self._which = {"Bucket": upload.bucket, "Key": upload.key, "IfMatch": f'"{upload.etag}"'}
        if upload.version_id != "null":
            self._which["VersionId"] = upload.version_id

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`, fewer only at the end of the object."""
        # S3 answers InvalidRange when the first byte asked for does not exist.
        if length <= 0 or offset >= self.size:
            return b""
        return self._get(Range=f"bytes={offset}-{min(offset + length, self.size) - 1}")

    def read_all(self) -> bytes:
        """The whole object in one request."""
        return self._get()

    def _get(self, **arguments: str) -> bytes:
        with aws.worth_retrying("S3"), _still_there():
            return aws.client("s3").get_object(**self._which, **arguments)["Body"].read()


@contextmanager
def _still_there() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        # NoSuchKey rather than AccessDenied needs s3:ListBucket; a version's absence has its own code, and reading a
        # delete marker by its version answers 405.
        if aws.error_code(error) in ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"):
            raise UploadGone from error
        if aws.error_code(error) in ("PreconditionFailed", "412"):
            raise UploadReplaced from error
        raise


def write_rendition(bucket: str, key: str, format_name: str, data: bytes) -> None:
    """Stores one encoded image. Raises ServiceUnavailable."""
    with aws.worth_retrying("S3"):
        aws.client("s3").put_object(
            Bucket=bucket, Key=key, Body=data, ContentType=_CONTENT_TYPES[format_name], CacheControl=_CACHE_CONTROL
        )


def read_rendition(bucket: str, key: str) -> bytes:
    """One encoded image, whole. Raises ServiceUnavailable."""
    with aws.worth_retrying("S3"):
        return aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def delete_renditions(bucket: str, keys: list[str]) -> None:
    """Removes objects; one that is gone already counts as removed. Raises ServiceUnavailable."""
    for start in range(0, len(keys), 1000):  # DeleteObjects takes at most 1,000 keys
        with aws.worth_retrying("S3"):
            answer = aws.client("s3").delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[start : start + 1000]], "Quiet": True}
            )
        if failed := answer.get("Errors"):
            raise ServiceUnavailable("S3", f"{len(failed)} renditions not removed, the first for {failed[0]}")


def outdated_renditions(bucket: str, upload: Upload) -> list[str]:
    """Keys of the renditions that older versions of an upload left behind. Raises ServiceUnavailable."""
    with aws.worth_retrying("S3"):
        pages = (
            aws.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=renditions_prefix(upload.key))
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return [key for key in keys if sequencer_of(key) < upload.sequencer]

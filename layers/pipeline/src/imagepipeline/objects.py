"""Reads uploads from S3, and writes, lists and deletes renditions and what is kept beside them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.errors import (
    ArchivedObject,
    CustomerKeyRequired,
    EncryptedWithUnavailableKey,
    ServiceUnavailable,
    UploadGone,
    UploadReplaced,
)
from imagepipeline.keys import answers_key, is_folder_marker, renditions_prefix
from imagepipeline.models import JsonObject, Upload

_CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif"}
# The object under a rendition's key never changes (see keys.version_prefix), so caches may keep it.
_CACHE_CONTROL = "public, max-age=31536000, immutable"


class UploadedObject:
    """The object of one event, and never a newer one under the same key.

    Every read may raise UploadReplaced, UploadGone, ObjectUnreadable or ServiceUnavailable.
    """

    def __init__(self, upload: Upload) -> None:
        self.size = upload.size
        self._which = {"Bucket": upload.bucket, "Key": upload.key, "IfMatch": f'"{upload.etag}"'}
        self._version_id = upload.version_id

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`, fewer only at the end of the object."""
        # S3 returns InvalidRange if the first requested byte does not exist.
        if length <= 0 or offset >= self.size:
            return b""
        return self._get(Range=f"bytes={offset}-{min(offset + length, self.size) - 1}")

    def read_all(self) -> bytes:
        """The whole object in one request."""
        return self._get()

    def _get(self, **arguments: str) -> bytes:
        with aws.translate_transient_errors("S3"), self._explain_refusals():
            answer = aws.client("s3").get_object(**self._which, **arguments)
            # A request for the version would also succeed when it is no longer the current one.
            if answer.get("VersionId", "null") != self._version_id:
                raise UploadReplaced
            body: bytes = answer["Body"].read()
            return body

    @contextmanager
    def _explain_refusals(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            match aws.error_code(error):
                # Without s3:ListBucket it would be AccessDenied.
                case "NoSuchKey" | "404":
                    raise UploadGone from error
                case "PreconditionFailed" | "412":
                    raise UploadReplaced from error
                case "InvalidObjectState":
                    raise ArchivedObject from error
                # What S3 misses in a request that is otherwise as always is the key of an SSE-C object.
                case "InvalidRequest":
                    raise CustomerKeyRequired from error
                case "KMS.ThrottlingException":
                    raise ServiceUnavailable("KMS", aws.reason(error)) from error
                case code if code.startswith("KMS.") or (code == "AccessDenied" and self._is_encrypted_with_kms()):
                    raise EncryptedWithUnavailableKey from error
            raise

    def _is_encrypted_with_kms(self) -> bool:
        """Whether the object's metadata says so, which S3 returns without the key. Not every denial names KMS."""
        try:
            head: JsonObject = aws.client("s3").head_object(**self._which)
        except ClientError:
            return False
        return head.get("ServerSideEncryption") in ("aws:kms", "aws:kms:dsse")


def list_versions(bucket: str, key: str) -> tuple[JsonObject | None, frozenset[str]]:
    """The object under a key as S3 has it now, and the version IDs of all versions and delete markers of the key.

    The object is described by `ETag`, `Bytes`, `VersionId` and `LastModified`; it is None if there is no object, or
    only a folder marker. In a bucket without versioning its version ID is "null". Raises ServiceUnavailable.
    """
    current: JsonObject | None = None
    listed: set[str] = set()
    with aws.translate_transient_errors("S3"):
        # One listing, rather than HeadObject, is a consistent view, and reads no object: encryption cannot prevent it.
        for page in aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
            versions = [version for version in page.get("Versions", []) if version["Key"] == key]
            markers = [marker for marker in page.get("DeleteMarkers", []) if marker["Key"] == key]
            listed.update(version["VersionId"] for version in versions + markers)
            current = next((version for version in versions if version["IsLatest"]), current)
            # The key itself comes first of those that begin with it.
            if page.get("NextKeyMarker") != key:
                break
    if current is None or is_folder_marker(key, current["Size"]):
        return None, frozenset(listed)
    described = {
        "ETag": current["ETag"].strip('"'),
        "Bytes": current["Size"],
        "VersionId": current["VersionId"],
        "LastModified": current["LastModified"],
    }
    return described, frozenset(listed)


def write_rendition(bucket: str, key: str, format_name: str, data: bytes) -> None:
    """Stores one encoded image. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        aws.client("s3").put_object(
            Bucket=bucket, Key=key, Body=data, ContentType=_CONTENT_TYPES[format_name], CacheControl=_CACHE_CONTROL
        )


def read_rendition(bucket: str, key: str) -> bytes:
    """One encoded image, whole. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        body: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body


def write_answers(bucket: str, rendition: str, answers: JsonObject) -> None:
    """Keeps answers beside the rendition of this key until the record is stored. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        aws.client("s3").put_object(
            Bucket=bucket, Key=answers_key(rendition), Body=json.dumps(answers), ContentType="application/json"
        )


def read_answers(bucket: str, rendition: str) -> JsonObject:
    """The answers that were kept beside the rendition of this key, or {}. Raises ServiceUnavailable."""
    try:
        answers: JsonObject = json.loads(read_rendition(bucket, answers_key(rendition)))
    except ClientError as error:
        # S3 denies access to a missing object, because the function may not list the bucket.
        if aws.error_code(error) in ("NoSuchKey", "AccessDenied"):
            return {}
        raise
    return answers


def delete_renditions(bucket: str, keys: list[str]) -> None:
    """Deletes objects. One that no longer exists counts as deleted. Raises ServiceUnavailable."""
    for start in range(0, len(keys), 1000):  # DeleteObjects takes at most 1,000 keys
        with aws.translate_transient_errors("S3"):
            answer = aws.client("s3").delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[start : start + 1000]], "Quiet": True}
            )
        if failed := answer.get("Errors"):
            raise ServiceUnavailable("S3", f"{len(failed)} renditions were not removed; the first error is {failed[0]}")


def list_renditions(bucket: str, image_key: str) -> list[str]:
    """The keys of all renditions of all versions of an upload. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        pages = (
            aws.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=renditions_prefix(image_key))
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

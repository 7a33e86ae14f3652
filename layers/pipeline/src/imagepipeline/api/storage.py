"""Uploads, and URLs that lead to and from the buckets: the edge towards S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.api.http import Refused
from imagepipeline.models import JsonObject, timestamp

LIFETIME = timedelta(minutes=15)


def expiry() -> str:
    """When a URL that is signed now ends, in ISO 8601."""
    return timestamp(datetime.now(UTC) + LIFETIME, "seconds")


def rendition_url(bucket: str, key: str) -> str:
    """A URL that anyone can read the rendition by, until it expires. Calls nothing."""
    return _signed("get_object", Bucket=bucket, Key=key)


def presigned_post(bucket: str, key: str, content_type: str, max_bytes: int) -> JsonObject:
    """`{"Url", "Fields"}` of a form by which S3 takes this key and type, and 1 to `max_bytes` bytes. Calls nothing."""
    form = aws.client("s3").generate_presigned_post(
        bucket,
        key,
        Fields={"Content-Type": content_type},
        Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
        ExpiresIn=int(LIFETIME.total_seconds()),
    )
    return {"Url": form["url"], "Fields": form["fields"]}


def store(bucket: str, key: str, content_type: str, data: bytes) -> None:
    """Stores an upload. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)


def delete(bucket: str, key: str) -> None:
    """Deletes an upload, or does nothing if there is none. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        aws.client("s3").delete_object(Bucket=bucket, Key=key)


# ----------------------------------------------------------------------------------------------------------- multipart


def begin_multipart(bucket: str, key: str, content_type: str) -> str:
    """The id of a new multipart upload. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("S3"):
        answer = aws.client("s3").create_multipart_upload(Bucket=bucket, Key=key, ContentType=content_type)
    identifier: str = answer["UploadId"]
    return identifier


def part_urls(bucket: str, key: str, upload_id: str, sizes: dict[int, int]) -> list[JsonObject]:
    """`{"PartNumber", "Bytes", "Url"}` of each part. S3 takes exactly that many bytes by PUT. Calls nothing."""
    return [
        {
            "PartNumber": number,
            "Bytes": size,
            "Url": _signed(
                "upload_part", Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, ContentLength=size
            ),
        }
        for number, size in sizes.items()
    ]


def complete_multipart(bucket: str, key: str, upload_id: str, sizes: dict[int, int]) -> dict[int, int]:
    """Makes an object of the parts, unless some are missing: returns those, and makes none.

    Raises Refused if there is no such upload, and ServiceUnavailable.
    """
    which = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    with aws.translate_transient_errors("S3"), _exists():
        # One answer lists up to 1,000 parts, and the largest file has 32.
        received = {part["PartNumber"]: part for part in aws.client("s3").list_parts(**which).get("Parts", [])}
        missing = {number: size for number, size in sizes.items() if received.get(number, {"Size": -1})["Size"] != size}
        if not missing:
            parts = [{"PartNumber": number, "ETag": received[number]["ETag"]} for number in sizes]
            aws.client("s3").complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
    return missing


def abort_multipart(bucket: str, key: str, upload_id: str) -> None:
    """Removes the parts. Raises Refused if there is no such upload, and ServiceUnavailable."""
    with aws.translate_transient_errors("S3"), _exists():
        aws.client("s3").abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


def _signed(operation: str, **parameters: object) -> str:
    url: str = aws.client("s3").generate_presigned_url(
        operation, Params=parameters, ExpiresIn=int(LIFETIME.total_seconds())
    )
    return url


@contextmanager
def _exists() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if aws.error_code(error) in ("NoSuchUpload", "404"):
            raise Refused(
                404, "there is no such upload under this key; it may have been completed or aborted"
            ) from error
        raise

"""Requests to Rekognition on the emulator, which has authorized them."""

import asyncio
import base64
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from ministack.core.iam_evaluator import enforce
from ministack.core.responses import error_response_json, get_region, json_response
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from local.rekognition.detectors import Detectors
from local.rekognition.operations import ServiceError, detect

# "Guidelines and quotas" in the developer guide.
MAX_OBJECT_BYTES = 15 * 1024 * 1024
MAX_REQUEST_BYTES = 5 * 1024 * 1024  # of an image in the request

_log = logging.getLogger("rekognition")
_thread = threading.local()


async def answer(_method: str, _path: str, headers: dict, body: bytes, _query: dict) -> tuple:
    """Answer an operation, as AWS JSON 1.1."""
    operation, request = headers["x-amz-target"].rpartition(".")[2], json.loads(body)
    try:
        image = read(request.pop("Image"), extract_access_key_id(headers))
        response = await asyncio.get_running_loop().run_in_executor(_workers, _detect, operation, request, image)
    except ServiceError as error:
        _log.info("%s: %s: %s", operation, error.code, error)
        return error_response_json(error.code, str(error))
    return json_response(response)


def read(image: dict, access_key: str) -> bytes:
    """The bytes of an image: in the request, or of an object, which is read with the permissions of the caller.

    Raises ServiceError: ValidationException, InvalidS3ObjectException, ImageTooLargeException.
    """
    if "Bytes" in image:
        data = base64.b64decode(image["Bytes"])
        if len(data) > MAX_REQUEST_BYTES:
            raise ServiceError("ValidationException", f"Image.Bytes has more than {MAX_REQUEST_BYTES} bytes")
        return data
    bucket, key = image["S3Object"]["Bucket"], image["S3Object"]["Name"]
    denied = enforce(access_key, "s3:GetObject", "s3", get_region(), resource_arn=f"arn:aws:s3:::{bucket}/{key}")
    status, _headers, data = (403, {}, b"") if denied else s3._get_object(bucket, key, {})
    if status != 200:
        raise ServiceError(
            "InvalidS3ObjectException",
            "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
        )
    if len(data) > MAX_OBJECT_BYTES:
        raise ServiceError("ImageTooLargeException", "Image size is too large.")
    return data


def _load() -> None:
    _thread.detectors = Detectors()


def _detect(operation: str, request: dict, image: bytes) -> dict:
    return detect(operation, request, image, _thread.detectors)


_workers = ThreadPoolExecutor(os.cpu_count(), "rekognition", initializer=_load)

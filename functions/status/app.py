"""GET /images/{key}/status and GET /images/status?key={key}: the processing status of an upload."""

import json
from urllib.parse import parse_qs

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, records
from imagepipeline.disclosure import public
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.printable import printable
from imagepipeline.quarantine import without_held_renditions

NOT_FOUND = "Image details not found for the given image identifier."
USAGE = f"Ask for /images/{UPLOADS_PREFIX}<file name>/status, or /images/status?key=<URL-encoded key>."

logger = Logger()
aws.make_clients("dynamodb")


class BadRequest(ValueError):
    """The request names no upload. The message says what would."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes an HTTP API request (payload format 2.0).

    Returns 200 with the record, or with its public part where the API requires no authorization; 400, 404, or 503 when
    the table is busy.
    """
    try:
        image_key = requested_key(event["rawPath"], event["rawQueryString"])
    except BadRequest as error:
        return answer(400, {"message": str(error)})
    logger.append_keys(image_key=printable(image_key))
    try:
        record = records.find(config.text("IMAGES_TABLE"), image_key)
    except ServiceUnavailable:
        logger.exception("record not read")
        return answer(503, {"message": "The status is not available right now; try again in a moment."})
    if record is None:
        return answer(404, {"message": NOT_FOUND})
    # Anything but AWS_IAM, a misspelling included, gets the public part alone.
    disclosed = without_held_renditions if config.text("API_AUTHORIZATION") == "AWS_IAM" else public
    return answer(200, disclosed(record))


def requested_key(raw_path: str, raw_query: str) -> str:
    """The upload's key in the path `/images/<key>/status`, or in the query of `/images/status`. Raises BadRequest."""
    # rawPath is decoded, twice; decoding it again would corrupt keys with a percent sign. rawQueryString is as sent.
    _, _, tail = raw_path.partition("/images/")
    key = _key_in_query(raw_query) if tail == "status" else tail.removesuffix("/status")
    if not key or key == tail:
        raise BadRequest(USAGE)
    if not key.startswith(UPLOADS_PREFIX) or key == UPLOADS_PREFIX:
        raise BadRequest(f"Uploads live under {UPLOADS_PREFIX}. {USAGE}")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise BadRequest("The key is not valid UTF-8.") from None
    if length > MAX_KEY_BYTES:
        raise BadRequest(f"A key has at most {MAX_KEY_BYTES} bytes.")
    return key


def _key_in_query(raw_query: str) -> str:
    """The value of the only `key`; empty if there is none or more than one. A plus sign stands for a space."""
    try:
        keys = parse_qs(raw_query, errors="strict").get("key", [])
    except UnicodeDecodeError:
        raise BadRequest("The key is not valid UTF-8.") from None
    return keys[0] if len(keys) == 1 else ""


def answer(status: int, body: dict) -> dict:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(body, ensure_ascii=False),
    }

"""GET /images/{key}/status: the record of an upload, whatever its state."""

import json

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, records
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX

NOT_FOUND = "Image details not found for the given image identifier."
USAGE = f"Ask for /images/{UPLOADS_PREFIX}<file name>/status."
# Part of the record for whoever operates the pipeline; an ARN tells the account's number to anyone who asks.
INTERNAL = ("ExecutionArn",)

logger = Logger()
aws.make_clients("dynamodb")


class BadRequest(ValueError):
    """The path names no upload. The message says what would."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes an HTTP API request (payload format 2.0): 200 with the record, 400, 404, or 503 when the table is busy."""
    try:
        image_key = requested_key(event["rawPath"])
    except BadRequest as error:
        return answer(400, {"message": str(error)})
    logger.append_keys(image_key=image_key)
    try:
        record = records.find(config.text("IMAGES_TABLE"), image_key)
    except ServiceUnavailable:
        logger.exception("record not read")
        return answer(503, {"message": "The status is not available right now; try again in a moment."})
    if record is None:
        return answer(404, {"message": NOT_FOUND})
    return answer(200, {name: value for name, value in record.items() if name not in INTERNAL})


def requested_key(raw_path: str) -> str:
    """The upload's key in `/images/<key>/status`. Raises BadRequest."""
    # An HTTP API decodes every escape in rawPath but %25, so a percent sign of the key is what is left to decode.
    path = raw_path.replace("%25", "%")
    _, marker, key_and_tail = path.partition("/images/")
    key = key_and_tail.removesuffix("/status")
    if not marker or key == key_and_tail:
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


def answer(status: int, body: dict) -> dict:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(body, ensure_ascii=False),
    }

"""GET /images/{key}/status and GET /images/status?key={key}: the processing status of an upload."""

from urllib.parse import parse_qs

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, records
from imagepipeline.api.http import Refused, answer, respond
from imagepipeline.disclosure import public
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.printable import printable
from imagepipeline.quarantine import without_held_renditions

NOT_FOUND = "Image details not found for the given image identifier."
USAGE = f"Ask for /images/{UPLOADS_PREFIX}<file name>/status, or /images/status?key=<URL-encoded key>."
BUSY = "The status is not available right now; try again in a moment."

logger = Logger()
aws.make_clients("dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes an HTTP API request (payload format 2.0)."""
    return respond(ROUTES, event, logger, BUSY)


def get_status(event: dict) -> dict:
    """200 with the record, or with its public part where the API requires no authorization; 400, 404."""
    image_key = requested_key(event["rawPath"], event["rawQueryString"])
    logger.append_keys(image_key=printable(image_key))
    record = records.find(config.text("IMAGES_TABLE"), image_key)
    if record is None:
        raise Refused(404, NOT_FOUND)
    # Anything but AWS_IAM, a misspelling included, gets the public part alone.
    disclosed = without_held_renditions if config.text("API_AUTHORIZATION") == "AWS_IAM" else public
    return answer(200, disclosed(record))


def requested_key(raw_path: str, raw_query: str) -> str:
    """The upload's key in the path `/images/<key>/status`, or in the query of `/images/status`. Raises Refused."""
    # rawPath is decoded, twice; decoding it again would corrupt keys with a percent sign. rawQueryString is as sent.
    _, _, tail = raw_path.partition("/images/")
    key = _key_in_query(raw_query) if tail == "status" else tail.removesuffix("/status")
    if not key or key == tail:
        raise Refused(400, USAGE)
    if not key.startswith(UPLOADS_PREFIX) or key == UPLOADS_PREFIX:
        raise Refused(400, f"The key of an upload begins with {UPLOADS_PREFIX}. {USAGE}")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise Refused(400, "The key is not valid UTF-8.") from None
    if length > MAX_KEY_BYTES:
        raise Refused(400, f"A key has at most {MAX_KEY_BYTES} bytes.")
    return key


def _key_in_query(raw_query: str) -> str:
    """The value of the only `key`; empty if there is none or more than one. A plus sign stands for a space."""
    try:
        keys = parse_qs(raw_query, errors="strict").get("key", [])
    except UnicodeDecodeError:
        raise Refused(400, "The key is not valid UTF-8.") from None
    return keys[0] if len(keys) == 1 else ""


ROUTES = dict.fromkeys(("GET /images/{path+}", "GET /images/status"), get_status)

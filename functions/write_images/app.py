"""The routes that change something: uploads in one request or in parts, deletions, and moderators' decisions."""

from urllib.parse import quote
from uuid import uuid4

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, quarantine, records
from imagepipeline.api import decisions, storage, uploads
from imagepipeline.api.http import Refused, Request, answer, decoded_base64, respond
from imagepipeline.limits import MAX_FILE_BYTES
from imagepipeline.printable import printable

BUSY = "The request cannot be served right now; try again in a moment."

logger = Logger()
aws.make_clients("s3")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes an HTTP API request (payload format 2.0), which the API has authorized."""
    return respond(ROUTES, event, logger, BUSY)


def create_upload(event: dict) -> dict:
    """201 with a form, or with URLs of the parts of a multipart upload; 400, 413, 415."""
    body = Request.from_event(event, frozenset()).json(uploads.MEMBERS)
    announced = uploads.Announced.from_json(body, uuid4().hex, max_bytes())
    created = accepted(announced.key) | {"ExpiresAt": storage.expiry()}
    if not announced.multipart:
        form = storage.presigned_post(bucket(), announced.key, announced.content_type, announced.size)
        return answer(201, created | {"Form": form})
    upload_id = storage.begin_multipart(bucket(), announced.key, announced.content_type)
    parts = storage.part_urls(bucket(), announced.key, upload_id, uploads.part_sizes(announced.size))
    base = f"{config.text('STATUS_API')}/uploads/{quote(upload_id, safe='')}"
    key = quote(announced.key, safe="")
    urls = {
        "CompleteUrl": f"{base}/complete?key={key}&bytes={announced.size}",
        "AbortUrl": f"{base}?key={key}",
    }
    return answer(201, created | {"UploadId": upload_id, "Parts": parts, **urls})


def complete_upload(event: dict) -> dict:
    """202 when all parts are there; 409 with new URLs of those that are missing; 400, 404."""
    request = Request.from_event(event, frozenset({"key", "bytes"}))
    key, upload_id = existing_key(request), uploads.upload_id(request.path)
    sizes = uploads.part_sizes(uploads.total_bytes(request.query.get("bytes", ""), max_bytes()))
    if missing := storage.complete_multipart(bucket(), key, upload_id, sizes):
        parts = storage.part_urls(bucket(), key, upload_id, missing)
        raise Refused(409, "parts are missing; send them, then complete again", Parts=parts)
    return answer(202, accepted(key))


def abort_upload(event: dict) -> dict:
    """204; 400, 404."""
    request = Request.from_event(event, frozenset({"key"}))
    storage.abort_multipart(bucket(), existing_key(request), uploads.upload_id(request.path))
    return answer(204)


def create_image(event: dict) -> dict:
    """202 when the image in the body is stored; 400, 413, 415."""
    request = Request.from_event(event, frozenset({"filename", "overwrite"}))
    key = uploads.new_key(request.query.get("filename"), uuid4().hex, request.switch("overwrite"))
    if request.content_type == "application/json":
        data, claimed = decoded_base64(request.json(frozenset({"base64Image"})).get("base64Image"), "base64Image"), None
    elif request.content_type.startswith("image/"):
        data, claimed = request.body, request.content_type
    else:
        raise Refused(415, "Content-Type must be that of the image, or application/json")
    content_type = uploads.check_direct(data, claimed, max_bytes())
    storage.store(bucket(), key, content_type, data)
    return answer(202, accepted(key))


def delete_image(event: dict) -> dict:
    """202: the pipeline removes the record and the renditions when S3 reports the deletion; 400."""
    key = existing_key(Request.from_event(event, frozenset({"key"})))
    storage.delete(bucket(), key)
    return answer(202, accepted(key))


def decide(event: dict) -> dict:
    """202 when an execution applies the decision; 400, 404; 409 with the image's status if it cannot be decided."""
    request = Request.from_event(event, frozenset({"key"}))
    key, decided = existing_key(request), decisions.Decided.from_json(request.json(decisions.MEMBERS))
    record = records.find(config.text("IMAGES_TABLE"), key)
    if record is None:
        raise Refused(404, "there is no image with this key")
    try:
        decision = quarantine.decision(bucket(), record, *decided)
    except quarantine.NotHeld as error:
        raise Refused(409, str(error), Status=record["Status"]) from error
    decisions.start(config.text("IMAGE_PIPELINE"), decision)
    return answer(202, accepted(key))


def existing_key(request: Request) -> str:
    """The key that the request is about. Raises Refused."""
    key = request.image_key()
    logger.append_keys(image_key=printable(key))
    return key


def accepted(key: str) -> dict:
    """What a client needs to follow an upload."""
    return {"Key": key, "StatusUrl": uploads.status_url(config.text("STATUS_API"), key)}


def bucket() -> str:
    return config.text("UPLOADS_BUCKET")


def max_bytes() -> int:
    return config.whole_number("MAX_FILE_BYTES", 1, MAX_FILE_BYTES)


ROUTES = {
    "POST /uploads": create_upload,
    "POST /uploads/{id}/complete": complete_upload,
    "DELETE /uploads/{id}": abort_upload,
    "POST /images": create_image,
    "DELETE /images": delete_image,
    "POST /images/decision": decide,
}

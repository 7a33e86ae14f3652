"""GET /images and GET /renditions: lists images, and returns a record with URLs of its renditions."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, records
from imagepipeline.api import index, storage
from imagepipeline.api.http import Refused, Request, answer, respond
from imagepipeline.api.listings import PARAMETERS, Listing
from imagepipeline.printable import printable
from imagepipeline.quarantine import HELD, without_held_renditions

BUSY = "The images cannot be read right now; try again in a moment."

logger = Logger()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes an HTTP API request (payload format 2.0), which the API has authorized."""
    return respond(ROUTES, event, logger, BUSY)


def get_images(event: dict) -> dict:
    """200 with one record and URLs of its renditions if there is a key, or else with a page of a listing; 400, 404.

    An image that is held has no renditions here.
    """
    request = Request.from_event(event, PARAMETERS | {"key"})
    if "key" not in request.query:
        listing = Listing.from_query(request.query)
        images, cursor = index.read_page(config.text("IMAGES_TABLE"), config.text("INDEX_TABLE"), listing)
        return answer(200, {"Images": images} | ({"NextCursor": cursor} if cursor else {}))
    if request.query.keys() != {"key"}:
        raise Refused(400, "key asks for one image and takes no other parameter")
    record = without_held_renditions(find(request.image_key()))
    renditions = {
        name: rendition | {"Url": storage.rendition_url(config.text("THUMBNAILS_BUCKET"), rendition["Key"])}
        for name, rendition in record.get("Renditions", {}).items()
    }
    return answer(200, record | ({"Renditions": renditions} if renditions else {}))


def get_rendition(event: dict) -> dict:
    """302 to a URL of the rendition; 400; 404 with the names of the renditions that there are; 409 if it is held."""
    request = Request.from_event(event, frozenset({"key", "name"}))
    record = find(request.image_key())
    if record["Status"] == HELD:
        raise Refused(409, "the image is held until a moderator decides about it", HeldBecause=record["HeldBecause"])
    renditions = record.get("Renditions", {})
    if request.query.get("name") not in renditions:
        raise Refused(404, "the image has no rendition of this name", Renditions=sorted(renditions))
    key = renditions[request.query["name"]]["Key"]
    return answer(302, Location=storage.rendition_url(config.text("THUMBNAILS_BUCKET"), key))


def find(image_key: str) -> dict:
    """The record of an upload. Raises Refused if there is none, and ServiceUnavailable."""
    logger.append_keys(image_key=printable(image_key))
    record = records.find(config.text("IMAGES_TABLE"), image_key)
    if record is None:
        raise Refused(404, "there is no image with this key")
    return record


ROUTES = {"GET /images": get_images, "GET /renditions": get_rendition}

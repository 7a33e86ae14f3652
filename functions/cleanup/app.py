"""RemoveRenditions: removes the renditions of an upload that its record does not name."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config
from imagepipeline.cleanup import remove_unneeded_renditions
from imagepipeline.printable import printable_key

logger = Logger()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"ImageKey"}`, returns `{"Removed"}`, the number of renditions removed. Raises RenditionsNotRemoved."""
    logger.append_keys(image_key=printable_key(event["ImageKey"]))
    removed = remove_unneeded_renditions(
        config.text("THUMBNAILS_BUCKET"), config.text("IMAGES_TABLE"), event["ImageKey"]
    )
    logger.info("renditions removed", extra={"count": removed})
    return {"Removed": removed}

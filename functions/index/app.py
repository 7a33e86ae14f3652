"""Keeps the index table: follows the changes of records in the stream of their table."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, indexing
from imagepipeline.logs import log_failures

logger = Logger()
aws.make_clients("dynamodb")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> None:
    """Takes at most 100 changes of a DynamoDB stream. Raises ServiceUnavailable; Lambda then delivers them again."""
    written, removed = indexing.follow(
        config.text("IMAGES_TABLE"), config.text("INDEX_TABLE"), indexing.states(event["Records"])
    )
    logger.info("index updated", extra={"changes": len(event["Records"]), "written": written, "removed": removed})

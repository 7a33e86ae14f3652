"""StoreResult: the finished record, if its upload is still the newest of its key."""

from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, notification, records
from imagepipeline.cleanup import remove_unneeded_renditions
from imagepipeline.models import Upload

logger = Logger()
metrics = Metrics()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Upload", "Metadata", "Renditions", "Attempts"}`, returns `{"Message"}` for the notification.

    Raises Superseded, and RenditionsNotRemoved when the record stands and the renditions it replaces do too.
    """
    upload = Upload.from_state(event["Upload"])
    logger.append_keys(image_key=upload.key)
    table = config.text("IMAGES_TABLE")
    record = records.completed(upload, datetime.now(UTC), event["Metadata"], event["Renditions"], event["Attempts"])
    records.finish(table, record)
    try:
        # Only now: until the new record stood, readers were given the old renditions.
        removed = remove_unneeded_renditions(config.text("THUMBNAILS_BUCKET"), table, upload.key)
    finally:
        # Removing may have taken long, and what was overtaken meanwhile must not be announced.
        records.assert_ownership(table, upload)
    metrics.add_metric(name="ImagesCompleted", unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
    logger.info("record stored", extra={"outdated_renditions_removed": removed})
    return {"Message": notification.success(record, config.text("STATUS_API"))}

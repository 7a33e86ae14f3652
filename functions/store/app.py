"""StoreResult: writes the completed record if its execution still owns the key, and removes outdated renditions."""

from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, image_events, notification, records
from imagepipeline.cleanup import remove_unneeded_renditions
from imagepipeline.models import Execution, Upload
from imagepipeline.printable import printable_key

logger = Logger()
metrics = Metrics()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Metadata", "Renditions", "Attempts"}`.

    Returns the notification: `{"Message", "Event"}`, a text for people and JSON for programs.
    Raises Superseded, and RenditionsNotRemoved when the record is written and outdated renditions could not be removed.
    """
    upload, execution = Upload.from_event(event["Event"]), Execution.from_state(event["Execution"])
    logger.append_keys(image_key=printable_key(upload.key))
    table, thumbnails_bucket = config.text("IMAGES_TABLE"), config.text("THUMBNAILS_BUCKET")
    record = records.completed(
        upload, execution, datetime.now(UTC), event["Metadata"], event["Renditions"], event["Attempts"]
    )
    records.complete(table, record)
    try:
        # Not before the record is written: until then readers are given the old renditions.
        removed = remove_unneeded_renditions(thumbnails_bucket, table, upload.key)
    finally:
        # Removing may have taken long, and an execution that was superseded meanwhile must not announce its image.
        records.assert_ownership(table, upload.key, execution)
    metrics.add_metric(name="ImagesCompleted", unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
    logger.info("record stored", extra={"outdated_renditions_removed": removed})
    return {
        "Message": notification.success(record, config.text("STATUS_API")),
        "Event": image_events.completed(record, upload.bucket, thumbnails_bucket),
    }

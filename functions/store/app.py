"""StoreResult: the finished record, if its upload is still the newest of its key."""

from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import config, notification, objects, records
from imagepipeline.errors import Superseded
from imagepipeline.models import Upload

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Upload", "Metadata", "Renditions"}`, returns `{"Message"}` for the notification.

    Renditions of replaced uploads are removed once the new record stands, so that no reader is left with a dead key.
    Raises Superseded, after removing the renditions that no record will ever name.
    """
    upload = Upload.from_state(event["Upload"])
    logger.append_keys(image_key=upload.key)
    bucket = config.text("THUMBNAILS_BUCKET")
    record = records.completed(upload, datetime.now(UTC), event["Metadata"], event["Renditions"])
    try:
        records.put_if_newest(config.text("IMAGES_TABLE"), record)
    except Superseded:
        objects.delete_renditions(bucket, [rendition["Key"] for rendition in event["Renditions"].values()])
        raise
    outdated = objects.outdated_renditions(bucket, upload)
    objects.delete_renditions(bucket, outdated)
    metrics.add_metric(name="ImagesCompleted", unit=MetricUnit.Count, value=1)
    logger.info("record stored", extra={"outdated_renditions_removed": len(outdated)})
    return {"Message": notification.success(record, config.text("STATUS_API"))}

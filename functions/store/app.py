"""StoreResult: writes the result if its execution still owns the key, and removes outdated renditions."""

from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, image_events, notification, records, s3_events
from imagepipeline.cleanup import remove_unneeded_renditions
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Execution, JsonObject, Upload
from imagepipeline.printable import printable
from imagepipeline.quarantine import HELD, MODES, is_released, reason_to_hold

logger = Logger()
metrics = Metrics()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Metadata", "Renditions", "Attempts"}`.

    Returns `{"Status", "PrintableKey", "Message", "Event"}`: the record's status, the key for SNS, a text for people,
    and JSON for programs.
    Raises Superseded, and RenditionsNotRemoved when the record is written and outdated renditions could not be removed.
    """
    upload, execution = Upload.from_event(event["Event"]), Execution.from_state(event["Execution"])
    logger.append_keys(**keys_of(upload.key, event))
    table, thumbnails_bucket = config.text("IMAGES_TABLE"), config.text("THUMBNAILS_BUCKET")
    record = records.completed(
        upload, execution, datetime.now(UTC), event["Metadata"], event["Renditions"], event["Attempts"]
    )
    if is_released(event["Event"]):
        record["Decision"] = event["Event"]["Decision"]
    elif config.choice("MODERATION", *MODES) == "quarantine" and (reason := reason_to_hold(record)):
        record = records.held(record, reason)
    records.store(table, record)
    try:
        # Not before the record is written: until then readers are given the old renditions.
        removed = remove_unneeded_renditions(thumbnails_bucket, table, upload.key)
    finally:
        # Removing may have taken long, and an execution that was superseded meanwhile must not announce its image.
        records.assert_ownership(table, upload.key, execution)
    count(record, event["Event"])
    logger.info("record stored", extra={"status": record["Status"], "outdated_renditions_removed": removed})
    text = notification.held if record["Status"] == HELD else notification.success
    return {
        "Status": record["Status"],
        "PrintableKey": printable(upload.key),
        "Message": text(record, config.text("STATUS_API")),
        "Event": image_events.stored(record, upload.bucket, thumbnails_bucket),
    }


def count(record: JsonObject, event: JsonObject) -> None:
    name = "ImagesHeld" if record["Status"] == HELD else "ImagesCompleted"
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="BytesProcessed", unit=MetricUnit.Bytes, value=record["Bytes"])
    # The times of other events say when somebody asked for the image again, or when it was stored, perhaps years ago.
    if event["detail"].get("reason") in s3_events.REASONS_OF_UPLOADS:
        taken = datetime.fromisoformat(record["CompletedAt"]) - datetime.fromisoformat(record["ReceivedAt"])
        seconds = max(0, taken.total_seconds())  # clocks differ
        metrics.add_metric(name="Latency", unit=MetricUnit.Seconds, value=seconds)
    metrics.flush_metrics()

"""RemoveRenditions: removes the renditions of an upload that its record does not name."""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, errors
from imagepipeline.cleanup import remove_unneeded_renditions
from imagepipeline.logs import keys_of, log_failures

logger = Logger()
metrics = Metrics()
aws.make_clients("s3", "dynamodb")

COUNTED = {"REJECTED": "ImagesRejected", "FAILED": "ImagesFailed"}


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"ImageKey", "Execution"}`, and from ImagePipeline the `Outcome` of the upload and the `Error`'s name.

    Returns `{"Removed"}`, the number of renditions removed. Raises RenditionsNotRemoved.
    """
    logger.append_keys(**keys_of(event["ImageKey"], event))
    removed = remove_unneeded_renditions(
        config.text("THUMBNAILS_BUCKET"), config.text("IMAGES_TABLE"), event["ImageKey"]
    )
    if event.get("Outcome") in COUNTED:
        count(event["Outcome"], event["Error"])
    logger.info("renditions removed", extra={"count": removed})
    return {"Removed": removed}


def count(outcome: str, error: str) -> None:
    """Counts an image that was rejected or failed, by its reason."""
    metrics.add_dimension("Reason", reason(error))
    metrics.add_metric(name=COUNTED[outcome], unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()


def reason(error: str) -> str:
    """An error of the pipeline, or the service of AWS's. Each is a metric, and billed, so there must not be many."""
    if hasattr(errors, error):
        return error
    service, dot, _ = error.partition(".")
    return service if dot else "Other"

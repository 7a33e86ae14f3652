"""ExtractMetadata: completes the description of an image with the labels that Rekognition detects."""

from collections import Counter
from functools import cache

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, renditions
from imagepipeline.labels import SWITCHED_OFF, THROTTLED, Labelling, best_rendition, detect
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Rendition, Upload

logger = Logger()
metrics = Metrics()
aws.make_clients("rekognition")


@cache
def undistorted() -> frozenset[str]:
    return frozenset(spec.name for spec in renditions.parse(config.text("RENDITIONS")) if spec.undistorted)


@cache
def answers() -> Counter[str]:
    """Of Rekognition, since the last count: see `aws.count_answers`."""
    return aws.count_answers("rekognition")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Picture", "Renditions"}`, returns the record's descriptive attributes.

    Raises RekognitionThrottled, RekognitionFailed and ServiceUnavailable.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(**keys_of(upload.key, event))
    counted = answers()
    try:
        labelling = label(event)
    finally:
        count_calls(counted)
    logger.info("described", extra={"labels": len(labelling.labels)})
    return {**event["Picture"], **labelling.to_state()}


def label(event: dict) -> Labelling:
    if not config.switch("DETECT_LABELS"):
        return SWITCHED_OFF
    found = [Rendition.from_state(name, state) for name, state in event["Renditions"].items()]
    return detect(
        config.text("THUMBNAILS_BUCKET"),
        best_rendition(found, undistorted()),
        min_confidence=config.number("LABELS_MIN_CONFIDENCE", 0, 100),
        max_labels=config.whole_number("LABELS_MAX_COUNT", 1, 100),
    )


def count_calls(answers: Counter[str]) -> None:
    """Publishes the calls that are billed, and those that a quota refused, and forgets them."""
    counts = {"RekognitionCalls": answers[""], "RekognitionThrottles": sum(answers[code] for code in THROTTLED)}
    answers.clear()
    for name, count in counts.items():
        if count:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    if any(counts.values()):
        metrics.flush_metrics()

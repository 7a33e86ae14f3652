"""ExtractMetadata: completes the description of an image with the labels that Rekognition detects."""

from functools import cache

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, renditions
from imagepipeline.labels import SWITCHED_OFF, Labelling, best_rendition, detect
from imagepipeline.models import Rendition, Upload
from imagepipeline.printable import printable_key

logger = Logger()
aws.make_clients("rekognition")


@cache
def undistorted() -> frozenset[str]:
    return frozenset(spec.name for spec in renditions.parse(config.text("RENDITIONS")) if spec.undistorted)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Picture", "Renditions"}`, returns the record's descriptive attributes.

    Raises RekognitionThrottled, RekognitionFailed and ServiceUnavailable.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(image_key=printable_key(upload.key))
    labelling = label(event)
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

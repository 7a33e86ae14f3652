"""ExtractMetadata: completes the description of an image with what Rekognition detects in it."""

from collections import Counter
from functools import cache

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import analysis, aws, config, metering, objects, rekognition, renditions
from imagepipeline.analysis import FACES, LABELS, MODERATION, Analysis
from imagepipeline.errors import PipelineError
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Rendition, Upload
from imagepipeline.quarantine import MODES

SWITCHED_OFF = {"Name": "SwitchedOff", "Message": "label detection is turned off (DetectLabels=false)"}

logger = Logger()
metrics = Metrics()
aws.make_clients("rekognition")


@cache
def specs() -> dict[str, renditions.RenditionSpec]:
    return {spec.name: spec for spec in renditions.parse(config.text("RENDITIONS"))}


@cache
def answers() -> Counter[str]:
    """Of Rekognition, since the last count: see `aws.count_answers`."""
    return aws.count_answers("rekognition")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Picture", "Renditions", "RetryCount"}`.

    Returns the descriptive attributes of the record.

    Raises RekognitionThrottled, RekognitionFailed and ServiceUnavailable.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(**keys_of(upload.key, event))
    counted = answers()
    try:
        examined = examine(event)
    finally:
        metering.publish_calls(metrics, counted)
    logger.info("described", extra={name: len(value) for name, value in examined.items() if isinstance(value, list)})
    return {**event["Picture"], **examined}


def examine(event: dict) -> dict:
    """The record's attributes for the answers of Rekognition, and why there are none."""
    wanted = requests()
    bucket = config.text("THUMBNAILS_BUCKET")
    found = [Rendition.from_state(name, state) for name, state in event["Renditions"].items()]
    rendition = rekognition.best_rendition(found, frozenset(name for name, spec in specs().items() if spec.undistorted))
    reasons = {} if LABELS in wanted else {LABELS.skipped: SWITCHED_OFF}
    if not rekognition.is_large_enough(rendition.size):
        reasons |= {one.skipped: too_small(one, rendition) for one in wanted}
        return {"Labels": [], **reasons}

    retries = event.get("RetryCount", 0)  # missing if the execution began before the stack was updated
    known = analysis.answers(event["Event"].get("Answers", {}), wanted)  # that `redrive` found in the record
    if wanted and retries:
        known |= analysis.answers(objects.read_answers(bucket, rendition.key), wanted)
    # CreateThumbnails may have asked for faces.
    known |= analysis.answers(event["Picture"], wanted)
    missing = {
        one: request
        for one, request in wanted.items()
        if not one.is_answered(known) and one.error not in event["Picture"]
    }
    new, failures = rekognition.ask(missing, rekognition.image_of(bucket, rendition)) if missing else ({}, {})
    if "Faces" in new and specs()[rendition.name].fit == "cover":
        shown = analysis.visible((event["Picture"]["Width"], event["Picture"]["Height"]), rendition.size)
        new["Faces"] = analysis.in_picture(new["Faces"], shown)
    try:
        rekognition.raise_while_retried(failures, retries)
    except PipelineError:
        if new:
            objects.write_answers(bucket, rendition.key, known | new)
        raise
    for one, error in failures.items():
        reasons[one.error] = rekognition.reason(error)
        logger.warning(
            "not answered", extra={"question": one.name, "error": type(error).__name__, "reason": str(error)}
        )
    return {"Labels": [], **reasons, **known, **new}


def requests() -> dict[Analysis, dict]:
    """The analyses that are switched on, with the parameters of their requests."""
    wanted: dict[Analysis, dict] = {}
    if config.switch("DETECT_LABELS"):
        wanted[LABELS] = {
            "MinConfidence": config.number("LABELS_MIN_CONFIDENCE", 0, 100),
            "MaxLabels": config.whole_number("LABELS_MAX_COUNT", 1, 100),
        }
    if config.switch("DETECT_FACES"):
        wanted[FACES] = rekognition.FACES_REQUEST
    if config.choice("MODERATION", *MODES) != "off":
        wanted[MODERATION] = {"MinConfidence": config.number("MODERATION_MIN_CONFIDENCE", 0, 100)}
    return wanted


def too_small(one: Analysis, rendition: Rendition) -> dict:
    return {
        "Name": f"TooSmallFor{one.name}",
        "Message": f"the largest rendition is {rendition.width}x{rendition.height}; "
        f"Rekognition needs at least {rekognition.SMALLEST_SIDE} pixels on each side",
    }

"""ExtractMetadata: completes the description of an image with what Rekognition detects in it."""

from collections import Counter
from functools import cache

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import analysis, aws, config, objects, rekognition, renditions
from imagepipeline.analysis import FACES, LABELS, MODERATION, Analysis
from imagepipeline.errors import RekognitionFailed, RekognitionThrottled
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Rendition, Upload
from imagepipeline.printable import printable
from imagepipeline.quarantine import MODES

# How often the state machine tries again after each error: the MaxAttempts of its rules. The last attempt has to return
# the answers that came, because an error would leave the state machine without them.
RETRIES = {RekognitionThrottled: 199, RekognitionFailed: 2}

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
        count_calls(counted)
    logger.info("described", extra={name: len(value) for name, value in examined.items() if isinstance(value, list)})
    return {**event["Picture"], **examined}


def examine(event: dict) -> dict:
    """The record's attributes for the answers of Rekognition, and why there are none."""
    wanted = requests()
    bucket = config.text("THUMBNAILS_BUCKET")
    found = [Rendition.from_state(name, state) for name, state in event["Renditions"].items()]
    rendition = rekognition.best_rendition(found, frozenset(name for name, spec in specs().items() if spec.undistorted))
    reasons = {} if LABELS in wanted else {LABELS.skipped: SWITCHED_OFF}
    if not rekognition.is_large_enough(rendition):
        reasons |= {one.skipped: too_small(one, rendition) for one in wanted}
        return {"Labels": [], **reasons}

    retries = event.get("RetryCount", 0)  # missing if the execution began before the stack was updated
    known = analysis.answers(event["Event"].get("Answers", {}), wanted)  # that `redrive` found in the record
    if wanted and retries:
        known |= analysis.answers(objects.read_answers(bucket, rendition.key), wanted)
    missing = {one: request for one, request in wanted.items() if not one.is_answered(known)}
    new, failures = rekognition.ask(missing, bucket, rendition)
    if "Faces" in new and specs()[rendition.name].fit == "cover":
        shown = analysis.visible((event["Picture"]["Width"], event["Picture"]["Height"]), rendition.size)
        new["Faces"] = analysis.in_picture(new["Faces"], shown)
    for error in sorted(failures.values(), key=lambda error: -RETRIES[type(error)]):
        if retries < RETRIES[type(error)]:
            if new:
                objects.write_answers(bucket, rendition.key, known | new)
            raise error
    for one, error in failures.items():
        reasons[one.error] = reason(error)
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
        wanted[FACES] = {"Attributes": ["DEFAULT"]}
    if config.choice("MODERATION", *MODES) != "off":
        wanted[MODERATION] = {"MinConfidence": config.number("MODERATION_MIN_CONFIDENCE", 0, 100)}
    return wanted


def too_small(one: Analysis, rendition: Rendition) -> dict:
    return {
        "Name": f"TooSmallFor{one.name}",
        "Message": f"the largest rendition is {rendition.width}x{rendition.height}; "
        f"Rekognition needs at least {rekognition.SMALLEST_SIDE} pixels on each side",
    }


def reason(error: Exception) -> dict:
    return {"Name": type(error).__name__, "Message": printable(str(error), 1000)}


def count_calls(answers: Counter[str]) -> None:
    """Publishes the calls that are billed, and those that a quota refused, and forgets them."""
    counts = {
        "RekognitionCalls": answers[""],
        "RekognitionThrottles": sum(answers[code] for code in rekognition.THROTTLED),
    }
    answers.clear()
    for name, count in counts.items():
        if count:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    if any(counts.values()):
        metrics.flush_metrics()

"""ExtractMetadata: completes the description of an image with what Rekognition detects in it."""

from collections.abc import Collection
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


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Picture", "Renditions", "RetryCount"}`.

    Returns the descriptive attributes of the record.

    Raises RekognitionThrottled, RekognitionFailed and ServiceUnavailable.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(**keys_of(upload.key, event))
    with metering.rekognition_calls(metrics):
        examined = examine(event)
    logger.info("described", extra={name: len(value) for name, value in examined.items() if isinstance(value, list)})
    return {**event["Picture"], **examined}


def examine(event: dict) -> dict:
    """The record's attributes for the answers of Rekognition, and why there are none."""
    wanted = requests()
    skipped = {} if LABELS in wanted else {LABELS.skipped: SWITCHED_OFF}
    found = [Rendition.from_state(name, state) for name, state in event["Renditions"].items()]
    rendition = rekognition.best_rendition(found, frozenset(name for name, spec in specs().items() if spec.undistorted))
    if not rekognition.is_large_enough(rendition.size):
        return {"Labels": [], **skipped, **{one.skipped: too_small(one, rendition) for one in wanted}}

    retries = event.get("RetryCount", 0)  # missing if the execution began before the stack was updated
    known = known_answers(event, wanted, rendition if retries else None)
    missing = {
        one: request
        for one, request in wanted.items()
        if not one.is_answered(known) and one.error not in event["Picture"]
    }
    new, failures = ask(missing, rendition, event["Picture"])
    try:
        rekognition.raise_while_retried(failures, retries)
    except PipelineError:
        if new:
            objects.write_answers(config.text("THUMBNAILS_BUCKET"), rendition.key, known | new)
        raise
    for one, error in failures.items():
        logger.warning(
            "not answered", extra={"question": one.name, "error": type(error).__name__, "reason": str(error)}
        )
    errors = {one.error: rekognition.reason(error) for one, error in failures.items()}
    return {"Labels": [], **skipped, **errors, **known, **new}


def known_answers(event: dict, wanted: Collection[Analysis], kept_beside: Rendition | None) -> dict:
    """The answers that need not be asked for.

    They come from the record, where `redrive` found them, from an earlier attempt, which kept them beside a rendition,
    and from CreateThumbnails, which may have asked for faces.
    """
    known = analysis.answers(event["Event"].get("Answers", {}), wanted)
    if wanted and kept_beside:
        known |= analysis.answers(objects.read_answers(config.text("THUMBNAILS_BUCKET"), kept_beside.key), wanted)
    return known | analysis.answers(event["Picture"], wanted)


def ask(missing: dict[Analysis, dict], rendition: Rendition, picture: dict) -> tuple[dict, rekognition.Failures]:
    """The answers about a rendition, with faces where they are in the whole picture, and the errors of the others."""
    if not missing:
        return {}, {}
    new, failures = rekognition.ask(missing, rekognition.image_of(config.text("THUMBNAILS_BUCKET"), rendition))
    spec = specs().get(rendition.name)  # None if Renditions was changed while the image waited
    if "Faces" in new and not (spec and spec.fit == "inside"):
        shown = analysis.visible((picture["Width"], picture["Height"]), rendition.size)
        new["Faces"] = analysis.in_picture(new["Faces"], shown)
    return new, failures


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

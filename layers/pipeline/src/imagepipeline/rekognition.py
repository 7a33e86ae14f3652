"""Asks Amazon Rekognition about a rendition."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from imagepipeline import aws, objects
from imagepipeline.analysis import Analysis
from imagepipeline.errors import RekognitionFailed, RekognitionThrottled
from imagepipeline.models import JsonObject, Rendition
from imagepipeline.printable import printable

# "Guidelines and quotas" in Rekognition's developer guide: it reads JPEG and PNG of up to 15 MB in S3, or 5 MB in the
# request, with at least 80 pixels on each side.
READABLE_FORMATS = ("JPEG", "PNG")
MAX_OBJECT_BYTES = 15 * 2**20
SMALLEST_SIDE = 80

# Pixels on the longest side: VGA, the smallest size that its developer guide recommends.
_ENOUGH = 640
# Half of that. A smaller rendition of the whole image shows less than a large crop.
_SHOWS_DETAIL = 320
# Images in a request are reduced to this size: at quality 90, even pure noise stays below 5 MB.
_SIDE_IN_REQUEST = 1920

THROTTLED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})

# How often the state machine tries again after each error: the MaxAttempts of its rules. The last attempt has to return
# the answers that came, because an error would leave the state machine without them.
RETRIES = {RekognitionThrottled: 199, RekognitionFailed: 2}

FACES_REQUEST = {"Attributes": ["DEFAULT"]}  # no age, gender or emotion

type Failures = dict[Analysis, RekognitionThrottled | RekognitionFailed]


def best_rendition(renditions: list[Rendition], undistorted: frozenset[str]) -> Rendition:
    """The rendition in which Rekognition can detect most.

    Renditions that are large enough for Rekognition come first; then those of at least 320 pixels that are
    `undistorted`, which means neither cropped nor filtered; then the larger ones. Of those with at least 640 pixels,
    one in a format that Rekognition reads comes before one that must be converted.
    """
    return max(
        renditions,
        key=lambda r: (
            is_large_enough(r.size),
            r.name in undistorted and max(r.size) >= _SHOWS_DETAIL,
            min(max(r.width, r.height), _ENOUGH),
            _is_readable(r),
            r.width * r.height,
        ),
    )


def is_large_enough(size: tuple[int, int]) -> bool:
    """Whether Rekognition examines an image of this size."""
    return min(size) >= SMALLEST_SIDE


def _is_readable(rendition: Rendition) -> bool:
    """Whether Rekognition can read the rendition from the bucket."""
    return rendition.format in READABLE_FORMATS and rendition.bytes <= MAX_OBJECT_BYTES


def ask(requests: Mapping[Analysis, JsonObject], image: JsonObject) -> tuple[JsonObject, Failures]:
    """Asks for one or more analyses of an image, with the parameters of each request, all at the same time.

    Returns the record's attributes for the answers that came, and why the others did not.
    """
    found: JsonObject = {}
    failed: Failures = {}
    with ThreadPoolExecutor(len(requests)) as pool:
        calls = {analysis: pool.submit(_call, analysis, image, request) for analysis, request in requests.items()}
        for analysis, call in calls.items():
            try:
                found |= call.result()
            except (RekognitionThrottled, RekognitionFailed) as error:
                failed[analysis] = error
    return found, failed


def raise_while_retried(failures: Failures, retries: int) -> None:
    """Raises the error that the state machine retries longest, unless this was its last attempt."""
    for error in sorted(failures.values(), key=lambda error: -RETRIES[type(error)]):
        if retries < RETRIES[type(error)]:
            raise error


def reason(error: Exception) -> JsonObject:
    """An error as the record names it."""
    return {"Name": type(error).__name__, "Message": printable(str(error), 1000)}


def _call(analysis: Analysis, image: JsonObject, request: JsonObject) -> JsonObject:
    try:
        return analysis.read(getattr(aws.client("rekognition"), analysis.operation)(Image=image, **request))
    except ClientError as error:
        if aws.error_code(error) in THROTTLED:
            raise RekognitionThrottled(aws.reason(error)) from error
        raise RekognitionFailed(aws.reason(error)) from error
    except (ConnectionError, HTTPClientError) as error:
        raise RekognitionFailed(aws.reason(error)) from error


def image_of(bucket: str, rendition: Rendition) -> JsonObject:
    """The rendition as a request names or contains it.

    Raises ServiceUnavailable if S3 does not return a rendition that must be converted first.
    """
    if _is_readable(rendition):
        return {"S3Object": {"Bucket": bucket, "Name": rendition.key}}
    # Pillow is imported here because only stacks without a rendition in JPEG or PNG need it.
    from PIL import Image

    picture = Image.open(BytesIO(objects.read_rendition(bucket, rendition.key)), formats=[rendition.format])
    picture.thumbnail((_SIDE_IN_REQUEST, _SIDE_IN_REQUEST))
    jpeg = BytesIO()
    picture.convert("RGB").save(jpeg, "JPEG", quality=90)
    return {"Bytes": jpeg.getvalue()}

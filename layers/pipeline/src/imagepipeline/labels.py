"""Labels that Amazon Rekognition detects in an image."""

from dataclasses import dataclass
from io import BytesIO

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from imagepipeline import aws, objects
from imagepipeline.errors import RekognitionFailed, RekognitionThrottled
from imagepipeline.models import JsonObject, Rendition

# "Guidelines and quotas" in Rekognition's developer guide: it reads JPEG and PNG of up to 15 MB in S3, or 5 MB in the
# request, with at least 80 pixels on each side.
READABLE_FORMATS = ("JPEG", "PNG")
MAX_OBJECT_BYTES = 15 * 2**20
SMALLEST_SIDE = 80

# Pixels on the longest side: VGA, the smallest size that its developer guide recommends.
_ENOUGH = 640
# Images in a request are reduced to this size: at quality 90, even pure noise stays below 5 MB.
_SIDE_IN_REQUEST = 1920

THROTTLED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})


@dataclass(frozen=True, slots=True)
class Labelling:
    """The labels of an image, or the reason why there are none."""

    labels: tuple[JsonObject, ...] = ()  # {"Name": str, "Confidence": percent with one decimal}, most confident first
    model_version: str | None = None
    skipped: JsonObject | None = None  # {"Name", "Message"}: not an error, and a retry would not help

    def to_state(self) -> JsonObject:
        """PascalCase; unset attributes are absent."""
        state = {
            "Labels": list(self.labels),
            "LabelModelVersion": self.model_version,
            "LabelsSkipped": self.skipped,
        }
        return {name: value for name, value in state.items() if value is not None}


SWITCHED_OFF = Labelling(
    skipped={"Name": "SwitchedOff", "Message": "label detection is turned off (DetectLabels=false)"}
)


def too_small(rendition: Rendition) -> Labelling:
    """The result for an image that is too small for Rekognition."""
    return Labelling(
        skipped={
            "Name": "TooSmallForLabels",
            "Message": f"the largest rendition is {rendition.width}x{rendition.height}; "
            f"Rekognition needs at least {SMALLEST_SIDE} pixels on each side",
        }
    )


def best_rendition(renditions: list[Rendition], undistorted: frozenset[str]) -> Rendition:
    """The rendition from which Rekognition can detect most.

    Renditions that are large enough for Rekognition come first; then those that are `undistorted`, which means neither
    cropped nor filtered; then the larger ones. Of those with at least 640 pixels, one in a format that Rekognition
    reads comes before one that must be converted.
    """
    return max(
        renditions,
        key=lambda r: (
            _shortest_side(r) >= SMALLEST_SIDE,
            r.name in undistorted,
            min(max(r.width, r.height), _ENOUGH),
            _is_readable(r),
            r.width * r.height,
        ),
    )


def _shortest_side(rendition: Rendition) -> int:
    return min(rendition.width, rendition.height)


def _is_readable(rendition: Rendition) -> bool:
    """Whether Rekognition can read the rendition from the bucket."""
    return rendition.format in READABLE_FORMATS and rendition.bytes <= MAX_OBJECT_BYTES


def detect(bucket: str, rendition: Rendition, min_confidence: float, max_labels: int) -> Labelling:
    """Detects at most `max_labels` labels with a confidence of at least `min_confidence` percent.

    Raises RekognitionThrottled, RekognitionFailed, or ServiceUnavailable if S3 does not return a rendition that must
    be converted first.
    """
    if _shortest_side(rendition) < SMALLEST_SIDE:
        return too_small(rendition)
    try:
        answer = aws.client("rekognition").detect_labels(
            Image=_as_rekognition_reads_it(bucket, rendition), MinConfidence=min_confidence, MaxLabels=max_labels
        )
    except ClientError as error:
        if aws.error_code(error) in THROTTLED:
            raise RekognitionThrottled(aws.reason(error)) from error
        raise RekognitionFailed(aws.reason(error)) from error
    except (ConnectionError, HTTPClientError) as error:
        raise RekognitionFailed(aws.reason(error)) from error
    return Labelling(
        labels=tuple(
            {"Name": label["Name"], "Confidence": round(label["Confidence"], 1)} for label in answer["Labels"]
        ),
        model_version=answer.get("LabelModelVersion"),
    )


def _as_rekognition_reads_it(bucket: str, rendition: Rendition) -> JsonObject:
    if _is_readable(rendition):
        return {"S3Object": {"Bucket": bucket, "Name": rendition.key}}
    # Pillow is imported here because only stacks without a rendition in JPEG or PNG need it.
    from PIL import Image

    picture = Image.open(BytesIO(objects.read_rendition(bucket, rendition.key)), formats=[rendition.format])
    picture.thumbnail((_SIDE_IN_REQUEST, _SIDE_IN_REQUEST))
    jpeg = BytesIO()
    picture.convert("RGB").save(jpeg, "JPEG", quality=90)
    return {"Bytes": jpeg.getvalue()}

"""What Amazon Rekognition sees in a picture."""

from dataclasses import dataclass
from io import BytesIO

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from imagepipeline import aws, objects
from imagepipeline.errors import RekognitionFailed, RekognitionThrottled
from imagepipeline.models import JsonObject, Rendition

# Rekognition's limits ("Guidelines and quotas" in its developer guide): it reads JPEG and PNG of 15 MB in S3 or 5 MB
# in the request, and no side may be under 80 pixels.
READABLE_FORMATS = ("JPEG", "PNG")
MAX_OBJECT_BYTES = 15 * 2**20
SMALLEST_SIDE = 80

# Pixels of the longest side: VGA, the least that its developer guide recommends.
_ENOUGH = 640
# What goes into the request is made no larger: at quality 90 even pure noise stays below the 5 MB.
_SIDE_IN_REQUEST = 1920

_THROTTLED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})


@dataclass(frozen=True, slots=True)
class Labelling:
    """The outcome of asking for labels: labels, or the reason why there are none."""

    labels: tuple[JsonObject, ...] = ()  # {"Name": str, "Confidence": percent with one decimal}, most confident first
    model_version: str | None = None
    skipped: JsonObject | None = None  # {"Name", "Message"}: nothing is wrong, and asking again would not help

    def to_state(self) -> JsonObject:
        """PascalCase, absent where there is nothing to say."""
        state = {
            "Labels": list(self.labels),
            "LabelModelVersion": self.model_version,
            "LabelsSkipped": self.skipped,
        }
        return {name: value for name, value in state.items() if value is not None}


SWITCHED_OFF = Labelling(skipped={"Name": "SwitchedOff", "Message": "labels are switched off by the stack's settings"})


def too_small(rendition: Rendition) -> Labelling:
    """The outcome for a picture that Rekognition would refuse for its size."""
    return Labelling(
        skipped={
            "Name": "TooSmallForLabels",
            "Message": f"the largest rendition is {rendition.width}x{rendition.height}; "
            f"Rekognition needs {SMALLEST_SIDE} pixels a side",
        }
    )


def best_rendition(renditions: list[Rendition], undistorted: frozenset[str]) -> Rendition:
    """The rendition that shows Rekognition most.

    `undistorted` names the renditions that are neither cropped nor filtered: any of them goes before any other, unless
    Rekognition would refuse it for its size. Then the larger goes before the smaller; of those that are large enough
    for it to see well, one that it reads goes before one that has to be converted.
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
    """Whether Rekognition takes the rendition as it lies in the bucket."""
    return rendition.format in READABLE_FORMATS and rendition.bytes <= MAX_OBJECT_BYTES


def detect(bucket: str, rendition: Rendition, min_confidence: float, max_labels: int) -> Labelling:
    """Asks Rekognition for at most `max_labels` labels of at least `min_confidence` percent.

    Raises RekognitionThrottled, RekognitionFailed, or ServiceUnavailable when S3 doesn't give a rendition that has to
    be converted first.
    """
    if _shortest_side(rendition) < SMALLEST_SIDE:
        return too_small(rendition)
    try:
        answer = aws.client("rekognition").detect_labels(
            Image=_as_rekognition_reads_it(bucket, rendition), MinConfidence=min_confidence, MaxLabels=max_labels
        )
    except ClientError as error:
        if aws.error_code(error) in _THROTTLED:
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
    # Only stacks whose renditions are all WebP, AVIF or huge PNGs come here, and only they pay for loading Pillow.
    from PIL import Image

    picture = Image.open(BytesIO(objects.read_rendition(bucket, rendition.key)), formats=[rendition.format])
    picture.thumbnail((_SIDE_IN_REQUEST, _SIDE_IN_REQUEST))
    jpeg = BytesIO()
    picture.convert("RGB").save(jpeg, "JPEG", quality=90)
    return {"Bytes": jpeg.getvalue()}

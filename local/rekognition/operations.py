"""DetectLabels, DetectFaces and DetectModerationLabels: detections in Rekognition's vocabulary and shape."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from local.rekognition.detectors import Detection, Detectors

MIN_SIDE = 80  # pixels; this and the next are from "Guidelines and quotas" in the developer guide
MAX_SIDE = 10_000
WORKING_SIDE = 1024  # pixels of the longest side; the detectors examine at most 320

DEFAULT_MIN_CONFIDENCE = 55  # percent, the default of DetectLabels
DEFAULT_MIN_MODERATION_CONFIDENCE = 50

CAT = ("Cat", "Pet", "Mammal", "Animal")
FACE = ("Face", "Head", "Person")
# Where a frontal face has them, as fractions of its bounding box.
LANDMARKS = {
    "eyeLeft": (0.3, 0.4),
    "eyeRight": (0.7, 0.4),
    "mouthLeft": (0.36, 0.84),
    "mouthRight": (0.64, 0.84),
    "nose": (0.5, 0.64),
}
# Colours, and the labels of version 7 of Rekognition's taxonomy that they stand for, from the top level down.
MODERATED = {
    (255, 0, 255): ("Explicit", "Explicit Nudity"),
    (0, 255, 255): ("Violence", "Weapons"),
}
COLOR_TOLERANCE = 48  # of each channel: what JPEG and a conversion of colours change


class ServiceError(Exception):
    """An error response, which an AWS SDK raises as an exception named `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def detect(operation: str, request: dict, image: bytes, detectors: Detectors) -> dict:
    """The response to a request. Raises ServiceError."""
    if operation not in OPERATIONS:
        raise ServiceError(
            "UnknownOperationException", f"The local Rekognition implements only {', '.join(OPERATIONS)}"
        )
    respond, parameters = OPERATIONS[operation]
    if unknown := request.keys() - parameters:
        raise ServiceError("InvalidParameterException", f"The local Rekognition does not support {', '.join(unknown)}")
    return respond(request, decode(image), detectors)


def decode(data: bytes) -> np.ndarray:
    """The pixels of a JPEG or PNG: height x width x RGB of uint8, with a longest side of at most WORKING_SIDE.

    Raises ServiceError: InvalidImageFormatException, InvalidParameterException (too small), ImageTooLargeException.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise ServiceError("ImageTooLargeException", f"Image dimensions exceed {MAX_SIDE} pixels")
            if min(image.size) < MIN_SIDE:  # botocore issue 1366 has this error
                raise ServiceError("InvalidParameterException", "Request has invalid parameters")
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
            pixels = image.convert("RGB")
            pixels.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
            return np.asarray(pixels)
    except (OSError, SyntaxError, ValueError) as error:  # the exceptions that Pillow raises for a damaged file
        raise ServiceError("InvalidImageFormatException", "Request has invalid image format") from error


def detect_labels(request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The response to DetectLabels. Labels come most confident first."""
    labels = [*_labels(CAT, detectors.cats(pixels)), *_labels(FACE, detectors.faces(pixels))]
    minimum = request.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)
    ranked = sorted(
        (label for label in labels if label["Confidence"] >= minimum),
        key=lambda label: (-label["Confidence"], label["Name"]),
    )
    return {"LabelModelVersion": "local-opencv", "Labels": ranked[: request.get("MaxLabels")]}


def _labels(names: tuple[str, ...], detections: list[Detection]) -> list[dict]:
    """What was detected, and the terms that include it."""
    confidence = max((detection.confidence for detection in detections), default=0)
    return [{"Name": name, "Confidence": confidence} for name in names if detections]


def detect_faces(_request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The response to DetectFaces, largest face first. Every head is upright and looks into the camera."""
    return {
        "FaceDetails": [
            {
                "BoundingBox": face.bounding_box,
                "Confidence": face.confidence,
                "Landmarks": [
                    {"Type": name, "X": face.left + x * face.width, "Y": face.top + y * face.height}
                    for name, (x, y) in LANDMARKS.items()
                ],
                "Pose": {"Roll": 0.0, "Yaw": 0.0, "Pitch": 0.0},
            }
            for face in detectors.faces(pixels)
        ]
    }


def detect_moderation_labels(request: dict, pixels: np.ndarray, _detectors: Detectors) -> dict:
    """The response to DetectModerationLabels: what the colours in `MODERATED` stand for.

    A test paints what it wants to be found. The confidence is the percentage of pixels that have the colour.
    """
    minimum = request.get("MinConfidence", DEFAULT_MIN_MODERATION_CONFIDENCE)
    found = []
    for color, path in MODERATED.items():
        distance = np.abs(pixels.astype(np.int16) - color).max(axis=2)
        confidence = 100 * float((distance <= COLOR_TOLERANCE).mean())
        if confidence and confidence >= minimum:
            found += [
                {"Name": name, "ParentName": parent, "Confidence": confidence, "TaxonomyLevel": level}
                for level, (parent, name) in enumerate(zip(("", *path), path, strict=False), 1)
            ]
    return {
        "ModerationLabels": sorted(found, key=lambda label: -label["Confidence"]),
        "ModerationModelVersion": "local-colors",
    }


# What answers each operation, and the parameters that it knows.
OPERATIONS: dict[str, tuple[Callable[[dict, np.ndarray, Detectors], dict], set[str]]] = {
    "DetectLabels": (detect_labels, {"MaxLabels", "MinConfidence"}),
    "DetectFaces": (detect_faces, {"Attributes"}),
    "DetectModerationLabels": (detect_moderation_labels, {"MinConfidence"}),
}

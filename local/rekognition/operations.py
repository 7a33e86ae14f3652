"""DetectLabels and DetectFaces: detections in Rekognition's vocabulary and shape."""

import math
from dataclasses import dataclass

import numpy as np

from local.rekognition.detectors import Detection, Detectors
from local.rekognition.errors import ServiceError

MODEL_VERSION = "local-opencv"
DEFAULT_MIN_CONFIDENCE = 55  # percent, the API's default
DEFAULT_MAX_LABELS = 1000
MAX_FACES = 100  # the API's limit


@dataclass(frozen=True, slots=True)
class Term:
    """An entry of Rekognition's label list."""

    name: str
    parents: tuple[str, ...]
    category: str
    aliases: tuple[str, ...] = ()


CAT = (
    Term("Cat", ("Animal", "Mammal", "Pet"), "Animals and Pets"),
    Term("Pet", ("Animal",), "Animals and Pets"),
    Term("Mammal", ("Animal",), "Animals and Pets"),
    Term("Animal", (), "Animals and Pets"),
)
FACE = (
    Term("Face", ("Head", "Person"), "Person Description"),
    Term("Head", ("Person",), "Person Description"),
    Term("Person", (), "Person Description", aliases=("Human",)),
)


def detect_labels(request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The response to a valid DetectLabels request, for RGB pixels. Labels come most confident first."""
    if request.get("Features", ["GENERAL_LABELS"]) != ["GENERAL_LABELS"] or "Settings" in request:
        raise ServiceError(
            "InvalidParameterException", "The local stand-in supports neither IMAGE_PROPERTIES nor filters"
        )
    labels = [*_labels(CAT, detectors.cats(pixels)), *_labels(FACE, detectors.faces(pixels))]
    minimum = request.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)
    ranked = sorted(
        (label for label in labels if label["Confidence"] >= minimum),
        key=lambda label: (-label["Confidence"], label["Name"]),
    )
    return {
        "LabelModelVersion": MODEL_VERSION,
        "Labels": ranked[: request.get("MaxLabels", DEFAULT_MAX_LABELS)],
    }


def _labels(terms: tuple[Term, ...], detections: list[Detection]) -> list[dict]:
    """One label for each term. The first term is what was detected and has the instances; the others follow from it."""
    if not detections:
        return []
    confidence = max(detection.confidence for detection in detections)
    instances = [
        {"BoundingBox": detection.bounding_box, "Confidence": detection.confidence} for detection in detections
    ]
    return [
        {
            "Name": term.name,
            "Confidence": confidence,
            "Instances": instances if term is terms[0] else [],
            "Parents": [{"Name": parent} for parent in term.parents],
            "Aliases": [{"Name": alias} for alias in term.aliases],
            "Categories": [{"Name": term.category}],
        }
        for term in terms
    ]


def detect_faces(request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The response to DetectFaces, for RGB pixels: faces with their eyes, and the roll that follows from the eyes.

    `Attributes` is accepted but adds nothing: age, gender and emotions need a model.
    """
    faces = detectors.faces(pixels)[:MAX_FACES]
    return {"FaceDetails": [_face_details(pixels, face, detectors.eyes(pixels, face)) for face in faces]}


def _face_details(pixels: np.ndarray, face: Detection, eyes: list[tuple[float, float]]) -> dict:
    height, width = pixels.shape[:2]
    details = {
        "BoundingBox": face.bounding_box,
        "Confidence": face.confidence,
        "Landmarks": [
            {"Type": name, "X": x, "Y": y} for name, (x, y) in zip(("eyeLeft", "eyeRight"), eyes, strict=False)
        ],
    }
    if eyes:
        (left_x, left_y), (right_x, right_y) = eyes
        slope = math.atan2((right_y - left_y) * height, (right_x - left_x) * width)
        details["Pose"] = {"Roll": math.degrees(slope)}
    return details

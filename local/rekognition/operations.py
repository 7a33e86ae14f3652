"""DetectLabels, DetectFaces and DetectModerationLabels: detections in Rekognition's vocabulary and shape."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from local.rekognition.detectors import Detection, Detectors
from local.rekognition.errors import ServiceError

MODEL_VERSION = "local-opencv"
DEFAULT_MIN_CONFIDENCE = 55  # percent, the API's default
DEFAULT_MAX_LABELS = 1000
MAX_FACES = 100  # the API's limit
DEFAULT_MIN_MODERATION_CONFIDENCE = 50

# Colours, and the labels of version 7 of Rekognition's taxonomy that they stand for, from the top level down.
MODERATED = {
    (255, 0, 255): ("Explicit", "Explicit Nudity"),
    (0, 255, 255): ("Violence", "Weapons"),
}
COLOR_TOLERANCE = 48  # of each channel: what JPEG and a conversion of colours change


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
    """The response to DetectFaces, for RGB pixels: faces, largest first, with the default attributes.

    `Attributes` is accepted but adds nothing: age, gender and emotions need a model.
    """
    faces = detectors.faces(pixels)[:MAX_FACES]
    return {"FaceDetails": [_face_details(pixels, face, detectors.eyes(pixels, face)) for face in faces]}


def _face_details(pixels: np.ndarray, face: Detection, eyes: list[tuple[float, float]]) -> dict:
    """The default attributes of a face. The roll follows from the eyes, as do nose and mouth; yaw and pitch are 0."""
    height, width = pixels.shape[:2]
    size = np.array((width, height))
    usual = ((face.left + face.width * 0.3, face.top + face.height * 0.4),) * 2
    left, right = (np.array(eye) * size for eye in eyes or (usual[0], (usual[1][0] + face.width * 0.4, usual[1][1])))
    roll = math.atan2(right[1] - left[1], right[0] - left[0])
    middle, across = (left + right) / 2, (right - left) / 2
    down = np.array((-across[1], across[0]))  # as far below the eyes as each is from their middle
    points = {
        "eyeLeft": left,
        "eyeRight": right,
        "mouthLeft": middle + 2.2 * down - 0.7 * across,
        "mouthRight": middle + 2.2 * down + 0.7 * across,
        "nose": middle + 1.2 * down,
    }
    gray = cv2.cvtColor(pixels[_rows(face, height), _columns(face, width)], cv2.COLOR_RGB2GRAY)
    return {
        "BoundingBox": face.bounding_box,
        "Confidence": face.confidence,
        "Landmarks": [{"Type": name, "X": x, "Y": y} for name, (x, y) in ((n, p / size) for n, p in points.items())],
        "Pose": {"Roll": math.degrees(roll), "Yaw": 0.0, "Pitch": 0.0},
        "Quality": {
            "Brightness": float(gray.mean()) / 2.55,
            "Sharpness": min(100.0, float(cv2.Laplacian(gray, cv2.CV_64F).std())),
        },
    }


def _rows(face: Detection, height: int) -> slice:
    return slice(round(face.top * height), max(round((face.top + face.height) * height), round(face.top * height) + 1))


def _columns(face: Detection, width: int) -> slice:
    return slice(round(face.left * width), max(round((face.left + face.width) * width), round(face.left * width) + 1))


def detect_moderation_labels(request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The response to DetectModerationLabels, for RGB pixels: what the colours in `MODERATED` stand for.

    A test paints what it wants to be found. The confidence is the percentage of pixels that have the colour.
    """
    if "ProjectVersion" in request or "HumanLoopConfig" in request:
        raise ServiceError("InvalidParameterException", "The local stand-in supports neither adapters nor human loops")
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
        "ContentTypes": [],
    }

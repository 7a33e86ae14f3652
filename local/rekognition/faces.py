"""DetectFaces: frontal faces, with as much of their details as a cascade can tell.

Landmarks are the eyes, where both are found; Pose has the roll that follows from them. Age, gender, emotions and the
like need a model that this has not got: asking for them with `Attributes` is allowed and adds nothing.
"""

import math

import numpy as np

from local.rekognition.colors import quality
from local.rekognition.detectors import Detection, Detectors

MAX_FACES = 100  # the API's limit


def detect_faces(request: dict, pixels: np.ndarray, detectors: Detectors) -> dict:
    """The answer to DetectFaces for RGB pixels."""
    faces = detectors.faces(pixels)[:MAX_FACES]
    return {"FaceDetails": [_details(pixels, face, detectors.eyes(pixels, face)) for face in faces]}


def _details(pixels: np.ndarray, face: Detection, eyes: list[tuple[float, float]]) -> dict:
    height, width = pixels.shape[:2]
    top, left = int(face.top * height), int(face.left * width)
    part = pixels[top : top + int(face.height * height), left : left + int(face.width * width)]
    details = {
        "BoundingBox": face.bounding_box,
        "Confidence": face.confidence,
        "Landmarks": [
            {"Type": name, "X": x, "Y": y} for name, (x, y) in zip(("eyeLeft", "eyeRight"), eyes, strict=False)
        ],
        "Quality": {name: value for name, value in quality(part).items() if name != "Contrast"},
    }
    if eyes:
        (left_x, left_y), (right_x, right_y) = eyes
        slope = math.atan2((right_y - left_y) * height, (right_x - left_x) * width)
        details["Pose"] = {"Roll": math.degrees(slope)}
    return details

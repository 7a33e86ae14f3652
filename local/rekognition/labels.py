"""DetectLabels: what was found, in Rekognition's vocabulary and shape."""

from dataclasses import dataclass

import numpy as np

from local.rekognition.colors import dominant_colors, quality
from local.rekognition.detectors import Detection, Detectors

MODEL_VERSION = "local-opencv"
DEFAULT_MIN_CONFIDENCE = 55  # percent: the API's default
DEFAULT_MAX_LABELS = 1000
DEFAULT_MAX_COLORS = 10


@dataclass(frozen=True, slots=True)
class Term:
    """An entry of Rekognition's label list: its ancestors, other names and category."""

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
    """The answer to DetectLabels for RGB pixels. `request` is as botocore's model has it, and valid."""
    features = request.get("Features") or ["GENERAL_LABELS"]
    settings = request.get("Settings", {})
    found = [(CAT, detectors.cats(pixels)), (FACE, detectors.faces(pixels))]
    answer: dict = {"LabelModelVersion": MODEL_VERSION}
    if "GENERAL_LABELS" in features:
        colored = pixels if "IMAGE_PROPERTIES" in features else None
        labels = [label for terms, detections in found for label in _labels(terms, detections, colored)]
        answer["Labels"] = _selected(labels, request, settings.get("GeneralLabels", {}))
    if "IMAGE_PROPERTIES" in features:
        maximum = settings.get("ImageProperties", {}).get("MaxDominantColors", DEFAULT_MAX_COLORS)
        detections = [detection for _, detections in found for detection in detections]
        answer["ImageProperties"] = _image_properties(pixels, detections, maximum)
    return answer


def _labels(terms: tuple[Term, ...], detections: list[Detection], colored: np.ndarray | None) -> list[dict]:
    """One label a term, as sure as its surest detection. The first, which was looked for, has the instances."""
    if not detections:
        return []
    confidence = max(detection.confidence for detection in detections)
    return [
        {
            "Name": term.name,
            "Confidence": confidence,
            "Instances": [_instance(detection, colored) for detection in detections] if term is terms[0] else [],
            "Parents": [{"Name": parent} for parent in term.parents],
            "Aliases": [{"Name": alias} for alias in term.aliases],
            "Categories": [{"Name": term.category}],
        }
        for term in terms
    ]


def _instance(detection: Detection, colored: np.ndarray | None) -> dict:
    instance = {"BoundingBox": detection.bounding_box, "Confidence": detection.confidence}
    if colored is not None:
        instance["DominantColors"] = dominant_colors(_crop(colored, detection), DEFAULT_MAX_COLORS)
    return instance


def _selected(labels: list[dict], request: dict, filters: dict) -> list[dict]:
    """Those the request asks for, surest first."""
    names = set(filters.get("LabelInclusionFilters", []))
    categories = set(filters.get("LabelCategoryInclusionFilters", []))
    excluded_names = set(filters.get("LabelExclusionFilters", []))
    excluded_categories = set(filters.get("LabelCategoryExclusionFilters", []))
    minimum = request.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)

    def wanted(label: dict) -> bool:
        category = label["Categories"][0]["Name"]
        included = not (names or categories) or label["Name"] in names or category in categories
        excluded = label["Name"] in excluded_names or category in excluded_categories
        return included and not excluded and label["Confidence"] >= minimum

    ranked = sorted(filter(wanted, labels), key=lambda label: (-label["Confidence"], label["Name"]))
    return ranked[: request.get("MaxLabels", DEFAULT_MAX_LABELS)]


def _image_properties(pixels: np.ndarray, detections: list[Detection], maximum: int) -> dict:
    """Of the whole picture; where something was found, also of that (Foreground) and of the rest (Background)."""
    properties = {"Quality": quality(pixels), "DominantColors": dominant_colors(pixels, maximum)}
    foreground = np.zeros(pixels.shape[:2], bool)
    for detection in detections:
        _crop(foreground, detection)[:] = True
    for name, mask in (("Foreground", foreground), ("Background", ~foreground)):
        if detections and mask.any():
            properties[name] = {
                "Quality": {part: value for part, value in quality(pixels, mask).items() if part != "Contrast"},
                "DominantColors": dominant_colors(pixels[mask], maximum),
            }
    return properties


def _crop(pixels: np.ndarray, detection: Detection) -> np.ndarray:
    """The part of the picture (a view) that a detection covers."""
    height, width = pixels.shape[:2]
    top, left = int(detection.top * height), int(detection.left * width)
    return pixels[top : top + int(detection.height * height), left : left + int(detection.width * width)]

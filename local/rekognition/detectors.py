"""Detection of faces and cats with OpenCV's Haar cascades.

A cascade slides windows of many sizes over the image. A real object matches many overlapping windows, an accidental
match few. A match with fewer windows than the cascade's minimum is discarded. The confidence of n windows is
100 * (1 - 2 ** (-n / 4)): 8 windows give 75, 24 give 98. It ranks detections and is not a probability.

Sizes, steps and minima were measured on 20 of scikit-image's images without a face or cat (textures, text, sky,
tissue, machines), each also mirrored, blurred, brightened, cropped and rotated by 8 degrees: at most 5 windows matched
as a face and 3 as a cat. In the same variants of the astronaut at least 24 windows matched, and of the cat at least 9.
OpenCV's body cascades and its HOG people detector are not used: they find people in motorcycles and logos.
"""

from dataclasses import dataclass

import cv2
import numpy as np

FACE_SIDE = 320  # pixels: the longest side of the image in which human faces are detected
SMALLEST_FACE = 22  # pixels at that size
FACE_WINDOWS = 8
CAT_SIDE = 112
SMALLEST_CAT = 33
CAT_WINDOWS = 7
CAT_MARGIN = 0.25  # of CAT_SIDE on each side: the cascade needs the ears, which a close-up cuts off
CAT_TILTS = (-10, 0, 10)  # degrees: cats seldom hold their heads level, and the cascade tolerates only a small angle

cv2.setNumThreads(1)  # one image is examined on each core


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected object, as fractions of the image's width and height."""

    left: float
    top: float
    width: float
    height: float
    confidence: float  # 0 to 100

    @property
    def bounding_box(self) -> dict:
        """The box in Rekognition's shape."""
        return {"Left": self.left, "Top": self.top, "Width": self.width, "Height": self.height}


class Detectors:
    """The loaded cascades. Not thread-safe, because OpenCV keeps buffers in them."""

    def __init__(self) -> None:
        self._face = _cascade("frontalface_alt2")
        self._cat = _cascade("frontalcatface_extended")

    def faces(self, pixels: np.ndarray) -> list[Detection]:
        """Frontal human faces, largest first. The smallest is about 10 % of the image's longest side."""
        gray = _gray(pixels, FACE_SIDE)
        boxes, windows = self._face.detectMultiScale2(
            gray, scaleFactor=1.1, minNeighbors=FACE_WINDOWS, minSize=(SMALLEST_FACE, SMALLEST_FACE)
        )
        found = [_detection(box, count, gray.shape) for box, count in zip(boxes, windows, strict=True)]
        return sorted(found, key=lambda face: face.width * face.height, reverse=True)

    def cats(self, pixels: np.ndarray) -> list[Detection]:
        """Cats seen from the front, most confident first. The smallest face is 30 % of the image's longest side."""
        gray = _gray(pixels, CAT_SIDE)
        margin = round(CAT_SIDE * CAT_MARGIN)
        padded = cv2.copyMakeBorder(gray, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        candidates = []
        for tilt in CAT_TILTS:
            turned, back = _turn(padded, tilt)
            boxes, windows = self._cat.detectMultiScale2(
                turned, scaleFactor=1.05, minNeighbors=CAT_WINDOWS, minSize=(SMALLEST_CAT, SMALLEST_CAT)
            )
            for (left, top, width, height), count in zip(boxes, windows, strict=True):
                x, y = back @ (left + width / 2, top + height / 2, 1)
                box = (x - width / 2 - margin, y - height / 2 - margin, width, height)
                candidates.append(_detection(box, count, gray.shape))
        return _distinct(candidates)


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


def _gray(pixels: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=interpolation)


def _turn(gray: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The image rotated about its centre, and the 2x3 matrix that maps a point back."""
    height, width = gray.shape
    there = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(gray, there, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned, cv2.invertAffineTransform(there)


def _detection(box: tuple, windows: int, shape: tuple[int, int]) -> Detection:
    """A box in pixels, clipped to the image, as fractions."""
    height, width = shape
    left, top = max(0, box[0]) / width, max(0, box[1]) / height
    right, bottom = min(width, box[0] + box[2]) / width, min(height, box[1] + box[3]) / height
    return Detection(left, top, right - left, bottom - top, 100 * (1 - 2 ** (-int(windows) / 4)))


def _distinct(candidates: list[Detection]) -> list[Detection]:
    """The candidates, most confident first, without those that overlap a more confident one."""
    kept: list[Detection] = []
    for candidate in sorted(candidates, key=lambda one: -one.confidence):
        if all(_overlap(candidate, other) < 0.3 for other in kept):
            kept.append(candidate)
    return kept


def _overlap(one: Detection, other: Detection) -> float:
    """Intersection over union, 0 to 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0, width) * max(0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)

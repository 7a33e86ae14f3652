"""How alike two pictures are: structural similarity (Wang et al. 2004) of their luma."""

import cv2
import numpy
from PIL import Image

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # the paper's constants for eight bits


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Mean SSIM over 11x11 Gaussian windows of sigma 1.5, as in the paper: 1.0 is identical."""
    x, y = (numpy.asarray(image.convert("L"), dtype=numpy.float64) for image in (one, other))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x * mean_x
    variance_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    return float(similarity.mean())


def _blur(values: numpy.ndarray) -> numpy.ndarray:
    return cv2.GaussianBlur(values, (11, 11), 1.5)

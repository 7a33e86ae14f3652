"""Image properties: dominant colours and quality, of a picture or of a part of it.

Every pixel is counted for the CSS colour nearest to it in CIELAB. Rekognition reports that CSS colour's own RGB; here
RGB and hex code are the mean of the pixels counted for it, so a plain area is described exactly.
"""

import colorsys

import cv2
import numpy as np
from PIL import ImageColor

SAMPLE_SIDE = 96  # pixels of the longest side: averages camera noise away, and is counted in milliseconds
MIN_PERCENT = 3.0  # below are mostly the mixed colours of edges

# Some colours have two names (gray and grey); the later one in the alphabet stays.
_NAMES = {ImageColor.getrgb(value): name for name, value in sorted(ImageColor.colormap.items())}
_CSS_NAMES = list(_NAMES.values())
_CSS_LAB = cv2.cvtColor(np.array([list(_NAMES)], np.uint8), cv2.COLOR_RGB2LAB)[0].astype(np.float32)

# Upper ends of hue in degrees.
_HUES = ((15, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (255, "blue"), (290, "purple"), (345, "pink"))


def dominant_colors(pixels: np.ndarray, maximum: int) -> list[dict]:
    """Rekognition's DominantColors of RGB pixels (height x width x 3, or count x 3), most frequent first."""
    if pixels.ndim == 3:
        pixels = sample(pixels).reshape(-1, 3)
    lab = cv2.cvtColor(pixels[np.newaxis], cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    # |a - b|^2 without a count x 141 x 3 array; |a|^2 is the same for every candidate.
    nearest = ((_CSS_LAB**2).sum(axis=1) - 2 * lab @ _CSS_LAB.T).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(_CSS_NAMES))
    answer = []
    for index in np.argsort(-counts, kind="stable")[:maximum]:
        percent = 100 * counts[index] / len(pixels)
        if percent < MIN_PERCENT:
            break
        red, green, blue = (int(channel) for channel in pixels[nearest == index].mean(axis=0).round())
        answer.append(
            {
                "Red": red,
                "Green": green,
                "Blue": blue,
                "HexCode": f"#{red:02x}{green:02x}{blue:02x}",
                "CSSColor": _CSS_NAMES[index],
                "SimplifiedColor": simplified(red, green, blue),
                "PixelPercent": float(percent),
            }
        )
    return answer


def simplified(red: int, green: int, blue: int) -> str:
    """A colour in one of a dozen plain words. Rekognition has twelve, and doesn't publish where they end."""
    hue, _, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    chroma = (max(red, green, blue) - min(red, green, blue)) / 255
    if value < 0.16:
        return "black"
    if chroma < 0.15:
        return "white" if value > 0.9 else "grey"
    name = next((name for end, name in _HUES if hue * 360 < end), "red")
    if name == "orange" and value < 0.7:
        return "brown"
    if name == "red" and value - chroma > 0.5:
        return "pink"
    return name


def quality(pixels: np.ndarray, mask: np.ndarray | None = None) -> dict:
    """Brightness, Sharpness and Contrast, 0 to 100, of the pixels where `mask` is true (everywhere without one).

    Brightness is the mean luma; contrast twice its standard deviation, as parts of the range; sharpness grows with the
    standard deviation of the Laplacian, and reaches 63 at 20 grey levels, a crisp photo's.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(gray, cv2.CV_32F)
    if mask is not None:
        gray, edges = gray[mask], edges[mask]
    return {
        "Brightness": float(gray.mean() / 2.55),
        "Sharpness": float(100 * (1 - np.exp(-edges.std() / 20))),
        "Contrast": float(min(100, 2 * gray.std() / 2.55)),
    }


def sample(pixels: np.ndarray) -> np.ndarray:
    """The picture at SAMPLE_SIDE, each pixel the mean of those it stands for."""
    scale = SAMPLE_SIDE / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

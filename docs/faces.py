"""Measures what `cover:face` keeps of a face, and draws docs/faces.jpg.

    .venv/bin/python -m docs.faces

The repository has one photo with a face in the public domain: local/photos/astronaut.jpg. Windows of it, chosen at
random, stand for photos in which the face is anywhere. Faces are located by the local stand-in for Rekognition, as in
the local run; where it finds none, the crop is from the centre.
"""

import io
import random
import statistics
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from imagepipeline import geometry, renditions
from imagepipeline.probing import probe
from imagepipeline.probing.ranges import InMemory
from imagepipeline.rendering import render
from local.rekognition.detectors import Detectors

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTO = REPOSITORY / "local" / "photos" / "astronaut.jpg"
PICTURE = REPOSITORY / "docs" / "faces.jpg"

FACE = (178, 70, 269, 179)  # of the photo: left, upper, right, lower, from hairline to chin; drawn by hand
SIDES = (300, 512)  # pixels of a window: the shortest and the longest
SHAPES = ("200x200", "200x300", "300x200", "320x180", "180x320")
WINDOWS = 200
SEED = 1

type Pixels = tuple[int, int, int, int]  # left, upper, right, lower


def windows(photo: Image.Image, count: int, rng: random.Random) -> list[Pixels]:
    """Windows of the photo that contain the whole face."""
    found: list[Pixels] = []
    while len(found) < count:
        width, height = rng.randint(*SIDES), rng.randint(*SIDES)
        left, upper = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
        if left <= FACE[0] and upper <= FACE[1] and left + width >= FACE[2] and upper + height >= FACE[3]:
            found.append((left, upper, left + width, upper + height))
    return found


def kept(window: Pixels, shape: str, faces: list[geometry.Box]) -> float:
    """The fraction of the face's area that the crop shows, from 0 to 1."""
    size = (window[2] - window[0], window[3] - window[1])
    [spec] = renditions.parse(f"crop={shape}:cover")
    plan = geometry.plan(size, spec)
    scale = plan.scaled[0] / size[0]
    crop = geometry.around(plan.scaled, plan.size, faces)
    shown = 1.0
    for start, end, low, high in ((FACE[0], FACE[2], 0, 2), (FACE[1], FACE[3], 1, 3)):
        first, last = (start - window[low]) * scale, (end - window[low]) * scale
        shown *= max(0.0, min(last, crop[high]) - max(first, crop[low])) / (last - first)
    return shown


def located(detectors: Detectors, image: Image.Image) -> list[geometry.Box]:
    """The faces in an image, as the stand-in finds them."""
    return [(one.left, one.top, one.width, one.height) for one in detectors.faces(np.asarray(image.convert("RGB")))]


def draw(photo: Image.Image, examples: list[tuple[Pixels, str]], detectors: Detectors) -> Image.Image:
    """A row for each example: the picture with its face outlined, and the crops of `cover` and of `cover:face`."""
    rows = []
    for window, shape in examples:
        picture = photo.crop(window)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=95)
        data = file.getvalue()
        specs = renditions.parse(f"centre={shape}:cover face={shape}:cover:face")
        made = render(data, probe(InMemory(data)), specs, lambda jpeg, size: located(detectors, _opened(jpeg)))
        outlined = picture.copy()
        for left, top, width, height in located(detectors, picture):
            corners = (left, top, left + width, top + height)
            box = [round(side * picture.size[place % 2]) for place, side in enumerate(corners)]
            ImageDraw.Draw(outlined).rectangle(box, outline="yellow", width=3)
        rows.append([outlined, *(_opened(made.renditions[name].data) for name in ("centre", "face"))])
    height, gap = 160, 10
    rows = [[image.resize((image.width * height // image.height, height)) for image in row] for row in rows]
    widths = [max(row[column].width for row in rows) for column in range(3)]
    sheet = Image.new("RGB", (sum(widths) + 4 * gap, len(rows) * (height + gap) + gap), "white")
    for number, row in enumerate(rows):
        for column, image in enumerate(row):
            sheet.paste(image, (sum(widths[:column]) + (column + 1) * gap, gap + number * (height + gap)))
    return sheet


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def main() -> None:
    """Print a Markdown table, and draw the picture."""
    photo, detectors = Image.open(PHOTO).convert("RGB"), Detectors()
    chosen = windows(photo, WINDOWS, random.Random(SEED))
    faces = {window: located(detectors, photo.crop(window)) for window in chosen}
    print("| box | face kept by `cover` | by `cover:face` | whole face kept by `cover` | by `cover:face` |")
    print("| --- | --- | --- | --- | --- |")
    for shape in SHAPES:
        centre = [kept(window, shape, []) for window in chosen]
        around = [kept(window, shape, faces[window]) for window in chosen]
        means = [f"{100 * statistics.fmean(values):.0f} %" for values in (centre, around)]
        wholes = [f"{100 * statistics.fmean(value > 0.999 for value in values):.0f} %" for values in (centre, around)]
        print(f"| {' | '.join((shape, *means, *wholes))} |")
    print(f"\nA face was found in {sum(map(bool, faces.values()))} of {len(chosen)} windows.")
    worst = {shape: min(chosen, key=lambda window: kept(window, shape, [])) for shape in SHAPES}
    examples = [(worst[shape], shape) for shape in ("200x200", "320x180", "180x320")]
    draw(photo, examples, detectors).save(PICTURE, quality=82)


if __name__ == "__main__":
    main()

"""Photo-like pictures of any size, made of the sample photos once and kept: what is measured needs no download."""

import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter
from pillow_heif import register_heif_opener

PHOTOS = Path(__file__).parent.parent / "local" / "photos"

_SIZES = {8: (3264, 2448), 12: (4000, 3000), 24: (6000, 4000), 48: (8000, 6000)}  # megapixels: width, height
_TILES_ACROSS = 4
_NOISE = 7  # standard deviation; with it a 12 megapixel JPEG has 4.4 MB, as phones' have


def _with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(ImageChops.invert(Image.radial_gradient("L").resize(image.size)))
    return image


def _unchanged(image: Image.Image) -> Image.Image:
    return image


# name: megapixels, file name's extension, what to do before saving, how to save
_KINDS: dict[str, tuple[int, str, Callable[[Image.Image], Image.Image], dict]] = {
    "JPEG 8 MP": (8, "jpg", _unchanged, {"quality": 90}),
    "JPEG 12 MP": (12, "jpg", _unchanged, {"quality": 90}),
    "JPEG 24 MP": (24, "jpg", _unchanged, {"quality": 90}),
    "JPEG 48 MP": (48, "jpg", _unchanged, {"quality": 90}),
    "JPEG 24 MP progressive": (24, "jpg", _unchanged, {"quality": 90, "progressive": True}),
    "PNG 12 MP": (12, "png", _unchanged, {}),
    "PNG RGBA 12 MP": (12, "png", _with_alpha, {}),
    "WebP 12 MP": (12, "webp", _unchanged, {"quality": 85, "method": 2}),
    "TIFF 12 MP": (12, "tif", _unchanged, {"compression": "tiff_lzw"}),
    "AVIF 12 MP": (12, "avif", _unchanged, {"quality": 70, "speed": 8}),
    "HEIC 12 MP": (12, "heic", _unchanged, {"quality": 70, "tile_size": 512}),  # in tiles, as phones do
}
NAMES = tuple(_KINDS)

register_heif_opener()


def picture(name: str, folder: Path) -> Path:
    """The file of one of NAMES, made if `folder` doesn't hold it yet."""
    megapixels, extension, prepare, settings = _KINDS[name]
    path = folder / f"{name.replace(' ', '-').lower()}.{extension}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_stem("unfinished")
        prepare(_mosaic(*_SIZES[megapixels])).save(unfinished, **settings)
        unfinished.rename(path)
    return path


def photos(folder: Path) -> dict[str, Path]:
    """The intact photos in `folder`, by format, size and file name.

    Those with an ICC profile are left out, because the naive way, which is the reference for quality, would ignore it.
    Prints which files are left out. Raises SystemExit if `folder` is none, or if no photo is left.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder")
    found = {}
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        try:
            with Image.open(path) as image:
                image.load()
        except OSError as error:
            print(f"left out: {path.name}: {error}")
            continue
        if "icc_profile" in image.info:
            print(f"left out: {path.name} has an ICC profile")
            continue
        found[f"{image.format} {round(image.width * image.height / 1e6)} MP {path.name}"] = path
    if not found:
        raise SystemExit(f"{folder} has no intact photo without an ICC profile")
    return found


def _mosaic(width: int, height: int) -> Image.Image:
    """The photos side by side, enlarged and sharpened, under fine noise, as a sensor's: always the same pixels but
    for the noise."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.*[gp]"))]
    dice = random.Random(f"{width}x{height}")
    tile = width // _TILES_ACROSS
    mosaic = Image.new("RGB", (width, height))
    places = [(x, y) for y in range(0, height, tile) for x in range(0, width, tile)]
    for index, place in enumerate(places):
        photo = photos[index % len(photos)]
        side = min(photo.size)
        left, upper = dice.randint(0, photo.width - side), dice.randint(0, photo.height - side)
        enlarged = photo.resize((tile, tile), Image.Resampling.LANCZOS, (left, upper, left + side, upper + side))
        mosaic.paste(enlarged.filter(ImageFilter.UnsharpMask(max(1, tile / side), 80, 0)), place)
    noise = Image.effect_noise((width, height), _NOISE).convert("RGB")
    return ImageChops.add(mosaic, noise, offset=-128)

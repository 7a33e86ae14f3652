"""A picture's look in a few bytes: its main colours, a hash for finding near-duplicates, and a blurred preview.

All are computed from the pixels of the smallest rendition before it is encoded, which takes 3 ms. The palette alone
would take 800 ms from an original of 12 megapixels.
"""

import base64
import math
from dataclasses import dataclass

from PIL import Image

MAX_COLORS = 6
_MIN_SHARE = 0.01  # colours on less than a hundredth of the pixels are left out
_PALETTE_SIDE = 50  # pixels: pictures are reduced to this before their palette is taken; 100 takes six times as long
_THUMBHASH_SIDE = 24  # pixels: its highest frequency has seven half-waves, so that more would add nothing


@dataclass(frozen=True, slots=True)
class Color:
    """One of a picture's main colours."""

    hex: str  # "#rrggbb", sRGB
    share: float  # of the pixels, 0 to 1

    def to_state(self) -> dict[str, str | float]:
        """PascalCase, for state data."""
        return {"Hex": self.hex, "Share": self.share}


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Three descriptions of one picture, under 500 bytes in all."""

    palette: tuple[Color, ...]  # most common first, at most MAX_COLORS
    dhash: str  # 16 hexadecimal digits
    thumbhash: str  # base64, at most 25 bytes decoded


def take(image: Image.Image) -> Fingerprints:
    """The fingerprints of an image in L, LA, RGB or RGBA. Palette and hash are those of the image on white."""
    rgba = image.convert("RGBA")
    on_white = Image.new("RGB", image.size, "white")
    on_white.paste(rgba, mask=rgba.getchannel("A"))
    return Fingerprints(palette(on_white), dhash(on_white), thumbhash(rgba))


def palette(image: Image.Image) -> tuple[Color, ...]:
    """The main colours of an image in RGB, by median cut."""
    small = image.copy()
    small.thumbnail((_PALETTE_SIDE, _PALETTE_SIDE), Image.Resampling.BOX)
    reduced = small.quantize(MAX_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    channels = reduced.getpalette() or []
    pixels = small.width * small.height
    shares = sorted(((count / pixels, index) for index, count in enumerate(reduced.histogram()) if count), reverse=True)
    return tuple(
        Color("#{:02x}{:02x}{:02x}".format(*channels[3 * index : 3 * index + 3]), round(share, 3))
        for share, index in shares
        if share >= _MIN_SHARE
    )


def dhash(image: Image.Image) -> str:
    """The difference hash (N. Krawetz): for 8 rows of 9 pixels, whether each is brighter than the next.

    Scaled or recompressed copies of one picture differ in only a few of the 64 bits.
    """
    shades = image.convert("L").resize((9, 8), Image.Resampling.LANCZOS).tobytes()
    bits = [shades[9 * y + x] > shades[9 * y + x + 1] for y in range(8) for x in range(8)]
    return f"{sum(bit << 63 - place for place, bit in enumerate(bits)):016x}"


def thumbhash(image: Image.Image) -> str:
    """Evan Wallace's ThumbHash of an image in RGBA: the lowest frequencies of its colours, for a placeholder.

    The format is that of github.com/evanw/thumbhash: luma, two colour differences and alpha, each a small cosine
    transform, its average and its largest coefficient in six to four bits, the others in four.
    """
    image = image.copy()
    image.thumbnail((_THUMBHASH_SIDE, _THUMBHASH_SIDE), Image.Resampling.BOX)
    width, height = image.size
    alpha = [a / 255 for a in image.getchannel("A").tobytes()]
    opacity = sum(alpha)
    colors = []
    for band in "RGB":
        values = [value / 255 * a for value, a in zip(image.getchannel(band).tobytes(), alpha, strict=True)]
        average = sum(values) / opacity if opacity else 0
        colors.append([average * (1 - a) + value for value, a in zip(values, alpha, strict=True)])
    luma = [(r + g + b) / 3 for r, g, b in zip(*colors, strict=True)]
    yellow_blue = [(r + g) / 2 - b for r, g, b in zip(*colors, strict=True)]
    red_green = [r - g for r, g, _ in zip(*colors, strict=True)]

    has_alpha = opacity < width * height
    most = 5 if has_alpha else 7
    across = max(1, _half_up(most * width / max(width, height)))
    down = max(1, _half_up(most * height / max(width, height)))
    luma_wave = _Wave.of(luma, width, max(3, across), max(3, down))
    yellow_wave = _Wave.of(yellow_blue, width, 3, 3)
    red_wave = _Wave.of(red_green, width, 3, 3)

    is_landscape = width > height
    first = (
        _half_up(63 * luma_wave.average)
        | _half_up(31.5 + 31.5 * yellow_wave.average) << 6
        | _half_up(31.5 + 31.5 * red_wave.average) << 12
        | _half_up(31 * luma_wave.scale) << 18
        | has_alpha << 23
    )
    second = (
        (down if is_landscape else across)
        | _half_up(63 * yellow_wave.scale) << 3
        | _half_up(63 * red_wave.scale) << 9
        | is_landscape << 15
    )
    hashed = bytearray(first.to_bytes(3, "little") + second.to_bytes(2, "little"))
    waves = [luma_wave, yellow_wave, red_wave]
    if has_alpha:
        alpha_wave = _Wave.of(alpha, width, 5, 5)
        hashed.append(_half_up(15 * alpha_wave.average) | _half_up(15 * alpha_wave.scale) << 4)
        waves.append(alpha_wave)
    nibbles = [_half_up(15 * step) for wave in waves for step in wave.steps]
    nibbles += [0] * (len(nibbles) % 2)
    hashed += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return base64.b64encode(hashed).decode()


@dataclass(frozen=True, slots=True)
class _Wave:
    """The lowest frequencies of one channel."""

    average: float
    scale: float  # the largest coefficient
    steps: list[float]  # the others as 0 to 1, 0.5 being none, row by row

    @classmethod
    def of(cls, values: list[float], width: int, across: int, down: int) -> "_Wave":
        """The cosine transform of `values`, rows of `width`, up to a triangle of `across` by `down` frequencies."""
        height = len(values) // width
        waves_x = [[math.cos(math.pi / width * cx * (x + 0.5)) for x in range(width)] for cx in range(across)]
        waves_y = [[math.cos(math.pi / height * cy * (y + 0.5)) for y in range(height)] for cy in range(down)]
        rows = [values[y * width : (y + 1) * width] for y in range(height)]
        by_row = [[math.sumprod(row, wave) for row in rows] for wave in waves_x]
        coefficients = [
            math.sumprod(by_row[cx], waves_y[cy]) / len(values)
            for cy in range(down)
            for cx in range(across)
            if cx * down < across * (down - cy)
        ]
        average, *others = coefficients
        scale = max(map(abs, others))
        return cls(average, scale, [0.5 + 0.5 * other / scale if scale else 0.0 for other in others])


def _half_up(value: float) -> int:
    """Rounded as in JavaScript, the language of the format's reference implementation."""
    return math.floor(value + 0.5)

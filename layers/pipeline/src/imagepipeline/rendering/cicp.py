"""Colour spaces that AVIF, HEIC and PNG files state by code points (ITU-T H.273) instead of a profile.

An ICC profile is built from the code points, and Little CMS applies it like any other.
"""

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple


class CodePoints(NamedTuple):
    """The first two fields of a `colr` box of type nclx, and of a cICP chunk."""

    primaries: int
    transfer: int


# XYZ of red, green and blue for ITU-R BT.709, ITU-R BT.2020 and Display P3, whose white point is D65, adapted
# (Bradford) to D50, the white point of ICC's profile connection space.
_PRIMARIES = {
    1: ("BT.709", ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))),
    9: ("BT.2020", ((0.67348, 0.27904, -0.00194), (0.16566, 0.67535, 0.02998), (0.12505, 0.04561, 0.79686))),
    12: ("Display P3", ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))),
}
_D50 = (0.9642, 1.0, 0.8249)
_CURVE_STEPS = 4096  # many, because HDR's curves are steep in the shadows

# ITU-R BT.2408: the luminance of diffuse white in HDR, and the peak of the display it assumes.
_WHITE, _PEAK = 203, 1000  # cd/m²
# Relative to white: darker light is unchanged, and all brighter light is compressed into the rest.
_KNEE = 0.6


def _srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _pq(value: float) -> float:
    """SMPTE ST 2084, whose peak is 10,000 cd/m²."""
    power = value ** (32 / 2523)
    light = max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return _in_range(10_000 / _WHITE * light ** (16384 / 2610))


def _hlg(value: float) -> float:
    """ARIB STD-B67, on a display of 1,000 cd/m²."""
    scene = value**2 / 3 if value <= 0.5 else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return _in_range(_PEAK / _WHITE * scene**1.2)


def _in_range(light: float) -> float:
    """Light relative to white, compressed to 0 to 1: unchanged up to the knee, approaching 1 above it."""
    room = 1 - _KNEE
    return light if light <= _KNEE else _KNEE + room * (1 - math.exp((_KNEE - light) / room))


_CURVES: dict[int, tuple[str, Callable[[float], float]]] = {
    # BT.709, BT.601 and BT.2020 define the curves of cameras; displays show them much like sRGB.
    **dict.fromkeys((1, 2, 6, 13, 14, 15), ("", _srgb)),
    4: ("gamma 2.2", lambda value: value**2.2),
    5: ("gamma 2.8", lambda value: value**2.8),
    8: ("linear", lambda value: value),
    16: ("PQ", _pq),
    18: ("HLG", _hlg),
}


@lru_cache(maxsize=8)
def profile(stated: CodePoints) -> bytes | None:
    """An ICC profile (version 2) for the code points; empty for sRGB, None for unknown ones."""
    if stated.primaries not in _PRIMARIES or stated.transfer not in _CURVES:
        return None
    space, colorants = _PRIMARIES[stated.primaries]
    curve_name, curve = _CURVES[stated.transfer]
    if stated.primaries == 1 and not curve_name:
        return b""
    steps = (round(65535 * min(max(curve(step / (_CURVE_STEPS - 1)), 0), 1)) for step in range(_CURVE_STEPS))
    curve_tag = struct.pack(f">4s4xI{_CURVE_STEPS}H", b"curv", _CURVE_STEPS, *steps)
    name = f"{space} {curve_name}".strip().encode() + b"\0"
    tags = {
        b"desc": struct.pack(">4s4xI", b"desc", len(name)) + name + bytes(78),
        b"wtpt": _xyz(_D50),
        **{tag: _xyz(color) for tag, color in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve_tag),
    }
    return _assembled(tags)


def _xyz(values: tuple[float, ...]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    table, contents, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(contents), len(content))
        contents += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI4s4s4s12x4s28x", start + len(contents), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    illuminant = struct.pack(">3I", *(round(value * 65536) for value in _D50))
    return header + illuminant + bytes(48) + struct.pack(">I", len(tags)) + table + contents

"""A few facts that a camera recorded in a picture's EXIF data, of bounded size whatever the data are.

Tags, types and units are those of CIPA DC-008 (Exif 3.0). Only three directories are read (the picture's, Exif's and
GPS's), a tag is decoded only on demand, and no pointer is followed twice, so broken or looping data cost no more than
valid data. Facts that cannot be read are absent.
"""

import re
import struct
from dataclasses import dataclass
from datetime import datetime

MAX_TEXT = 100  # characters of a camera's or a lens's name
_MAX_TEXT_BYTES = 400
_MAX_ENTRIES = 500  # of a directory; cameras write under a hundred

_ORIENTATION, _MAKE, _MODEL = 0x0112, 0x010F, 0x0110
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_EXPOSURE_TIME, _F_NUMBER, _ISO, _RECOMMENDED_ISO = 0x829A, 0x829D, 0x8827, 0x8832
_FLASH, _FOCAL_LENGTH, _FOCAL_LENGTH_35MM, _LENS_MAKE, _LENS_MODEL = 0x9209, 0x920A, 0xA405, 0xA433, 0xA434
_TAKEN = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))  # date, fraction, offset: original, then digitised
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE, _GPS_STATUS = 1, 2, 3, 4, 5, 6, 9

_ISO_BEYOND_16_BITS = 65_535
_FLASH_FIRED = 0x01

_TEXT_TYPES = (2, 129)  # ASCII, and UTF-8 since Exif 3.0
# BYTE, SHORT, LONG, RATIONAL, SLONG, SRATIONAL; FLOAT and DOUBLE, which some software writes instead of a ratio.
_NUMBER_FORMATS = {1: "B", 3: "H", 4: "I", 5: "II", 9: "i", 10: "ii", 11: "f", 12: "d"}

_TIFF_HEADER = re.compile(rb"II\*\x00|MM\x00\*")
_HEADER_WITHIN = 16  # "Exif\0\0" comes before it in JPEG, in HEIC also a length
_DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")


def orientation(exif: bytes | None) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    value = _Tiff.of(exif).first_directory().number(_ORIENTATION)
    return int(value) if value is not None and value in range(1, 9) else 1


def facts(exif: bytes | None, *, location: bool = False) -> dict[str, object]:
    """PascalCase facts for state data and record: text, int, bool, and floats of at most six decimals.

    `exif` is the raw block as Pillow's `info["exif"]` has it, or a whole TIFF file. `location` adds where it was taken.
    """
    tiff = _Tiff.of(exif)
    picture = tiff.first_directory()
    camera = tiff.directory(picture.number(_EXIF_DIRECTORY))
    found = {
        "Camera": _name(picture.text(_MAKE), picture.text(_MODEL)),
        "Lens": _name(camera.text(_LENS_MAKE), camera.text(_LENS_MODEL)),
        "TakenAt": _taken_at(camera),
        "ExposureTime": _exposure_time(camera.number(_EXPOSURE_TIME)),
        "FNumber": _positive(camera.number(_F_NUMBER), 2, below=1000),
        "Iso": _iso(camera),
        "FocalLength": _positive(camera.number(_FOCAL_LENGTH), 2, below=100_000),
        "FocalLength35mm": _positive(camera.number(_FOCAL_LENGTH_35MM), 0, below=_ISO_BEYOND_16_BITS),
        "FlashFired": _flash_fired(camera.number(_FLASH)),
        "Location": _location(tiff.directory(picture.number(_GPS_DIRECTORY))) if location else None,
    }
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Directory:
    """The tags of one directory: type, count, and the four bytes that hold the value or where it is."""

    data: bytes
    order: str  # "<" or ">"
    entries: dict[int, tuple[int, int, bytes]]

    def numbers(self, tag: int, count: int) -> list[float | None]:
        """The first `count` values of a tag, or fewer if it has fewer; None stands for a division by zero."""
        kind, has, field = self.entries.get(tag, (0, 0, b""))
        number_format = _NUMBER_FORMATS.get(kind)
        if not number_format:
            return []
        size = struct.calcsize("=" + number_format)
        data = self._value(field, size * has)[: size * min(count, has)]
        values = struct.iter_unpack(self.order + number_format, data[: len(data) // size * size])
        return [_number(*value) for value in values]

    def number(self, tag: int) -> float | None:
        return next(iter(self.numbers(tag, 1)), None)

    def text(self, tag: int) -> str:
        """The printing characters of a text up to its first zero byte; empty if the tag is missing or not a text."""
        kind, has, field = self.entries.get(tag, (0, 0, b""))
        if kind not in _TEXT_TYPES:
            return ""
        raw = self._value(field, has)[:_MAX_TEXT_BYTES].partition(b"\0")[0]
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def _value(self, field: bytes, size: int) -> bytes:
        if size <= len(field):
            return field[:size]
        (offset,) = struct.unpack(self.order + "I", field)
        return self.data[offset : offset + min(size, _MAX_TEXT_BYTES)]


@dataclass(frozen=True, slots=True)
class _Tiff:
    """A TIFF block, the format of EXIF data."""

    data: bytes
    order: str

    @classmethod
    def of(cls, exif: bytes | None) -> "_Tiff":
        """The block that begins near the start of `exif`, or an empty one."""
        header = _TIFF_HEADER.search(exif[: _HEADER_WITHIN + 4]) if exif else None
        if exif is None or header is None:
            return cls(b"", "<")
        return cls(exif[header.start() :] if header.start() else exif, "<" if header[0][:1] == b"I" else ">")

    def first_directory(self) -> _Directory:
        header = self.data[4:8]
        return self.directory(struct.unpack(self.order + "I", header)[0] if len(header) == 4 else None)

    def directory(self, offset: float | None) -> _Directory:
        """The directory at an offset, or an empty one if the offset is invalid."""
        if not isinstance(offset, int) or offset < 8:
            return _Directory(self.data, self.order, {})
        count = int.from_bytes(self.data[offset : offset + 2], "little" if self.order == "<" else "big")
        table = self.data[offset + 2 : offset + 2 + 12 * min(count, _MAX_ENTRIES)]
        entries = struct.iter_unpack(self.order + "HHI4s", table[: len(table) // 12 * 12])
        return _Directory(self.data, self.order, {tag: (kind, has, field) for tag, kind, has, field in entries})


def _number(value: float, denominator: int = 1) -> float | None:
    if not denominator:
        return None
    return value / denominator if denominator != 1 else value


def _positive(value: float | None, digits: int, *, below: float) -> float | int | None:
    """The rounded value if it is between zero and `below`, a whole number as int."""
    if value is None or not 0 < value < below:
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _name(make: str, model: str) -> str | None:
    """Maker and model, without repeating the maker: "Apple iPhone 12", but "NIKON D90"."""
    first_word = make.partition(" ")[0].lower()
    name = model if first_word and model.lower().startswith(first_word) else f"{make} {model}".strip()
    return name[:MAX_TEXT].strip() if any(character.isalnum() for character in name) else None


def _taken_at(camera: _Directory) -> str | None:
    """ISO 8601, with an offset from UTC if the camera recorded one; without, it is the camera's local time."""
    for date_tag, fraction_tag, offset_tag in _TAKEN:
        date = _DATE.match(camera.text(date_tag))
        if not date:
            continue
        try:
            year, month, day, hour, minute, second = map(int, date.groups())
            moment = datetime(year, month, day, hour, minute, second).isoformat()  # noqa: DTZ001 (the camera has no zone)
        except ValueError:
            continue
        fraction = re.split(r"\D", camera.text(fraction_tag), maxsplit=1)[0][:6].rstrip("0")
        offset = _OFFSET.fullmatch(camera.text(offset_tag))
        return moment + ("." + fraction if fraction else "") + (offset[0] if offset else "")
    return None


def _exposure_time(seconds: float | None) -> str | None:
    """In photographers' notation: "1/125", "0.5", "30"."""
    if seconds is None or not 1e-6 < seconds < 1e6:
        return None
    return f"1/{round(1 / seconds)}" if seconds <= 0.25 else f"{round(seconds, 1):g}"


def _iso(camera: _Directory) -> float | None:
    iso = camera.number(_ISO)
    if iso == _ISO_BEYOND_16_BITS:
        iso = camera.number(_RECOMMENDED_ISO)
    return _positive(iso, 0, below=2**31)


def _flash_fired(flash: float | None) -> bool | None:
    return bool(flash & _FLASH_FIRED) if isinstance(flash, int) else None


def _location(gps: _Directory) -> dict[str, float] | None:
    """Decimal degrees, south and west negative, and metres above sea level; None unless both degrees are valid."""
    latitude = _degrees(gps, _LATITUDE, gps.text(_LATITUDE_REF), "N", "S", 90)
    longitude = _degrees(gps, _LONGITUDE, gps.text(_LONGITUDE_REF), "E", "W", 180)
    if latitude is None or longitude is None or gps.text(_GPS_STATUS) == "V":  # void: the receiver had no fix
        return None
    position = {"Latitude": latitude, "Longitude": longitude}
    altitude = _positive(gps.number(_ALTITUDE), 1, below=100_000)
    if altitude is not None:
        position["Altitude"] = -altitude if gps.number(_ALTITUDE_REF) in (1, 3) else altitude
    return position


def _degrees(gps: _Directory, tag: int, ref: str, positive: str, negative: str, most: int) -> float | None:
    parts = [part for part in gps.numbers(tag, 3) if part is not None]
    if len(parts) < 3 or ref not in (positive, negative):
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    if not 0 <= degrees <= most:
        return None
    return round(-degrees if ref == negative else degrees, 6)

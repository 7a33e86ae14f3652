"""Facts from EXIF data, whether valid or not."""

import io
import json
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from imagepipeline import exif
from tests.unit.samples import photo

MAKE, MODEL, ORIENTATION, CAMERA, GPS = 0x010F, 0x0110, 0x0112, 0x8769, 0x8825
PHONE = {
    0x9003: "2021:05:04 12:34:56",
    0x9291: "780",
    0x9011: "+02:00",
    0x829A: IFDRational(1, 125),
    0x829D: IFDRational(178, 100),
    0x8827: 125,
    0x920A: IFDRational(425, 100),
    0xA405: 26,
    0x9209: 0x19,
    0xA433: "Apple",
    0xA434: "iPhone 12 back camera 4.2mm f/1.6",
}
SYDNEY = {1: "S", 2: (33.0, 51.0, 24.5), 3: "E", 4: (151.0, 12.0, 0.0), 5: b"\0", 6: IFDRational(583, 10)}


def raw(picture: dict | None = None, camera: dict | None = None, gps: dict | None = None) -> bytes:
    """EXIF data as Pillow writes it, with these tags."""
    tags = Image.Exif()
    for tag, value in (picture or {}).items():
        tags[tag] = value
    tags.get_ifd(CAMERA).update(camera or {})
    tags.get_ifd(GPS).update(gps or {})
    return tags.tobytes()


def directory(*entries: tuple[int, int, int, bytes], order: str = "<", values: bytes = b"") -> bytes:
    """EXIF data of one directory, entry by entry (tag, type, count, four bytes), with values from offset 100."""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    table = b"".join(struct.pack(order + "HHI4s", *entry) for entry in entries)
    return (start + table).ljust(100, b"\0") + values


def test_a_phones_facts_are_read() -> None:
    data = raw({MAKE: "Apple", MODEL: "iPhone 12", ORIENTATION: 6}, PHONE, SYDNEY)

    assert exif.orientation(data) == 6
    assert exif.facts(data, location=True) == {
        "Camera": "Apple iPhone 12",
        "Lens": "Apple iPhone 12 back camera 4.2mm f/1.6",
        "TakenAt": "2021-05-04T12:34:56.78+02:00",
        "ExposureTime": "1/125",
        "FNumber": 1.78,
        "Iso": 125,
        "FocalLength": 4.25,
        "FocalLength35mm": 26,
        "FlashFired": True,
        "Location": {"Latitude": -33.856806, "Longitude": 151.2, "Altitude": 58.3},
    }


def test_the_location_is_read_only_on_request() -> None:
    assert "Location" not in exif.facts(raw({MAKE: "Apple"}, PHONE, SYDNEY))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_facts_are_found_in_pillows_exif_block(format_name: str) -> None:
    file = io.BytesIO()
    photo().save(file, format_name, exif=raw({MAKE: "Nikon", MODEL: "D90", ORIENTATION: 3}))

    data = Image.open(file).info["exif"]

    assert exif.orientation(data) == 3
    assert exif.facts(data)["Camera"] == "Nikon D90"


def test_a_tiff_is_its_own_exif() -> None:
    file = io.BytesIO()
    photo().save(file, "TIFF", tiffinfo={MAKE: "Epson", MODEL: "V600", ORIENTATION: 8})

    assert exif.orientation(file.getvalue()) == 8
    assert exif.facts(file.getvalue()) == {"Camera": "Epson V600"}


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(value: int) -> None:
    assert exif.orientation(raw({ORIENTATION: value})) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_are_read(order: str) -> None:
    six = struct.pack(order + "HH", 6, 0)

    assert exif.orientation(directory((ORIENTATION, 3, 1, six), order=order)) == 6


@pytest.mark.parametrize("data", [None, b"", b"Exif\0\0", b"Exif\0\0II*\0", b"II*\0\xff\xff\xff\xff", b"nonsense" * 9])
def test_no_data_have_no_facts(data: bytes | None) -> None:
    assert exif.orientation(data) == 1
    assert exif.facts(data, location=True) == {}


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("SONY", "ILCE-7M3", "SONY ILCE-7M3"),
        ("Apple ", " iPhone 12 ", "Apple iPhone 12"),
        ("Kodak", "", "Kodak"),
        ("", "DMC-FZ1000", "DMC-FZ1000"),
        ("bad\x07make", "tab\tbed\u202e", "bad make tab bed"),
        ("x" * 300, "y", "x" * 100),
    ],
)
def test_a_cameras_name_is_printable_and_does_not_repeat_the_maker(make: str, model: str, camera: str) -> None:
    values = make.encode() + b"\0" + model.encode() + b"\0"
    data = directory(
        (MAKE, 2, len(make.encode()) + 1, struct.pack("<I", 100)),
        (MODEL, 129, len(model.encode()) + 1, struct.pack("<I", 101 + len(make.encode()))),
        values=values,
    )
    if len(model) < 4:
        data = raw({MAKE: make, MODEL: model})

    assert exif.facts(data)["Camera"] == camera


def test_a_camera_without_a_name_has_none() -> None:
    assert "Camera" not in exif.facts(raw({MAKE: "   ", MODEL: "----"}))


@pytest.mark.parametrize(
    ("tags", "taken_at"),
    [
        ({0x9003: "2021:05:04 12:34:56"}, "2021-05-04T12:34:56"),
        ({0x9003: "2021-05-04T12:34:56"}, "2021-05-04T12:34:56"),
        ({0x9003: "2021:05:04 12:34:56", 0x9291: "000"}, "2021-05-04T12:34:56"),
        ({0x9003: "2021:05:04 12:34:56", 0x9291: "07"}, "2021-05-04T12:34:56.07"),
        ({0x9003: "2021:05:04 12:34:56", 0x9011: "-11:30"}, "2021-05-04T12:34:56-11:30"),
        ({0x9003: "2021:05:04 12:34:56", 0x9011: "   :  "}, "2021-05-04T12:34:56"),
        ({0x9003: "2021:05:04 12:34:56", 0x9011: "+99:00"}, "2021-05-04T12:34:56"),
        ({0x9004: "2021:05:04 12:34:56", 0x9012: "+01:00"}, "2021-05-04T12:34:56+01:00"),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "2021:05:04 12:34:56"}, "2021-05-04T12:34:56"),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "2021:02:30 12:34:56"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "yesterday"}, None),
    ],
)
def test_a_time_is_as_precise_as_the_camera_recorded_it(tags: dict, taken_at: str | None) -> None:
    assert exif.facts(raw(camera=tags)).get("TakenAt") == taken_at


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        ((1, 125), "1/125"),
        ((10, 80000), "1/8000"),
        ((1, 4), "1/4"),
        ((1, 2), "0.5"),
        ((13, 10), "1.3"),
        ((30, 1), "30"),
    ],
)
def test_an_exposure_is_in_photographers_notation(ratio: tuple[int, int], text: str) -> None:
    assert exif.facts(raw(camera={0x829A: IFDRational(*ratio)}))["ExposureTime"] == text


@pytest.mark.parametrize("tag", [0x829A, 0x829D, 0x920A])
@pytest.mark.parametrize("ratio", [(1, 0), (0, 0), (0, 1), (4294967295, 1)])
def test_an_invalid_ratio_is_dropped(tag: int, ratio: tuple[int, int]) -> None:
    assert exif.facts(raw(camera={tag: IFDRational(*ratio)})) == {}


def test_a_sensitivity_beyond_16_bits_is_found_in_its_other_tag() -> None:
    assert exif.facts(raw(camera={0x8827: 65535, 0x8832: 102_400}))["Iso"] == 102_400


def test_a_flash_that_did_not_fire_differs_from_an_unknown_one() -> None:
    assert exif.facts(raw(camera={0x9209: 0x10}))["FlashFired"] is False
    assert exif.facts(raw(camera={0x8827: 100})) == {"Iso": 100}


@pytest.mark.parametrize(
    "change",
    [
        {9: "V"},
        {1: "X"},
        {2: (91.0, 0.0, 0.0)},
        {4: (180.0, 0.0, 1.0)},
        {2: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))},
    ],
)
def test_an_invalid_location_is_dropped(change: dict) -> None:
    assert exif.facts(raw(gps=SYDNEY | change), location=True) == {}


def test_a_location_below_sea_level_has_a_negative_altitude() -> None:
    assert exif.facts(raw(gps=SYDNEY | {5: b"\1"}), location=True)["Location"]["Altitude"] == -58.3


def test_directories_in_a_loop_are_read_once() -> None:
    itself = struct.pack("<I", 8)

    assert exif.facts(directory((CAMERA, 4, 1, itself), (GPS, 4, 1, itself)), location=True) == {}


@pytest.mark.parametrize(
    "file",
    [
        partial(directory, (MAKE, 2, 4_000_000_000, struct.pack("<I", 100)), values=b"A" * 10_000_000),
        partial(directory, (MAKE, 2, 4, b"AAAA"), *[(tag, 3, 1, b"\1\0\0\0") for tag in range(20_000, 65_000)]),
    ],
    ids=["value", "directory"],
)
def test_a_huge_count_takes_no_more_memory_than_a_camera_would_need(file: Callable[[], bytes]) -> None:
    data = file()
    tracemalloc.start()

    found = exif.facts(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(found["Camera"]) == {"A"}
    assert peak < 500_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_values_that_are_not_numbers_are_dropped(value: float) -> None:
    assert exif.facts(raw(camera={0x829A: value, 0x829D: value, 0x8827: value, 0x920A: value}), location=True) == {}


GOOD = raw({MAKE: "Apple", MODEL: "iPhone 12", ORIENTATION: 6}, PHONE, SYDNEY)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@settings(max_examples=5 * settings.default.max_examples)
@given(
    mutated() | st.binary(max_size=400) | st.binary(max_size=400).map(lambda noise: b"Exif\0\0II*\0\x08\0\0\0" + noise)
)
def test_any_bytes_have_bounded_facts_that_json_can_carry(data: bytes) -> None:
    found = exif.facts(data, location=True)

    assert exif.orientation(data) in range(1, 9)
    assert len(json.dumps(found, allow_nan=False, ensure_ascii=False)) < 1000
    assert all(not isinstance(value, str) or value.isprintable() for value in found.values())

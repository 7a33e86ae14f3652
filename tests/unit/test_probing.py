"""Any file has a header that agrees with Pillow, or a named rejection, after few and bounded reads."""

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagepipeline.errors import DamagedImage, EmptyFile, ImageRejected, TooComplex, UnsupportedFormat
from imagepipeline.probing import probe, probe_whole
from imagepipeline.probing.ranges import KIB, MAX_BYTES_READ, Ranges
from tests.unit import samples
from tests.unit.samples import CountingSource, encoded

KINDS = [
    *[("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")],
    ("JPEG", "RGB", {"progressive": True}),
    *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    *[("GIF", mode, {}) for mode in ("P", "RGB")],
    *[("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)],
    *[("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")],
    *[("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")],
    ("TIFF", "RGB", {"big_tiff": True}),
    *[("BMP", mode, {}) for mode in ("P", "RGB")],
    *[("AVIF", mode, {}) for mode in ("L", "RGB", "RGBA")],
]
EXAMPLES = [encoded(format_name, mode, **options) for format_name, mode, options in KINDS]
EXAMPLES += [encoded(format_name, frames=3) for format_name in ("PNG", "GIF", "WEBP", "TIFF", "AVIF")]
EXAMPLES += [samples.heic(name) for name in ("photo", "alpha", "grey", "odd", "ten", "ten_alpha")]


@pytest.mark.parametrize(("format_name", "mode", "options"), KINDS)
def test_a_header_agrees_with_pillow(format_name: str, mode: str, options: dict) -> None:
    for size in ((40, 30), (1, 1), (301, 7)):
        data = encoded(format_name, mode, size, **options)

        header = probe(CountingSource(data))

        image = Image.open(io.BytesIO(data))
        assert (header.format, (header.width, header.height)) == (image.format, image.size)
        assert header.color_mode == image.mode


@pytest.mark.parametrize("format_name", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_the_frames_of_an_animation_are_counted(format_name: str) -> None:
    data = encoded(format_name, frames=5)

    assert probe_whole(data).frames == 5


def test_one_range_of_64_kib_is_enough_for_an_ordinary_file() -> None:
    for data in EXAMPLES:
        source = CountingSource(data + bytes(300 * KIB))

        probe(source)

        assert source.reads == [(0, 64 * KIB)], data[:24]


def test_reading_by_ranges_and_reading_the_whole_give_the_same_header() -> None:
    for data in EXAMPLES:
        assert probe(CountingSource(data)) == probe_whole(data)


def test_frames_beyond_the_bytes_read_are_counted_only_in_a_whole_file() -> None:
    data = encoded("GIF", "L", (400, 400), frames=30)

    first_look = probe(CountingSource(data))

    assert 1 <= first_look.frames < 30
    assert probe_whole(data).frames == 30


def test_an_empty_object_is_never_read() -> None:
    source = CountingSource(b"")

    with pytest.raises(EmptyFile):
        probe(source)

    assert source.reads == []


def zip_of(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


FOREIGN = {
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "an HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404</body></html>",
    "an XML document": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "text": '{"message": "not an image, ärgerlich"}'.encode(),
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "a Photoshop (PSD) file": b"8BPS\x00\x01",
    "a PostScript (EPS) file": b"%!PS-Adobe-3.0 EPSF-3.0",
    "a camera raw (CR2) file": b"II*\x00\x10\x00\x00\x00CR\x02\x00",
    "a camera raw (CR3) file": samples.box("ftyp", b"crx ", bytes(4), b"crx isom"),
    "a camera raw (RAF) file": b"FUJIFILMCCD-RAW 0201",
    "a camera raw (ORF) file": b"IIRO\x08\x00\x00\x00",
    "a camera raw (RW2) file": b"IIU\x00\x18\x00\x00\x00",
    "a HEIF file with a compact (mini) header": samples.box("ftyp", b"mif3", bytes(4)),
    "an MP4 video": samples.box("ftyp", b"isom", bytes(4), b"isomiso2avc1mp41"),
    "a QuickTime video": samples.box("ftyp", b"qt  ", bytes(4), b"qt  "),
    "a Matroska or WebM video": b"\x1a\x45\xdf\xa3\x01\x00\x00\x00",
    "an AVI video": b"RIFF\x00\x10\x00\x00AVI LIST",
    "a WAV sound": b"RIFF\x00\x10\x00\x00WAVEfmt ",
    "a RIFF file that is not WebP": b"RIFF\x00\x10\x00\x00CDR6vrsn",
    "a ZIP archive": zip_of("photo.jpg"),
    "a Microsoft Office document": zip_of("[Content_Types].xml"),
    "a JPEG 2000 image": b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 ",
    "a JPEG XL image": b"\xff\x0a\xfa\x1f",
    "a Windows icon (ICO)": b"\x00\x00\x01\x00\x01\x00\x10\x10",
    "a DICOM image": bytes(128) + b"DICM\x02\x00",
    "nothing but zero bytes": bytes(5000),
    "of an unknown format": b"\x93NUMPY\x01\x00v\x00\xfe\xff\x80",
}


@pytest.mark.parametrize(("looks_like", "data"), FOREIGN.items())
def test_a_file_of_another_format_is_rejected_by_its_name(looks_like: str, data: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match=r"accepted formats are JPEG, PNG") as rejection:
        probe(CountingSource(data))

    assert str(rejection.value).startswith(f"the content is {looks_like};")


def test_a_text_that_begins_like_a_bitmap_is_text() -> None:
    with pytest.raises(UnsupportedFormat, match="the content is text"):
        probe(CountingSource(b"BMW makes cars, and this is a letter about one of them."))


def test_a_file_truncated_within_its_header_is_damaged() -> None:
    for data in EXAMPLES:
        with pytest.raises(DamagedImage):
            probe(CountingSource(data[:24]))


def test_a_header_that_is_not_found_within_4_mib_is_rejected() -> None:
    comment = b"\xfe" + b"#" * 65_000
    source = CountingSource(samples.jpeg_with_segments(*[comment] * 70))

    with pytest.raises(TooComplex):
        probe(source)

    assert source.bytes_read <= MAX_BYTES_READ
    assert len(source.reads) <= 6


def test_no_byte_is_read_twice() -> None:
    source = CountingSource(bytes(64 * KIB))
    ranges = Ranges(source)

    assert ranges.take(0, 10) + ranges.take(10, 64 * KIB - 10) == source.data

    assert len(source.reads) == 1


def test_a_source_shorter_than_its_size_is_damaged_and_not_read_forever() -> None:
    source = CountingSource(encoded("PNG")[:60])
    source.size = 10_000_000

    with pytest.raises(EOFError):
        Ranges(source).take(0, 100)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file with some bytes changed, cut out, doubled or cut off."""
    data = bytearray(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(len(data), 700) - 1))
        match draw(st.sampled_from(["set", "number", "cut", "double", "truncate"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "number":
                number = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF]))
                data[at : at + 4] = number.to_bytes(4, draw(st.sampled_from(["big", "little"])))
            case "cut":
                del data[at : at + draw(st.integers(1, 20))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 20))]
            case "truncate":
                del data[at + 1 :]
        if not data:
            break
    return bytes(data) or b"\0"


@settings(max_examples=5 * settings.default.max_examples)
@given(mutated())
def test_a_mutated_file_has_a_header_or_a_named_rejection(data: bytes) -> None:
    source = CountingSource(data + bytes(100 * KIB))

    try:
        header = probe(source)
    except ImageRejected:
        header = None

    assert header is None or (header.width > 0 and header.height > 0 and header.frames > 0)
    assert source.bytes_read <= MAX_BYTES_READ


@settings(max_examples=2 * settings.default.max_examples)
@given(st.sampled_from([data[:12] for data in EXAMPLES]) | st.just(b""), st.binary(max_size=300))
def test_noise_after_any_signature_has_a_header_or_a_named_rejection(signature: bytes, noise: bytes) -> None:
    try:
        header = probe(CountingSource(signature + noise or b"\0"))
    except ImageRejected:
        return

    assert header.pixels > 0

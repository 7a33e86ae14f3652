"""WebP headers."""

import pytest

from imagepipeline.errors import DamagedImage
from imagepipeline.probing import probe, probe_whole
from tests.unit.samples import CountingSource, encoded

LOSSY = encoded("WEBP")
LOSSLESS = encoded("WEBP", lossless=True)
EXTENDED = encoded("WEBP", "RGBA", exif=b"Exif\0\0II*\0")


def test_the_three_kinds_of_first_chunk_are_read() -> None:
    assert [data[12:16] for data in (LOSSY, LOSSLESS, EXTENDED)] == [b"VP8 ", b"VP8L", b"VP8X"]

    headers = [probe(CountingSource(data)) for data in (LOSSY, LOSSLESS, EXTENDED)]

    assert [(h.width, h.height, h.color_mode) for h in headers] == [(40, 30, "RGB"), (40, 30, "RGB"), (40, 30, "RGBA")]


def test_the_largest_lossless_picture_is_16384_pixels_wide() -> None:
    header = probe_whole(encoded("WEBP", size=(16383, 1), lossless=True))

    assert header.width == 16383


def test_frames_of_an_odd_length_are_padded() -> None:
    canvas = b"VP8X\x0a\0\0\0" + b"\x02\0\0\0" + b"\x27\0\0\x1d\0\0"
    frames = b"ANMF\x11\0\0\0" + bytes(18)
    content = b"WEBP" + canvas + frames * 3

    assert probe_whole(b"RIFF" + len(content).to_bytes(4, "little") + content).frames == 3


def test_a_file_shorter_than_its_riff_states_is_damaged() -> None:
    with pytest.raises(DamagedImage, match="should have"):
        probe(CountingSource(LOSSY[:-10]))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (LOSSY[:12] + b"ALPH" + LOSSY[16:], "holds no picture"),
        (LOSSY[:23] + b"\0" + LOSSY[24:], "VP8 key frame"),
        (LOSSY[:20] + bytes((LOSSY[20] | 1,)) + LOSSY[21:], "VP8 key frame"),
        (LOSSY[:26] + b"\0\0" + LOSSY[28:], "0x30"),
        (LOSSLESS[:20] + b"\x2e" + LOSSLESS[21:], "VP8L header"),
        (LOSSLESS[:24] + b"\xff" + LOSSLESS[25:], "VP8L header"),
    ],
)
def test_a_broken_header_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DamagedImage, match=problem):
        probe(CountingSource(data))

"""Files that are rejected before they cost anything, and the budget for the others."""

import re
from pathlib import Path

import pytest

from imagepipeline import limits, renditions
from imagepipeline.errors import FileTooLarge, TooComplex, TooManyPixels
from imagepipeline.limits import (
    DECODING_BYTES,
    DEFAULT_MAX_PIXELS,
    MIB,
    Limits,
    affordable_pixels,
    check,
    processor_seconds,
    worker_bytes,
)
from imagepipeline.models import Header

LIMITS = Limits(max_bytes=1000, max_pixels=DEFAULT_MAX_PIXELS)


def test_a_file_exactly_at_the_limits_passes() -> None:
    check(Header("PNG", 10_000, 10_000), 1000, LIMITS)


def test_one_byte_too_many_is_rejected() -> None:
    with pytest.raises(FileTooLarge, match="1,001 bytes; the limit is 1,000"):
        check(Header("PNG", 1, 1), 1001, LIMITS)


def test_one_pixel_too_many_is_rejected() -> None:
    with pytest.raises(TooManyPixels, match="10001x10000"):
        check(Header("PNG", 10_001, 10_000), 1, LIMITS)


def test_a_side_that_is_too_long_is_rejected() -> None:
    with pytest.raises(TooComplex, match="no side may be longer"):
        check(Header("PNG", 1, 90_000_000), 1, LIMITS)


def test_too_many_frames_times_pixels_are_rejected() -> None:
    check(Header("WEBP", 1920, 1080, frames=1900), 1, LIMITS)

    with pytest.raises(TooComplex, match="2,000 frames of 1920x1080 have 4,147 megapixels"):
        check(Header("WEBP", 1920, 1080, frames=2000), 1, LIMITS)


@pytest.mark.parametrize("format_name", ["WEBP", "AVIF", "HEIC"])
def test_a_format_that_needs_more_memory_a_pixel_may_have_fewer(format_name: str) -> None:
    with pytest.raises(TooManyPixels, match=r"limit is [678]\d"):
        check(Header(format_name, 10_000, 10_000), 1, LIMITS)


@pytest.mark.parametrize("header", [Header("JPEG", 1, 1), Header("JPEG", 1, 1, progressive=True), Header("TIFF", 1, 1)])
def test_other_formats_may_have_all_that_the_default_allows(header: Header) -> None:
    assert affordable_pixels(header) >= DEFAULT_MAX_PIXELS


def test_the_budget_is_of_the_memory_and_the_files_of_the_template() -> None:
    template = Path(__file__).parents[2].joinpath("template.yaml").read_text()
    function = template[template.index("  ThumbnailsFunction:") :]
    parameter = template[template.index("  MaxFileBytes:") :]

    assert int(re.search(r"MaxValue: (\d+)", parameter)[1]) == limits.MAX_FILE_BYTES
    assert int(re.search(r"MemorySize: (\d+)", function)[1]) * 2**20 == limits.FUNCTION_BYTES


@pytest.mark.parametrize("file_bytes", [0, 100 * MIB])
def test_the_worker_and_the_files_two_copies_fit_into_the_functions_memory(file_bytes: int) -> None:
    assert DECODING_BYTES + file_bytes <= worker_bytes(file_bytes)
    assert worker_bytes(file_bytes) + file_bytes < limits.FUNCTION_BYTES - 100 * MIB


@pytest.mark.parametrize(
    ("wanted", "seconds"), [(renditions.DEFAULT, 10), ("large=4096x4096:avif", 26), ("large=4096x4096:webp", 13)]
)
def test_large_renditions_extend_the_processor_time(wanted: str, seconds: int) -> None:
    assert processor_seconds(renditions.parse(wanted)) == seconds

"""No file costs more than the budget, however it was made: the classes that were found, each by an example."""

import resource
import time
from contextlib import suppress
from functools import partial

import pytest

from imagepipeline import limits, renditions
from imagepipeline.errors import DamagedImage, ImageRejected, TooComplex
from imagepipeline.probing import probe, probe_whole
from imagepipeline.probing.ranges import InMemory
from imagepipeline.rendering import decoding, isolation
from imagepipeline.rendering import render as render_here
from tests.unit import crafted, samples

SPECS = renditions.parse("small=20x20")

pytestmark = pytest.mark.slow


def processor_seconds() -> float:
    """Of this process and of those that it waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


@pytest.mark.parametrize(
    "file",
    [
        crafted.jpeg_of_stray_bytes,
        crafted.gif_of_tiny_blocks,
        crafted.tiff_with_tag,
        crafted.avif_with_references,
        crafted.avif_of_many_alphas,
        crafted.avif_of_many_properties,
        crafted.png_of_broken_texts,
    ],
)
def test_reading_a_header_takes_less_than_a_second(file):
    data = file()
    started = time.process_time()

    with suppress(ImageRejected):
        probe(InMemory(data))

    assert time.process_time() - started < 1


@pytest.mark.parametrize("file", [crafted.run_length_bmp, crafted.arithmetic_jpeg])
def test_a_file_whose_pixels_take_too_long_is_ended(file, monkeypatch):
    data = file()
    isolation.end_worker()
    monkeypatch.setattr(limits, "DECODING_SECONDS", 1)
    started = processor_seconds()

    with pytest.raises(TooComplex, match="seconds of processor time"):
        isolation.render(data, probe_whole(data), SPECS)

    assert processor_seconds() - started < 3


@pytest.mark.parametrize(("kind", "count", "tag"), [(3, 35_000_000, 339), (5, 20_000, 282), (12, 5_000_000, 320)])
def test_a_tiff_whose_tags_hold_too_many_numbers_is_refused(kind, count, tag):
    with pytest.raises(TooComplex, match="numbers or 10,000 fractions"):
        probe_whole(crafted.tiff_with_tag(kind, count, tag))


def test_the_texts_of_a_png_cost_nothing():
    data = crafted.png_of_broken_texts()
    started = time.process_time()

    render_here(data, probe_whole(data), SPECS)

    assert time.process_time() - started < 2  # inflating them takes a minute


@pytest.mark.parametrize("kind", [2, 3, 4, 12])
def test_a_profile_in_a_tag_of_another_type_is_ignored(kind):
    data = crafted.tiff_with_tag(kind, 2000, 34675)

    result = render_here(data, probe_whole(data), SPECS)

    assert result.picture.notes == ("broken ICC profile ignored",)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_states_more_pixels_than_it_can_code_is_damaged(progressive):
    with pytest.raises(DamagedImage, match="too few for 10000x10000 pixels"):
        probe_whole(crafted.jpeg_that_ends_early(progressive=progressive))


def test_the_emptiest_jpeg_there_is_passes():
    data = samples.encoded("JPEG", "L", (4000, 3000), quality=1, optimize=True, progressive=True)

    assert render_here(data, probe_whole(data), SPECS).picture.width == 4000


@pytest.mark.parametrize(
    "file",
    [
        partial(crafted.avif_that_states, 1000, 1000),
        partial(crafted.avif_that_states, 30, 20, coded=(3000, 2000)),
        lambda: samples.heic("photo").replace(samples.ispe(120, 80), samples.ispe(1000, 800)),
        partial(samples.heic_grid, stated=(4000, 3000)),
        partial(samples.heic_grid, size=(4000, 3000), stated=(230, 150)),
        partial(samples.heic_grid, tile_size=(240, 160)),
        partial(samples.heic_grid, tiles=3),
    ],
    ids=["larger", "smaller", "HEIC", "grid's header", "grid", "tile", "too few tiles"],
)
def test_a_heif_that_codes_another_size_than_it_states_is_refused(file):
    data = file()

    with pytest.raises((DamagedImage, TooComplex)):
        decode_nothing(data)


def decode_nothing(file):
    """Render, unless a decoder would be reached."""
    header = probe_whole(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "decoder", lambda _: pytest.fail("decoded all the same"))
        render_here(file, header, SPECS)


def test_a_grid_as_phones_write_it_is_rendered():
    data = samples.heic_grid()

    assert render_here(data, probe_whole(data), SPECS).picture.width == 230

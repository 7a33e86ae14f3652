"""A short run of the fuzzer; the long one is `python -m tests.fuzz --seconds 600`."""

import multiprocessing

import pytest
from hypothesis import settings

from tests import fuzz
from tests.unit import crafted, samples


@pytest.mark.slow
def test_broken_images_are_rendered_correctly_or_rejected_by_name() -> None:
    findings = fuzz.run(seed=2026, cases=10 * settings.default.max_examples)

    assert findings.bugs == []
    assert {format_name for format_name, _ in findings.outcomes} == {name for name, _ in fuzz.originals()}


def test_a_case_follows_from_its_seed_and_number() -> None:
    assert fuzz.broken(7, 42) == fuzz.broken(7, 42)
    assert fuzz.broken(7, 42) != fuzz.broken(8, 42)


@pytest.mark.slow
def test_the_search_for_costs_measures_time_memory_and_outcome() -> None:
    files = [crafted.plain("TIFF", "1", 10_000, compression="group4"), samples.encoded("TIFF")]

    # In a new process, because a forked one is charged for the memory that this one holds.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        bomb, good = pool.map(fuzz.cost, files)

    assert bomb.seconds > 0
    assert bomb.mib > good.mib
    assert (bomb.outcome, good.outcome) == ("rendered", "rendered")

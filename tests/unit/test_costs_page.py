"""docs/costs.md shows what the command computes."""

import re
import runpy
from pathlib import Path

import pytest

from bench import power
from cli import costs
from cli.costs import EXPRESS, STANDARD, Question, estimate
from imagepipeline import limits
from tests.template.stack import source

REPOSITORY = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(REPOSITORY / "docs" / "costs.py"))
PAGE = SCRIPT["PAGE"].read_text(encoding="utf-8")


def test_tables_are_up_to_date():
    assert SCRIPT["written"](PAGE) == PAGE, "run .venv/bin/python -m docs.costs"


@pytest.mark.parametrize("name", ["README.md", "docs/costs.md"])
def test_prose_states_the_computed_cost_of_a_thousand_images(name: str):
    text = " ".join((REPOSITORY / name).read_text(encoding="utf-8").split())

    for question in (
        Question(1_000_000),
        Question(1_000_000, labels=False),
        Question(1_000_000, EXPRESS),
        Question(1_000_000, EXPRESS, labels=False),
    ):
        total = estimate(question, costs.usage(), costs.prices()).total
        assert re.search(rf"\b{total / 1000:.2f}\b", text) or re.search(rf"\b{total:,.2f}\b", text), question


@pytest.mark.parametrize("name", ["README.md", "docs/costs.md"])
def test_prose_states_the_cost_of_an_idle_stack(name: str):
    idle = estimate(Question(0), costs.usage(), costs.prices()).monthly

    assert f"{idle:.2f} USD a month" in (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("tuned", power.tuned(costs.usage(), costs.prices()), ids=lambda tuned: tuned.name)
def test_memory_sizes_are_the_measured_choice(tuned: power.Tuned):
    assert source()["Resources"][tuned.name]["Properties"]["MemorySize"] == tuned.size


def test_the_thumbnails_function_has_room_for_its_worker():
    assert power.AT_LEAST_MB["ThumbnailsFunction"] == limits.worker_bytes(0) // limits.MIB


def test_every_parameter_and_option_that_the_page_names_exists():
    parameters = source()["Parameters"]

    for name in re.findall(r"`([A-Z][A-Za-z]+)=", PAGE):
        assert name in parameters, name


def test_express_is_cheaper_than_standard():
    question = {workflow: Question(1_000_000, workflow, labels=False) for workflow in (STANDARD, EXPRESS)}
    totals = {name: estimate(asked, costs.usage(), costs.prices()).total for name, asked in question.items()}

    assert totals[EXPRESS] < totals[STANDARD] / 3

"""The simulation of large days and bursts, and the page that shows its results."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from bench import scaling
from bench.quotas import EXPRESS_SECONDS, Account, Machine, read_definition
from bench.scaling import DAY, Load, Scaled, simulate
from cli import costs
from cli.costs import EXPRESS, STANDARD

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = json.loads(scaling.TARGET.read_text())
AGAIN = "simulate again: .venv/bin/python -m bench.scaling && .venv/bin/python -m docs.scaling"


# ------------------------------------------------------------------------------------------------------------ the page


def test_results_rest_on_the_current_retry_rules_and_durations():
    found, now = RESULTS["Inputs"], scaling.inputs()

    assert found["Retries"] == now["Retries"], AGAIN
    assert found["Transitions"] == now["Transitions"], AGAIN
    assert found["Steps"] == pytest.approx(now["Steps"], rel=0.15), AGAIN


def test_quotas_are_those_of_the_measured_usage():
    now = {binding.quota: binding.rate for binding in scaling.bindings(costs.usage())}

    assert {row["Quota"]: row["UploadsASecond"] for row in RESULTS["Bindings"]} == pytest.approx(now, rel=0.15), AGAIN


def test_pictures_and_table_are_up_to_date():
    script = runpy.run_path(str(DOCS / "scaling.py"))

    page = script["PAGE"].read_text(encoding="utf-8")
    assert script["written"](page) == page, "run .venv/bin/python -m docs.scaling"
    for file, drawn in script["pictures"]().items():
        assert file.read_text(encoding="utf-8") == drawn, "run .venv/bin/python -m docs.scaling"
        assert file.name in page


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "RekognitionThrottled"])
def test_pages_state_how_long_a_step_is_tried_again(error: str):
    step = next(step for step in Machine.from_asl(read_definition()).steps if step.name == "ExtractMetadata")
    rule = step.rules[step.first_match(error)]

    waits = (min(rule.interval * rule.backoff_rate**n, rule.max_delay) for n in range(rule.max_attempts))
    assert sum(waits) / 2 / 3600 == pytest.approx(8, abs=0.5)  # half of each, on average

    assert "tried again for about eight hours: see" in (DOCS / "scaling.md").read_text(encoding="utf-8")
    assert "last 8 hours, for Lambda and for Rekognition" in (DOCS / "quotas.md").read_text(encoding="utf-8")


def test_no_simulated_image_fails_or_lacks_labels():
    for load in RESULTS["Loads"]:
        assert (load["Failed"], load["WithoutLabels"]) == (0, 0), load["Name"]


# ------------------------------------------------------------------------------------------------------- the simulation


def at_once(images: int, workflow: str, *, executions: int = 1000, calls: float = 50, labels: bool = True) -> Load:
    return Load("a test's", images, Account(executions, calls), workflow, labels)


def test_executions_start_as_fast_as_the_quota_allows():
    standard = simulate(at_once(4000, STANDARD, labels=False, executions=10_000))
    express = simulate(at_once(4000, EXPRESS, labels=False, executions=10_000))

    assert standard["DrainSeconds"] == pytest.approx((4000 - 1300) / 300, abs=2)
    assert express["DrainSeconds"] <= 2


def test_an_express_execution_that_waits_too_long_is_begun_again():
    played = Scaled(at_once(600, EXPRESS, calls=1), seed=1).run()

    again = [image for image in played.images if image.resumptions]
    assert all(image.status == "COMPLETED" for image in played.images)
    assert again
    assert all(image.ended > EXPRESS_SECONDS for image in again)


def test_a_standard_execution_waits_as_long_as_it_takes():
    played = Scaled(at_once(600, STANDARD, calls=1), seed=1).run()

    assert not any(image.resumptions for image in played.images)
    assert max(image.ended for image in played.images) > EXPRESS_SECONDS


def test_a_day_has_its_peak_at_noon():
    arrivals = list(replace(at_once(10_000, STANDARD), over_a_day=True).arrivals())

    assert arrivals == sorted(arrivals)
    assert sum(moment < DAY / 2 for moment in arrivals) == pytest.approx(5000, abs=5)
    noon = sum(abs(moment - DAY / 2) < DAY / 48 for moment in arrivals)
    assert noon == pytest.approx(2 * 10_000 / 24, rel=0.02)


def test_a_tenth_of_images_and_quotas_takes_as_long():
    whole = simulate(at_once(10_000, STANDARD, executions=100, calls=50))
    tenth = simulate(replace(at_once(10_000, STANDARD, executions=100, calls=50), part=0.1))

    assert tenth["DrainSeconds"] == pytest.approx(whole["DrainSeconds"], rel=0.1)
    assert tenth["Refused"] == pytest.approx(whole["Refused"], rel=0.1)


def test_waiting_on_standard_costs_a_transition_for_each_retry():
    result = simulate(at_once(400, STANDARD, executions=5, labels=False))

    transition = costs.prices().by_name["step_functions_transition"].of(1)
    assert result["Refused"] > 0
    assert result["UsdForWaiting"] == pytest.approx(1000 * result["Refused"] * transition, abs=0.002)

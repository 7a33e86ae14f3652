"""docs/operations.md says what is so."""

import inspect
import json
import re
from pathlib import Path

import pytest

from cli import failures
from imagepipeline import errors

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "operations.md").read_text()
MACHINES = [
    json.loads((REPOSITORY / "statemachine" / f"{name}.asl.json").read_text())
    for name in ("image_pipeline", "housekeeping")
]
TASKS = [(name, state) for machine in MACHINES for name, state in machine["States"].items() if state["Type"] == "Task"]
FUNCTIONS = [(name, state) for name, state in TASKS if "lambda:invoke" in state["Resource"]]
TABLE_WRITES = [state for _, state in TASKS if ":dynamodb:" in state["Resource"]]
BASES = {errors.PipelineError, errors.ImageRejected}
REASONS = [
    name
    for name, thing in inspect.getmembers(errors, inspect.isclass)
    if issubclass(thing, errors.PipelineError) and thing not in BASES
]


def explained(heading: str) -> set[str]:
    """What stands in backticks in the first column of a section's tables."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def attempts(state: dict) -> int:
    return 1 + sum(retrier["MaxAttempts"] for retrier in state["Retry"])


def runs(state: dict) -> int:
    """Those attempts that reach the function: one that lacks concurrency is refused before."""
    refused = [r for r in state["Retry"] if r["ErrorEquals"] == ["Lambda.TooManyRequestsException"]]
    return attempts(state) - sum(retrier["MaxAttempts"] for retrier in refused)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_explained(reason: str) -> None:
    assert reason in explained("What each error means")


def test_no_reason_is_explained_that_there_is_none_of() -> None:
    of_aws = {name for name in explained("What each error means") if "." in name}

    assert explained("What each error means") - of_aws - {"Unannounced"} == set(REASONS)


def test_every_status_and_every_kind_of_failure_is_explained() -> None:
    kinds = failures.OF_RECORDS | {failures.UNDELIVERED, failures.NOT_REMOVED}

    assert explained("What a record says") >= {"PROCESSING", "COMPLETED", "REJECTED", "FAILED"} | kinds


@pytest.mark.parametrize(("name", "state"), FUNCTIONS)
def test_the_most_attempts_of_a_step_are_as_told(name: str, state: dict) -> None:
    assert f"| `{name}` | {attempts(state)} | {runs(state)} |" in GUIDE


@pytest.mark.parametrize("state", TABLE_WRITES)
def test_the_most_attempts_of_a_write_are_as_told(state: dict) -> None:
    assert f"| every write to the table | {attempts(state)} |" in GUIDE


def test_the_longest_run_is_as_told() -> None:
    assert f"none takes longer than {MACHINES[0]['TimeoutSeconds'] // 3600} hours" in GUIDE


def test_the_tries_at_a_notification_are_as_told() -> None:
    [tries] = {re.search(r">= (\d+)", json.dumps(machine["States"]["IsWorthAnotherTry"]))[1] for machine in MACHINES}

    assert f"A notification is tried {tries} times." in GUIDE


def test_every_log_group_is_named() -> None:
    template = (REPOSITORY / "template.yaml").read_text()

    for group in re.findall(r"LogGroupName: !Sub (\S+)", template):
        folder, name = group.replace("${AWS::StackName}", "<stack>").rsplit("/", 1)
        assert f"{folder}/" in GUIDE
        assert f"`{name}`" in GUIDE or f"{folder}/{name}" in GUIDE

"""docs/operations.md agrees with the code."""

import inspect
import json
import re
from concurrent.futures import FIRST_COMPLETED
from pathlib import Path

import pytest

from cli import decide, failures, following, upload
from imagepipeline import errors
from tests.template.stack import definition, of_type

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "operations.md").read_text()
PROSE = " ".join(GUIDE.split())
MACHINES = [definition(name) for name in ("image_pipeline", "housekeeping")]
TASKS = [(name, state) for machine in MACHINES for name, state in machine["States"].items() if state["Type"] == "Task"]
FUNCTIONS = [(name, state) for name, state in TASKS if "lambda:invoke" in state["Resource"]]
TABLE_WRITES = [state for _, state in TASKS if ":dynamodb:" in state["Resource"]]
QUOTAS = {"Lambda.TooManyRequestsException", "RekognitionThrottled"}
BASES = {errors.PipelineError, errors.ImageRejected, errors.ObjectUnreadable}
ERRORS = {
    name
    for name, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.PipelineError) and member not in BASES
}


def documented(heading: str) -> set[str]:
    """The names in backticks in the first column of a section's table."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def attempts(state: dict, but_for: set[str] = frozenset()) -> int:
    return 1 + sum(rule["MaxAttempts"] for rule in state["Retry"] if not but_for & set(rule["ErrorEquals"]))


def test_every_error_is_documented_and_no_other():
    of_aws = {name for name in documented("Errors") if "." in name}

    assert documented("Errors") - of_aws - {"Unannounced"} == ERRORS


def test_every_status_is_documented():
    assert documented("Record status") == {"Status", "PROCESSING", "COMPLETED", "HELD", "REJECTED", "FAILED"}


def test_every_result_of_a_command_is_documented():
    statuses = documented("Record status") - {"Status"}
    results = {
        value
        for module in (decide, following, upload)
        for name, value in vars(module).items()
        if name.isupper() and name == value and value != FIRST_COMPLETED
    }

    assert documented("Results of the commands") == results - statuses


def test_every_kind_of_failure_is_documented():
    kinds = failures.OF_RECORDS | {failures.HELD, failures.UNDELIVERED, failures.NOT_REMOVED}

    assert documented("Failures") == kinds | {"failures"}


ALARMS = of_type("AWS::CloudWatch::Alarm")


def test_every_alarm_has_a_section_and_no_other():
    section = GUIDE.split("\n## Alarms\n")[1].split("\n## ")[0]

    assert set(re.findall(r"^### (\w+)$", section, re.M)) == ALARMS.keys()


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_leads_to_its_section(name: str):
    assert f"docs/operations.md#{name.lower()}." in ALARMS[name]["AlarmDescription"]
    assert "image-pipeline" in ALARMS[name]["AlarmDescription"]


@pytest.mark.parametrize(("name", "state"), FUNCTIONS)
def test_the_runs_of_a_step_are_those_of_its_retry_rules(name: str, state: dict):
    assert f"| `{name}` | {attempts(state, QUOTAS)} |" in GUIDE


def test_the_table_lists_no_other_steps():
    assert documented("What a failure can cost") == {name for name, _ in FUNCTIONS}


@pytest.mark.parametrize("state", TABLE_WRITES)
def test_the_attempts_of_a_write_are_those_of_its_retry_rules(state: dict):
    assert f"A write to the table gets {attempts(state)} attempts" in PROSE


def test_the_attempts_of_a_notification_are_those_of_the_state_machine():
    [tries] = re.findall(r"Tries >= (\d+)", json.dumps(MACHINES[0]["States"]["RouteByRecordStatus"]))

    assert f"and a notification {tries} attempts" in PROSE


def test_the_number_of_resumptions_is_that_of_the_state_machine():
    limits = [re.findall(r"'TIMED_OUT' \? (\d+) : (\d+)", json.dumps(machine)) for machine in MACHINES[:2]]
    [express, most] = limits[1][0]
    [processed] = re.findall(r"Resumptions < (\d+)", json.dumps(MACHINES[0]))

    assert limits[0] == limits[1]  # the last execution that Housekeeping starts knows that it is the last
    assert (most, int(express)) == ("3", int(processed) + 3)
    assert PROSE.count("at most three times in a row") == 2
    assert f"up to {processed} times" in PROSE


def test_every_log_group_is_documented():
    template = (REPOSITORY / "template.yaml").read_text()

    for group in re.findall(r"LogGroupName: !Sub (\S+)", template):
        folder, name = group.replace("${AWS::StackName}", "<stack>").rsplit("/", 1)
        assert f"{folder}/" in GUIDE
        assert f"`{name}`" in GUIDE or f"{folder}/{name}" in GUIDE

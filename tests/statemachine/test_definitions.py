"""What holds for every state machine: names exist, retries end, and conditions follow the ordering rules."""

import json
import re
import unicodedata
from functools import cache
from urllib.parse import quote

import boto3
import pytest

from imagepipeline import errors, ordering
from imagepipeline.printable import printable
from tests.statemachine.machine import DEFINITIONS
from tests.template.stack import definition, source

FILES = {file.name.removesuffix(".asl.json"): file for file in sorted(DEFINITIONS.glob("*.asl.json"))}
MACHINES = {name: definition(name) for name in FILES}
TASKS = [
    (machine, name, state)
    for machine, whole in MACHINES.items()
    for name, state in whole["States"].items()
    if state["Type"] == "Task"
]
LAMBDA, SNS = "arn:${Partition}:states:::lambda:invoke", "arn:${Partition}:states:::sns:publish"

SUPERSEDED = {"UploadReplaced", "UploadGone", "Superseded", "FolderMarker"}
CONDITION_FAILED = {"DynamoDB.ConditionalCheckFailedException", "DynamoDb.ConditionalCheckFailedException"}
# Raised by the SDK that Step Functions calls Lambda with, so in no service model; its documentation says to retry them.
SDK_ERRORS = {"AWSLambdaException", "SdkClientException", "ClientExecutionTimeoutException"}
THROTTLED = "Lambda.TooManyRequestsException"
# What an account has too little of passes by itself, however long it takes.
QUOTAS = {THROTTLED, "RekognitionThrottled"}
# The longest that a call of a service without TimeoutSeconds takes; the SDKs give up after less.
SERVICE_CALL_SECONDS = 30
NOTIFICATION_TRIES = 8
LONGEST_EXECUTION = 7 * 86_400  # seconds: docs/operations.md promises a week


def names(rules: list[dict]) -> set[str]:
    """Every error that Retry or Catch names."""
    return {name for rule in rules for name in rule["ErrorEquals"]}


def test_every_definition_is_deployed():
    machines = [
        resource["Properties"]["DefinitionUri"]
        for resource in source()["Resources"].values()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    ]

    assert sorted(machines) == [f"statemachine/{file.name}" for file in FILES.values()]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_template_supplies_exactly_what_a_definition_asks_for(machine: str):
    asked = set(re.findall(r"\$\{(\w+)}", FILES[machine].read_text()))

    assert asked == properties(machine)["DefinitionSubstitutions"].keys()


def properties(machine: str) -> dict:
    """The state machine's properties in the template."""
    return next(
        resource["Properties"]
        for resource in source()["Resources"].values()
        if resource.get("Properties", {}).get("DefinitionUri") == f"statemachine/{machine}.asl.json"
    )


@pytest.mark.parametrize("workflow", ["STANDARD", "EXPRESS"])
@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached(machine: str, workflow: str):
    """Step Functions refuses the definition otherwise."""
    whole = definition(machine, workflow)

    reached, pending = set(), [whole["StartAt"]]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += following(whole["States"][name])

    assert reached == whole["States"].keys()


def test_a_definition_for_both_workflows_has_no_timeout():
    """AWS does not say whether it accepts a longer one than the five minutes of an Express workflow."""
    assert "TimeoutSeconds" not in MACHINES["image_pipeline"]


def following(of: dict) -> set[str]:
    rules = [of, *of.get("Choices", []), *of.get("Catch", [])]
    return {rule[link] for rule in rules for link in ("Next", "Default") if link in rule}


# ---------------------------------------------------------------------------------------------------------------- names


def test_every_error_that_is_named_exists():
    for _, name, task in TASKS:
        for error in names(task.get("Retry", []) + task.get("Catch", [])) - {"States.ALL"}:
            service, dot, shape = error.rpartition(".")
            if dot:
                assert shape in SDK_ERRORS | service_errors(service.lower()), f"{name}: {service} knows no {shape}"
            else:
                assert issubclass(getattr(errors, error), errors.PipelineError), name


@cache
def service_errors(service: str) -> set[str]:
    """Errors in botocore's model of a service."""
    model = boto3.client(service, region_name="us-east-1").meta.service_model
    return {shape.name for shape in model.error_shapes}


def test_a_caught_supersession_is_never_retried():
    for _, name, task in TASKS:
        caught = names(task.get("Catch", [])) & (SUPERSEDED | CONDITION_FAILED)

        assert not caught or rule_for(task, caught) == {"MaxAttempts": 0}, name


def rule_for(task: dict, errors: set[str]) -> dict:
    """The one rule that retries all these errors, without their names."""
    (rule,) = [rule for rule in task["Retry"] if errors & set(rule["ErrorEquals"])]
    assert set(rule["ErrorEquals"]) >= errors
    return {name: value for name, value in rule.items() if name != "ErrorEquals"}


def test_a_conditional_write_knows_both_spellings_of_its_refusal():
    for _, name, task in TASKS:
        mentioned = [
            set(rule["ErrorEquals"]) & CONDITION_FAILED for rule in task.get("Retry", []) + task.get("Catch", [])
        ]

        assert all(spellings in (set(), CONDITION_FAILED) for spellings in mentioned), name
        if "ConditionExpression" in task["Arguments"]:
            assert mentioned[0] == CONDITION_FAILED, name


def test_every_write_has_a_condition_of_the_ordering_rules():
    rules = {value for key, value in vars(ordering).items() if key.startswith("MAY_") or key == "OWNS_RECORD"}

    for _, name, task in TASKS:
        if task["Arguments"].get("TableName") == "${ImagesTable}":
            assert task["Arguments"]["ConditionExpression"] in rules, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("workflow", ["STANDARD", "EXPRESS"])
def test_every_notification_is_sent_right_after_a_check_of_ownership(machine: str, workflow: str):
    states = definition(machine, workflow)["States"]
    announcing = {name for name in states if states[name].get("Resource") == SNS}

    # An upload that no execution could record has no record that somebody could own.
    for before in states.keys() - {"RouteFailure"}:
        if following(states[before]) & announcing:
            assert checks_ownership(states, before), before


def checks_ownership(states: dict, name: str) -> bool:
    """Whether a state, or every state that leads to it without taking time, reads or writes the record it owns."""
    if states[name]["Type"] == "Task":
        return "ConditionExpression" in states[name]["Arguments"] or name == "StoreResult"
    leading = [before for before in states if name in following(states[before])]
    return states[name]["Type"] == "Choice" and all(checks_ownership(states, before) for before in leading)


# ----------------------------------------------------------------------------------------------------- printable text

# Every `$replace` with a regular expression, which in these definitions makes a text printable.
ESCAPED = {pattern for file in FILES.values() for pattern in re.findall(r", /(\[.+?])/, ", file.read_text())}
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = set("\u200e\u200f\u061c")  # left-to-right, right-to-left, Arabic letter


def test_state_machines_and_functions_escape_what_breaks_a_line():
    (pattern,) = ESCAPED
    escaped = re.compile(json.loads(f'"{pattern}"'))

    for character in map(chr, [*range(0xD800), *range(0xE000, 0x10000)]):
        if escaped.match(character):
            assert printable(character, 9) == quote(character)
        else:
            assert unicodedata.category(character) not in ("Cc", "Zl", "Zp"), ascii(character)
            assert unicodedata.bidirectional(character) not in BIDIRECTIONAL, ascii(character)
            assert character not in MARKS | {"\ufffe", "\uffff"}, ascii(character)  # SNS refuses the last two


# ------------------------------------------------------------------------------------------------------------- patience


def test_a_task_ends_in_time():
    for machine, name, task in TASKS:
        if task["Resource"] == LAMBDA:
            assert task["TimeoutSeconds"] > function_timeout(machine, task), name
        elif task["Resource"] == SNS:
            assert task["TimeoutSeconds"] <= 15, name


def function_timeout(machine: str, task: dict) -> int:
    """The Timeout of the function that a task invokes, in seconds."""
    substitution = re.fullmatch(r"\$\{(\w+)}", task["Arguments"]["FunctionName"])[1]
    function, _ = properties(machine)["DefinitionSubstitutions"][substitution]["Fn::GetAtt"]
    return source()["Resources"][function]["Properties"]["Timeout"]


def test_a_task_is_retried_a_bounded_number_of_times():
    for _, name, task in TASKS:
        if task["Resource"] == SNS:
            assert "Retry" not in task, name  # WaitToNotify first checks that the announcement is still due
            continue

        *_, last = task["Retry"]

        assert last["ErrorEquals"] == ["States.ALL"], name
        assert last["MaxAttempts"] <= (2 if task["Resource"] == LAMBDA else 6), name
        for rule in task["Retry"]:
            assert "MaxAttempts" in rule, name  # the default is 3
            if rule["MaxAttempts"] > 0:
                assert rule["JitterStrategy"] == "FULL", name
            if rule["MaxAttempts"] > 2:
                assert rule["MaxDelaySeconds"] <= (600 if set(rule["ErrorEquals"]) <= QUOTAS else 60), name


def test_only_quotas_are_waited_for_at_length():
    for _, name, task in TASKS:
        runs = 1 + sum(rule["MaxAttempts"] for rule in task.get("Retry", []) if not set(rule["ErrorEquals"]) & QUOTAS)

        assert runs <= 19, name
        if task["Resource"] == LAMBDA:
            assert attempts(task, THROTTLED) >= 50, name
            assert attempts(task, "ServiceUnavailable") == attempts(task, "Lambda.ServiceException") == 7, name
            assert attempts(task, "AnythingElse") == 3, name


def attempts(task: dict, error: str) -> int:
    """How often a task that always ends in the same error is run."""
    return 1 + next(
        (rule["MaxAttempts"] for rule in task["Retry"] if {error, "States.ALL"} & set(rule["ErrorEquals"])), 0
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_all_retries_together_fit_into_an_execution(machine: str):
    whole = MACHINES[machine]
    loop = ("NotifySuccess", "WaitToNotify", "TakeOver")
    a_try = sum(patience(whole["States"][name]) for name in loop if name in whole["States"])

    longest = longest_way(whole["States"], whole["StartAt"], frozenset()) + (NOTIFICATION_TRIES - 1) * a_try

    assert longest <= whole.get("TimeoutSeconds", LONGEST_EXECUTION)


def longest_way(states: dict, name: str, passed: frozenset[str]) -> float:
    """Seconds of the longest way from a state to an end that passes no state twice."""
    ways = [longest_way(states, after, passed | {name}) for after in following(states[name]) - passed - {name}]
    return patience(states[name]) + max(ways, default=0)


def patience(of: dict) -> float:
    """The most seconds that a state takes: every retry used, each attempt as long as possible, the longest jitter."""
    if of["Type"] == "Wait":
        return of["Seconds"] if isinstance(of["Seconds"], int) else 60
    if of["Type"] != "Task":
        return 0
    attempt = of.get("TimeoutSeconds", SERVICE_CALL_SECONDS)
    total = attempt
    for rule in of.get("Retry", []):
        for tried in range(rule["MaxAttempts"]):
            delay = rule.get("IntervalSeconds", 1) * rule.get("BackoffRate", 2.0) ** tried
            # Lambda throttles at once, without running the function.
            total += min(delay, rule.get("MaxDelaySeconds", delay)) + (
                0 if rule["ErrorEquals"] == [THROTTLED] else attempt
            )
    return total

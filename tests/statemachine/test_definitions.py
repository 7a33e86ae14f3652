"""What holds for every state machine as it is written: names that exist, patience that ends, nothing left uncaught."""

import json
import re
import subprocess
from functools import cache

import boto3
import pytest

from imagepipeline import errors, ordering
from tests.statemachine.machine import DEFINITIONS
from tests.template.stack import REPOSITORY, source

FILES = {file.name.removesuffix(".asl.json"): file for file in sorted(DEFINITIONS.glob("*.asl.json"))}
MACHINES = {name: json.loads(file.read_text()) for name, file in FILES.items()}
STATES = [
    pytest.param(machine, name, id=f"{machine}-{name}") for machine in MACHINES for name in MACHINES[machine]["States"]
]
TASKS = [param for param in STATES if MACHINES[param.values[0]]["States"][param.values[1]]["Type"] == "Task"]
LAMBDA, SNS = "arn:${Partition}:states:::lambda:invoke", "arn:${Partition}:states:::sns:publish"

REJECTIONS = {error.__name__ for error in errors.ImageRejected.__subclasses__()}
OVERTAKEN = {"UploadReplaced", "UploadGone", "Superseded"}
CONDITION_FAILED = {"DynamoDB.ConditionalCheckFailedException", "DynamoDb.ConditionalCheckFailedException"}
# Of the SDK that Step Functions calls Lambda with, and so in no service model; its documentation says to retry them.
SDK_ERRORS = {"AWSLambdaException", "SdkClientException", "ClientExecutionTimeoutException"}
THROTTLED = "Lambda.TooManyRequestsException"
# A call of a service without a TimeoutSeconds; the SDKs give up after less.
SERVICE_CALL_SECONDS = 30
NOTIFICATION_TRIES = 8


def state(machine: str, name: str) -> dict:
    return MACHINES[machine]["States"][name]


def names(rules: list[dict]) -> set[str]:
    """Every error that Retry or Catch names."""
    return {name for rule in rules for name in rule["ErrorEquals"]}


@pytest.mark.parametrize("machine", MACHINES)
def test_statelint_finds_nothing(machine: str):
    linter = REPOSITORY / ".venv" / "bin" / "statelint"

    linted = subprocess.run([linter, "--eval-jsonata", FILES[machine]], capture_output=True, text=True)

    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_every_definition_is_deployed():
    machines = [
        resource["Properties"]["DefinitionUri"]
        for resource in source()["Resources"].values()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    ]

    assert sorted(machines) == [f"statemachine/{file.name}" for file in FILES.values()]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_template_supplies_what_the_definition_asks_for_and_nothing_else(machine: str):
    asked = set(re.findall(r"\$\{(\w+)}", FILES[machine].read_text()))

    assert asked == properties(machine)["DefinitionSubstitutions"].keys()


def properties(machine: str) -> dict:
    """The state machine's properties in the template."""
    return next(
        resource["Properties"]
        for resource in source()["Resources"].values()
        if resource.get("Properties", {}).get("DefinitionUri") == f"statemachine/{machine}.asl.json"
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached(machine: str):
    definition = MACHINES[machine]

    reached, pending = set(), [definition["StartAt"]]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += following(definition["States"][name])

    assert reached == definition["States"].keys()


def following(of: dict) -> set[str]:
    rules = [of, *of.get("Choices", []), *of.get("Catch", [])]
    return {rule[link] for rule in rules for link in ("Next", "Default") if link in rule}


# ---------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_every_error_that_is_named_exists(machine: str, name: str):
    task = state(machine, name)

    for error in names(task.get("Retry", []) + task.get("Catch", [])) - {"States.ALL"}:
        service, dot, shape = error.rpartition(".")
        if dot:
            assert shape in SDK_ERRORS | service_errors(service.lower()), f"{service} knows no {shape}"
        else:
            assert issubclass(getattr(errors, error), errors.PipelineError)


@cache
def service_errors(service: str) -> set[str]:
    """Errors in botocore's model of a service."""
    model = boto3.client(service, region_name="us-east-1").meta.service_model
    return {shape.name for shape in model.error_shapes}


@pytest.mark.parametrize("name", ["ValidateImage", "CreateThumbnails"])
def test_every_rejection_there_is_is_recorded_as_one_and_never_tried_again(name: str):
    task = state("image_pipeline", name)

    assert set(task["Catch"][0]["ErrorEquals"]) == REJECTIONS
    assert task["Catch"][0]["Next"] == "RecordRejection"
    assert task["Catch"][0]["Assign"]["rejected"] is True
    assert task["Retry"][0]["MaxAttempts"] == 0
    assert set(task["Retry"][0]["ErrorEquals"]) >= REJECTIONS


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_being_overtaken_is_never_tried_again(machine: str, name: str):
    task = state(machine, name)
    caught = names(task.get("Catch", [])) & (OVERTAKEN | CONDITION_FAILED)

    assert caught <= names([rule for rule in task.get("Retry", []) if rule["MaxAttempts"] == 0])


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_conditional_write_knows_both_spellings_of_its_refusal(machine: str, name: str):
    task = state(machine, name)
    mentioned = [set(rule["ErrorEquals"]) & CONDITION_FAILED for rule in task.get("Retry", []) + task.get("Catch", [])]

    assert all(spellings in (set(), CONDITION_FAILED) for spellings in mentioned)
    if "ConditionExpression" in task["Arguments"]:
        assert mentioned[0] == CONDITION_FAILED


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_conditions_are_those_of_the_ordering_rules(machine: str, name: str):
    rules = {value for key, value in vars(ordering).items() if key.startswith("MAY_")}

    assert state(machine, name)["Arguments"].get("ConditionExpression", ordering.MAY_FINISH) in rules


def test_a_cause_is_read_the_same_way_everywhere():
    expressions = {
        expression
        for definition in MACHINES.values()
        for expression in re.findall(r'"Message": "({% \(\$cause .*?%})"', json.dumps(definition))
    }

    assert len(expressions) == 1


@pytest.mark.parametrize("machine", MACHINES)
def test_every_message_is_sent_right_after_a_look_at_who_has_the_key(machine: str):
    states = MACHINES[machine]["States"]
    announcing = {name for name in states if states[name].get("Resource") == SNS}

    for before in states:
        if following(states[before]) & announcing:
            assert last_look(states, before), f"{before} does not look"


def last_look(states: dict, name: str) -> bool:
    """Whether a state, or every state that leads to it without taking time, looks at the record or finishes it."""
    if states[name]["Type"] == "Task":
        return "ConditionExpression" in states[name]["Arguments"] or name == "StoreResult"
    leading = [before for before in states if name in following(states[before])]
    return states[name]["Type"] == "Choice" and all(last_look(states, before) for before in leading)


# ------------------------------------------------------------------------------------------------------------- patience


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_task_ends_in_time(machine: str, name: str):
    task = state(machine, name)

    if task["Resource"] == LAMBDA:
        assert task["TimeoutSeconds"] > function_timeout(machine, task)
    elif task["Resource"] == SNS:
        assert task["TimeoutSeconds"] <= 15


def function_timeout(machine: str, task: dict) -> int:
    """The Timeout of the function that a task invokes, in seconds."""
    substitution = re.fullmatch(r"\$\{(\w+)}", task["Arguments"]["FunctionName"])[1]
    function, _ = properties(machine)["DefinitionSubstitutions"][substitution]["Fn::GetAtt"]
    return source()["Resources"][function]["Properties"]["Timeout"]


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_task_is_tried_again_for_any_reason_but_no_more_than_a_bounded_number_of_times(machine: str, name: str):
    task = state(machine, name)
    if task["Resource"] == SNS:
        assert "Retry" not in task  # WaitToNotify, which first makes sure that the announcement is still due
        return

    *_, last = task["Retry"]

    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["MaxAttempts"] <= (2 if task["Resource"] == LAMBDA else 6)
    for rule in task["Retry"]:
        assert "MaxAttempts" in rule  # the default is 3
        if rule["MaxAttempts"] > 0:
            assert rule["JitterStrategy"] == "FULL"
        if rule["MaxAttempts"] > 2:
            assert rule["MaxDelaySeconds"] <= 60


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_function_gets_time_for_what_passes_and_little_for_what_does_not(machine: str, name: str):
    task = state(machine, name)
    if task["Resource"] != LAMBDA:
        return

    assert attempts(task, THROTTLED) == 41
    for error in (*(f"Lambda.{shape}" for shape in SDK_ERRORS), "Lambda.ServiceException", "ServiceUnavailable"):
        assert attempts(task, error) == 7
    assert attempts(task, "AnythingElse") == 3


@pytest.mark.parametrize(
    ("machine", "name", "error", "most"),
    [
        ("image_pipeline", "ExtractMetadata", "RekognitionThrottled", 13),
        ("image_pipeline", "StoreResult", "RenditionsNotRemoved", 11),
        ("image_pipeline", "RemoveOutdatedRenditions", "RenditionsNotRemoved", 11),
        ("image_pipeline", "RemoveRenditions", "RenditionsNotRemoved", 11),
        ("housekeeping", "RemoveRenditions", "RenditionsNotRemoved", 11),
    ],
)
def test_a_step_waits_for_what_it_alone_depends_on(machine: str, name: str, error: str, most: int):
    assert attempts(state(machine, name), error) == most


def attempts(task: dict, error: str) -> int:
    """How often a task that always ends in the same error is run."""
    return 1 + next(
        (rule["MaxAttempts"] for rule in task["Retry"] if {error, "States.ALL"} & set(rule["ErrorEquals"])), 0
    )


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_no_combination_of_failures_runs_a_function_more_often_than_this(machine: str, name: str):
    removal = {"StoreResult": 19, "RemoveOutdatedRenditions": 19, "RemoveRenditions": 19}
    most = {"ExtractMetadata": 21, **removal}.get(name, 9)

    runs = 1 + sum(
        rule["MaxAttempts"] for rule in state(machine, name).get("Retry", []) if rule["ErrorEquals"] != [THROTTLED]
    )

    assert runs <= most


@pytest.mark.parametrize(
    "name",
    [
        "BeginRecord",
        "ValidateImage",
        "CreateThumbnails",
        "ExtractMetadata",
        "DescribeWithoutLabels",
        "StoreResult",
        "NotifySuccess",
        "RecordAnnouncement",
        "RecordRejection",
        "RecordFailure",
        "RecordFailureToBegin",
        "RemoveOutdatedRenditions",
        "NotifyFailure",
        "RecordFailureAnnouncement",
        "CheckStillNewest",
        "DiscardRecord",
    ],
)
def test_whatever_befalls_an_image_is_caught(name: str):
    assert state("image_pipeline", name)["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize("machine", MACHINES)
def test_all_patience_together_fits_into_the_executions_time(machine: str):
    definition = MACHINES[machine]
    loop = ("NotifySuccess", "Notify", "CheckStillNewest", "WaitToNotify")
    a_try = sum(patience(definition["States"][name]) for name in loop if name in definition["States"])

    longest = longest_way(definition["States"], definition["StartAt"], frozenset()) + (NOTIFICATION_TRIES - 1) * a_try

    assert longest <= definition["TimeoutSeconds"]


def longest_way(states: dict, name: str, passed: frozenset[str]) -> float:
    """Seconds of the longest way from a state to an end that passes no state twice."""
    ways = [longest_way(states, after, passed | {name}) for after in following(states[name]) - passed - {name}]
    return patience(states[name]) + max(ways, default=0)


def patience(of: dict) -> float:
    """The most seconds that a state takes: every retry used up, each attempt as long as can be, jitter always worst."""
    if of["Type"] == "Wait":
        return of["Seconds"] if isinstance(of["Seconds"], int) else 60
    if of["Type"] != "Task":
        return 0
    attempt = of.get("TimeoutSeconds", SERVICE_CALL_SECONDS)
    total = attempt
    for rule in of.get("Retry", []):
        for tried in range(rule["MaxAttempts"]):
            delay = rule["IntervalSeconds"] * rule["BackoffRate"] ** tried
            # Lambda throttles at once, without running the function.
            total += min(delay, rule.get("MaxDelaySeconds", delay)) + (
                0 if rule["ErrorEquals"] == [THROTTLED] else attempt
            )
    return total

"""One batch of Reprocess, on MiniStack's interpreter: which images are counted as what, and when a batch fails."""

import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from uuid import uuid4

import pytest
from ministack.services import stepfunctions

from tests.statemachine.machine import DEFINITIONS, _states

[OBJECTS] = json.loads((DEFINITIONS / "reprocess.asl.json").read_text())["States"].values()
BATCH = OBJECTS["ItemProcessor"]
INPUT = {
    "Items": [{"Key": "uploads/a.jpg", "Size": 5}],
    "BatchInput": {"Run": "run", "Selections": ["ALL"], "ImagesAtOnce": 2, "ToleratedFailurePercentage": 25},
}
FAILED = ("States.TaskFailed", json.dumps({"ExecutionArn": "arn", "Status": "FAILED"}))

# What the execution that is started for each image ends with: an output, or an error and its cause.
Ends = list[object | tuple[str, str]]
Run = Callable[..., dict]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a batch whose images end in these ways; returns the description of the execution."""

    def run(ends: Ends, workflow: str = "STANDARD") -> dict:
        images = [
            {"Name": f"run-{number}", "Event": {"detail": {"object": {"key": f"uploads/{number}.jpg"}}}}
            for number in range(len(ends))
        ]

        def perform(resource: str, arguments: dict) -> dict:
            if ":lambda:" in resource:
                assert arguments["Payload"] == {"Objects": INPUT["Items"], "Run": "run", "Selections": ["ALL"]}
                return {"StatusCode": 200, "Payload": {"Images": images}}
            sent = json.loads(arguments["Input"]) if workflow == "EXPRESS" else arguments["Input"]
            end = ends[images.index({"Name": arguments["Name"], "Event": sent})]
            if end == FAILED and workflow == "EXPRESS":
                return {"Status": "FAILED", "Error": "Broken"}
            if isinstance(end, tuple):
                raise stepfunctions._ExecutionError(*end)
            return {"Status": "SUCCEEDED", "Output": json.dumps(end) if workflow == "EXPRESS" else end}

        monkeypatch.setattr(stepfunctions, "_invoke_resource", perform)
        monkeypatch.setattr(stepfunctions, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None}))
        definition = {"QueryLanguage": "JSONata", "StartAt": BATCH["StartAt"], "States": BATCH["States"]}
        deployed = json.dumps(definition).replace("${WorkflowType}", workflow)
        machine = _states("CreateStateMachine", name=f"batch-{uuid4().hex}", definition=deployed)
        return _states("StartSyncExecution", stateMachineArn=machine["stateMachineArn"], input=json.dumps(INPUT))

    return run


COMPLETED, REJECTED, SUPERSEDED = (
    {"MessageId": "m"},
    {"Outcome": "REJECTED"},
    {"Error": "conditional", "Cause": "check"},
)
RESUMED = ("StepFunctions.ExecutionAlreadyExistsException", "it exists")


@pytest.mark.parametrize(
    ("ends", "outcomes"),
    [
        ([], {}),
        ([COMPLETED], {"C": 1}),
        ([COMPLETED] * 3 + [FAILED, REJECTED, SUPERSEDED, RESUMED], {"C": 3, "F": 1, "R": 1, "S": 2}),
    ],
    ids=["nothing selected", "one", "each"],
)
def test_images_are_counted_by_their_outcome(run: Run, ends: Ends, outcomes: dict[str, int]):
    ended = run(ends)

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", outcomes)


def test_images_of_an_express_workflow_are_counted_alike(run: Run):
    completed = {"Outcome": "COMPLETED"}

    ended = run([completed] * 3 + [FAILED, REJECTED, SUPERSEDED], "EXPRESS")

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"C": 3, "F": 1, "R": 1, "S": 1})


@pytest.mark.parametrize(("failures", "status"), [(1, "SUCCEEDED"), (2, "FAILED")])
def test_a_batch_fails_if_more_images_failed_than_tolerated(run: Run, failures: int, status: str):
    ended = run([FAILED] * failures + [COMPLETED] * (4 - failures))

    assert ended["status"] == status
    if status == "FAILED":
        assert (ended["error"], ended["cause"]) == ("TooManyFailures", "2 of 4 images failed")


def test_an_image_that_was_not_started_fails_its_batch_by_name(run: Run):
    ended = run([COMPLETED, ("StepFunctions.AccessDeniedException", "not authorized")])

    assert ended["error"] == "NotStarted"
    assert ended["cause"] == "uploads/1.jpg: StepFunctions.AccessDeniedException: not authorized"


def test_the_outcomes_of_batches_are_added_up():
    output = {
        name: stepfunctions._apply_jsonata_template(expression, {}, {}, result=[{"C": 100}, {}, {"C": 97, "F": 3}])
        for name, expression in OBJECTS["Output"].items()
    }

    assert output == {"Completed": 197, "Rejected": 0, "Failed": 3, "Superseded": 0}


def test_an_image_that_failed_is_not_started_again():
    task = BATCH["States"]["ProcessImages"]["ItemProcessor"]["States"]["ProcessImage"]
    retried = {name for rule in task["Retry"] for name in rule["ErrorEquals"]}

    # Either of these matches the failure of the execution, too.
    assert not retried & {"States.ALL", "States.TaskFailed"}


def test_selecting_is_retried_as_every_function_is():
    housekeeping = json.loads((DEFINITIONS / "housekeeping.asl.json").read_text())

    assert BATCH["States"]["SelectImages"]["Retry"] == housekeeping["States"]["ResolveCurrentVersion"]["Retry"]

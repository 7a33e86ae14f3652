"""One batch of Reprocess, on MiniStack's interpreter: which images are counted as what, and when a batch fails."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from ministack.services import stepfunctions

from cli.reprocess import LONGEST
from tests.statemachine.machine import DEFINITIONS, call_step_functions

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
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a batch whose images end in these ways; returns the description of the execution."""

    def run(ends: Ends, workflow: str = "STANDARD", done: int = 0) -> dict:
        images = [
            {"Name": f"run-{number}", "Event": {"detail": {"object": {"key": f"uploads/{number}.jpg"}}}}
            for number in range(len(ends))
        ]

        def perform(resource: str, arguments: dict) -> dict:
            if ":lambda:" in resource:
                assert arguments["Payload"] == {"Objects": INPUT["Items"], "Run": "run", "Selections": ["ALL"]}
                return {"StatusCode": 200, "Payload": {"Images": images, "Done": done}}
            sent = json.loads(arguments["Input"]) if workflow == "EXPRESS" else arguments["Input"]
            end = ends[images.index({"Name": arguments["Name"], "Event": sent})]
            if end == FAILED and workflow == "EXPRESS":
                return {"Status": "FAILED", "Error": "Broken"}
            if isinstance(end, tuple):
                raise stepfunctions._ExecutionError(*end)
            return {"Status": "SUCCEEDED", "Output": json.dumps(end) if workflow == "EXPRESS" else end}

        monkeypatch.setattr(stepfunctions, "_invoke_resource", perform)
        definition = {"QueryLanguage": "JSONata", "StartAt": BATCH["StartAt"], "States": BATCH["States"]}
        deployed = json.dumps(definition).replace("${WorkflowType}", workflow)
        machine = call_step_functions("CreateStateMachine", name=f"batch-{uuid4().hex}", definition=deployed)
        return call_step_functions(
            "StartSyncExecution", stateMachineArn=machine["stateMachineArn"], input=json.dumps(INPUT)
        )

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
        ([], [0, 0, 0, 0]),
        ([COMPLETED], [1, 0, 0, 0]),
        ([COMPLETED] * 3 + [FAILED, REJECTED, REJECTED, SUPERSEDED, RESUMED, RESUMED, RESUMED], [3, 2, 1, 4]),
    ],
    ids=["nothing selected", "one", "each"],
)
def test_images_are_counted_by_their_outcome(run: Run, ends: Ends, outcomes: list[int]):
    ended = run(ends)

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", outcomes)


def test_images_of_an_express_workflow_are_counted_alike(run: Run):
    completed = {"Outcome": "COMPLETED"}

    ended = run([completed] * 3 + [FAILED, REJECTED, SUPERSEDED], "EXPRESS")

    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [3, 1, 1, 1])


def test_the_results_of_the_longest_run_fit_into_the_quota(run: Run):
    # 70, 10, 10 and 10 have the most digits that four numbers of 100 images can have.
    ended = run([COMPLETED] * 70 + [REJECTED] * 10 + [FAILED] * 10 + [SUPERSEDED] * 10)

    results = [json.loads(ended["output"])] * -(-LONGEST // OBJECTS["ItemBatcher"]["MaxItemsPerBatch"])
    assert results[0] == [70, 10, 10, 10]
    assert len(json.dumps(results)) <= 256 * 1024  # with a space after each comma, which may be more than AWS counts


@pytest.mark.parametrize(("failures", "status"), [(1, "SUCCEEDED"), (2, "FAILED")])
def test_a_batch_fails_if_more_images_failed_than_tolerated(run: Run, failures: int, status: str):
    ended = run([FAILED] * failures + [COMPLETED] * (4 - failures))

    assert ended["status"] == status
    if status == "FAILED":
        assert (ended["error"], ended["cause"]) == ("TooManyFailures", "2 of 4 images failed")


def test_a_resumed_batch_tolerates_as_many_failures_as_the_whole_batch(run: Run):
    assert run([FAILED], done=3)["status"] == "SUCCEEDED"
    assert run([FAILED, FAILED], done=2)["cause"] == "2 of 4 images failed"


def test_an_image_that_was_not_started_fails_its_batch_by_name(run: Run):
    ended = run([COMPLETED, ("StepFunctions.AccessDeniedException", "not authorized")])

    assert ended["error"] == "NotStarted"
    assert ended["cause"] == "uploads/1.jpg: StepFunctions.AccessDeniedException: not authorized"


@pytest.mark.parametrize(
    ("results", "totals"),
    [
        ([], (0, 0, 0, 0)),
        ([[97, 1, 0, 2]], (97, 1, 0, 2)),
        ([[100, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]], (101, 2, 3, 4)),
    ],
    ids=["none", "one", "some"],
)
def test_the_outcomes_of_batches_are_added_up(results: list[list[int]], totals: tuple[int, ...]):
    output = stepfunctions._apply_jsonata_template(OBJECTS["Output"], {}, {}, result=results)

    assert output == dict(zip(("Completed", "Rejected", "Failed", "Superseded"), totals, strict=True))


def test_a_resumed_run_keeps_its_identity():
    settings = {"Run": "first", "Selections": ["ALL"], "ImagesAtOnce": 2, "ToleratedFailurePercentage": 10}
    context = {"Execution": {"Name": "first_2"}}

    batch = stepfunctions._apply_jsonata_template(OBJECTS["ItemBatcher"]["BatchInput"], settings, context)

    assert batch == settings


def test_an_image_that_failed_is_not_started_again():
    task = BATCH["States"]["ProcessImages"]["ItemProcessor"]["States"]["ProcessImage"]
    retried = {name for rule in task["Retry"] for name in rule["ErrorEquals"]}

    # Either of these matches the failure of the execution, too.
    assert not retried & {"States.ALL", "States.TaskFailed"}


def test_selecting_is_retried_as_every_function_is():
    housekeeping = json.loads((DEFINITIONS / "housekeeping.asl.json").read_text())

    assert BATCH["States"]["SelectImages"]["Retry"] == housekeeping["States"]["ResolveCurrentVersion"]["Retry"]

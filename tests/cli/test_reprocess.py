"""The dry run of `reprocess`, and what is refused. Runs themselves are tested on the emulator."""

import json
from collections import Counter

import pytest

from cli import costs, reprocess
from cli.main import main
from cli.problems import SetupError
from cli.reprocess import Plan
from imagepipeline.reprocessing import Decision, Selection
from tests.cli.stand_in import STACK_NAME, write

COMPLETE = {
    "small": {"Width": 100, "Height": 75, "Format": "JPEG"},
    "wide": {"Width": 90, "Height": 40, "Format": "WEBP"},
}
ARN = "arn:aws:states:eu-west-1:123456789012:execution:ImagePipeline:one"


class Account:
    """Lambda's answer about the account."""

    def __init__(self, executions: int) -> None:
        self._executions = executions

    def get_account_settings(self) -> dict:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self._executions}}


@pytest.fixture
def archive(stack):
    """Four objects: one with a record, one whose record lacks a rendition, one without a record, and a folder."""
    for name in ("complete.jpg", "incomplete.jpg", "new.jpg"):
        stack.s3.put_object(Bucket=stack.uploads_bucket, Key=f"uploads/{name}", Body=b"jpeg")
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/trip/", Body=b"")
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="elsewhere/other.jpg", Body=b"jpeg")
    for name, renditions in (("complete", COMPLETE), ("incomplete", {"small": COMPLETE["small"]})):
        write(stack, f"uploads/{name}.jpg", Width=400, Height=300, Renditions=renditions, ExecutionArn=ARN)
    return stack


@pytest.mark.parametrize(
    ("selections", "images"),
    [
        ([Selection.ALL], 3),
        ([Selection.MISSING_RENDITIONS], 1),
        ([Selection.UNRECORDED], 1),
        ([Selection.MISSING_RENDITIONS, Selection.UNRECORDED], 2),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_dry_run_counts_what_a_selection_chooses(archive, selections: list[Selection], images: int):
    seen: list[int] = []

    plan = reprocess.plan(archive, Account(10), "uploads/", selections, on_progress=seen.append)

    assert (plan.objects, plan.images) == (4, images)
    assert plan.decisions[Decision.FOLDER_MARKER] == 1
    assert sum(seen) == 4


@pytest.mark.parametrize(
    ("executions", "labels", "at_once"), [(10, "false", 2), (1000, "false", 250), (8000, "false", 1000), (1, "true", 1)]
)
def test_a_share_of_the_accounts_quotas_is_used(archive, executions: int, labels: str, at_once: int):
    archive.parameters["DetectLabels"] = labels

    assert reprocess.plan(archive, Account(executions), "uploads/", [Selection.ALL]).at_once == at_once


def test_rekognitions_quota_is_shared_too(archive):
    plan = reprocess.plan(archive, Account(1000), "uploads/", [Selection.ALL])

    # eu-west-1 allows 50 calls a second.
    rate = plan.at_once / reprocess.seconds_of(plan.each)
    assert 20 < rate <= 25


def planned(images: int, *, others: int = 0, at_once: int = 25) -> Plan:
    decisions = Counter({Decision.PROCESS: images, Decision.NOT_SELECTED: others})
    return Plan("uploads/", (Selection.ALL,), decisions, at_once, 10, costs.Question(1, deleted=0))


def test_twice_the_images_take_twice_as_long_and_cost_twice_as_much():
    one, two = planned(100_000), planned(200_000)

    assert two.seconds == pytest.approx(2 * one.seconds)
    assert two.usd == pytest.approx(2 * one.usd, rel=0.02)


def test_every_line_that_is_left_out_of_the_cost_exists():
    lines = costs.estimate(costs.Question(1000), costs.usage(), costs.prices()).lines

    assert {line.what for line in lines} >= reprocess._NOT_AGAIN


def test_a_run_costs_what_the_stack_asks_rekognition(archive):
    archive.parameters.update(DetectLabels="false", DetectFaces="true", Renditions="face=200x200:cover:face")

    each = reprocess.plan(archive, Account(1000), "uploads/", [Selection.ALL]).each

    assert (each.labels, each.faces, each.face_crops, each.rekognition_calls) == (False, True, True, 1)


def test_objects_that_are_not_selected_cost_almost_nothing():
    assert planned(0, others=1_000_000).usd < 3


@pytest.mark.parametrize(
    ("allowed", "batches", "images"),
    [(1, 1, 1), (9, 1, 9), (10, 1, 10), (11, 2, 5), (19, 2, 9), (25, 3, 8), (250, 25, 10), (1999, 200, 9)],
)
def test_as_many_images_run_at_a_time_as_the_plan_says(stack, allowed: int, batches: int, images: int):
    plan = planned(1000, at_once=allowed)
    execution = started(stack, plan.start(stack))

    assert (execution["BatchesAtOnce"], execution["ImagesAtOnce"]) == (batches, images)
    assert plan.at_once == reprocess.to_json(plan)["ImagesAtOnce"] == batches * images <= allowed
    assert plan.seconds > 1000 * reprocess.seconds_of(plan.each) / (batches * images)


@pytest.mark.parametrize("at_once", ["0", "-5", "many", "100001"])
def test_a_number_of_images_at_a_time_is_refused_by_name(capsys, at_once: str):
    with pytest.raises(SystemExit):
        main(["reprocess", "uploads/", "--dry-run", "--at-once", at_once])

    assert f"argument --at-once: '{at_once}' is not a number of images from 1 to" in capsys.readouterr().err


def started(stack, execution: str) -> dict:
    """The input of an execution."""
    return json.loads(reprocess._described(stack, execution)["input"])


def test_a_run_of_too_many_objects_is_refused(stack):
    with pytest.raises(SetupError, match="give longer prefixes"):
        planned(reprocess.LONGEST + 1).start(stack)


@pytest.fixture
def command(archive, monkeypatch, capsys):
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    monkeypatch.setattr("boto3.Session.client", _client(Account(10)))

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["reprocess", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def _client(account: Account):
    import boto3

    original = boto3.Session.client

    def client(session: object, service: str, *args: object, **kwargs: object) -> object:
        return account if service == "lambda" else original(session, service, *args, **kwargs)

    return client


def test_a_dry_run_starts_nothing(command, archive):
    status, out, _ = command("uploads/", "--dry-run", "--json")

    assert status == 0
    printed = json.loads(out)
    assert (printed["Objects"], printed["Decisions"]["PROCESS"]) == (4, 3)
    assert printed["Usd"] > 0
    assert not archive.stepfunctions.list_executions(stateMachineArn=archive.outputs["Reprocess"])["executions"]


def test_without_a_terminal_a_run_needs_yes(command):
    status, _, err = command("uploads/")

    assert status == 2
    assert "pass --yes, or --dry-run" in err


def test_a_second_run_is_refused(command, archive):
    planned(3).start(archive)

    status, _, err = command("uploads/", "--yes")

    assert status == 2
    assert "is still running" in err


def test_a_run_is_resumed_by_executions_with_its_input_and_a_number(archive):
    first = planned(3).start(archive)
    for number in (2, 3):
        reprocess.stop(archive, reprocess.find(archive))

        resumed = reprocess.resume(archive, reprocess.find(archive, first))

        assert resumed == f"{first}_{number}"
        assert started(archive, resumed) == started(archive, first)
        assert started(archive, first)["Run"] == first


def test_an_execution_that_was_started_by_hand_is_resumed_as_a_run(archive):
    machine = archive.outputs["Reprocess"]
    archive.stepfunctions.start_execution(stateMachineArn=machine, name="by-hand", input='{"Prefix": "uploads/"}')
    reprocess.stop(archive, "by-hand")

    resumed = reprocess.resume(archive, "by-hand")

    assert started(archive, resumed) == {"Prefix": "uploads/", "Run": "by-hand"}


def test_each_name_of_a_run_stands_for_its_latest_execution(archive):
    first = planned(3).start(archive)
    reprocess.stop(archive, first)
    second = reprocess.resume(archive, first)
    reprocess.stop(archive, second)
    another = planned(3).start(archive)

    assert {reprocess.find(archive, name) for name in (first, second)} == {second}
    assert reprocess.find(archive) == reprocess.find(archive, another) == another


def test_a_run_is_not_resumed_while_one_is_running(command, archive):
    running = planned(3).start(archive)

    status, _, err = command("--resume")

    assert status == 2
    assert f"{running} is still running" in err


@pytest.mark.parametrize("action", ["--resume", "--stop", "--follow", "--status"])
@pytest.mark.parametrize(
    ("others", "named"),
    [
        (["--dry-run"], "--dry-run"),
        (["--at-once", "5"], "--at-once"),
        (["--tolerate", "10"], "--tolerate"),
        (["--missing-renditions", "--unrecorded"], "--missing-renditions and --unrecorded"),
        (["--", "uploads/"], "a prefix"),
    ],
)
def test_options_of_a_new_run_are_refused_for_an_existing_one(capsys, action: str, others: list[str], named: str):
    status = main(["reprocess", action, *others])

    assert status == 2
    assert f"{action} is about a run as it was started: it cannot be combined with {named}\n" in capsys.readouterr().err


def test_without_a_prefix_and_a_run_nothing_is_done(capsys):
    assert main(["reprocess", "--dry-run"]) == 2
    assert "what to process?" in capsys.readouterr().err


def test_nothing_to_process_is_no_failure(command):
    status, _, err = command("uploads/none/", "--yes")

    assert status == 0
    assert "nothing to process" in err

"""Processing images again that are in the bucket already: the dry run, and runs of the state machine Reprocess."""

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from botocore.exceptions import ClientError

from cli import costs, failures
from cli.failures import Failure
from cli.problems import SetupError, code
from cli.stack import KEYS_PER_READ, TO_OPERATE, Client, Document, Stack
from imagepipeline.models import timestamp
from imagepipeline.renditions import parse
from imagepipeline.reprocessing import Decision, Selection, belongs_to, decide

NEEDED = (*TO_OPERATE, "Reprocess")

DEFAULT_TOLERATED = 10  # percent of the images
LONGEST = 1_400_000  # objects in one run, whose results must fit into 256 KiB (tests/statemachine/test_reprocess.py)
BATCH = 100  # objects, the state machine's MaxItemsPerBatch
MOST_AT_ONCE = 100_000  # images: 10 in each of 10,000 batches, as many as a Distributed Map runs at a time
_MOST_BY_DEFAULT = 1000  # images
_AT_ONCE_IN_A_BATCH = 10  # images; a batch that is nearly done leaves the others' places unused
# What a run leaves to other uploads: three quarters of the Lambda executions, and half of the calls of Rekognition.
_SHARE_OF_LAMBDA, _SHARE_OF_REKOGNITION = 1 / 4, 1 / 2
# Default quota of each operation, in calls a second (AWS General Reference, "Amazon Rekognition endpoints and quotas").
_REKOGNITION_CALLS, _REKOGNITION_CALLS_ELSEWHERE = dict.fromkeys(("us-east-1", "us-west-2", "eu-west-1"), 50), 5

# Of a batch, beyond its images: its start, SelectImages, ProcessImages, RouteByFailures, BatchProcessed.
_TRANSITIONS_OF_A_BATCH = 5
_SECONDS_OF_A_BATCH = 2.0  # SelectImages: one read of the table, and a listing for each image, eight at a time
_SELECT_IMAGES_GB = 0.5  # MemorySize of SelectImagesFunction
# Lines of `cli.costs` that processing an image again does not add to.
_NOT_AGAIN = {
    "storage for a month",
    "point-in-time recovery for a month",
    "logs kept for a month",
    "events of S3",
    "custom metrics",
}
_THREADS = 8  # that read records in the dry run
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0  # seconds between two looks at a run
_INDEX_DELAY = 10.0  # seconds for which failures are awaited in the list
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


# -------------------------------------------------------------------------------------------------------- the dry run


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    prefix: str
    selections: tuple[Selection, ...]
    decisions: Counter[Decision]  # the number of objects for each
    most_at_once: int  # images
    tolerated: int  # percent
    each: costs.Question  # about one image, as the stack is deployed

    @property
    def objects(self) -> int:
        return self.decisions.total()

    @property
    def images(self) -> int:
        """How many are to be processed."""
        return self.decisions[Decision.PROCESS]

    @property
    def batches_at_once(self) -> int:
        return -(-self.most_at_once // _AT_ONCE_IN_A_BATCH)

    @property
    def images_in_a_batch(self) -> int:
        """How many images of a batch are processed at a time."""
        return self.most_at_once // self.batches_at_once

    @property
    def at_once(self) -> int:
        """How many images are processed at a time: `most_at_once`, or a few less, as every batch processes the same."""
        return self.batches_at_once * self.images_in_a_batch

    @property
    def seconds(self) -> float:
        """The duration, if nothing has to wait for a quota."""
        batches = -(-self.objects // BATCH)
        processing = self.images * seconds_of(self.each) / self.at_once
        return processing + batches * _SECONDS_OF_A_BATCH / self.batches_at_once

    @property
    def usd(self) -> float:
        """The cost at list prices: that of uploads without their events and storage, and of the run itself."""
        estimate = costs.estimate(replace(self.each, images=self.images), costs.usage(), costs.prices())
        # The others are due anyway: what is kept for a month, S3's events, and what does not depend on the number.
        again = [line for line in estimate.lines if not line.monthly and line.what not in _NOT_AGAIN]
        batches = -(-self.objects // BATCH)
        own = {
            "step_functions_transition": self.images + batches * _TRANSITIONS_OF_A_BATCH,
            "lambda_request": batches,
            f"lambda_gb_second_{self.each.architecture}": batches * _SECONDS_OF_A_BATCH * _SELECT_IMAGES_GB,
            "s3_write": self.images + self.objects / 1000,  # listings
            "dynamodb_read_unit": self.objects,
        }
        prices = costs.prices().by_name
        return sum(line.usd for line in again) + sum(prices[name].of(count) for name, count in own.items())

    def start(self, stack: Stack) -> str:
        """Start the run; returns its name. Raises SetupError if another is running, or this one would be too long."""
        if self.objects > LONGEST:
            raise SetupError(f"{self.objects:,} objects are too many for one run ({LONGEST:,}): give longer prefixes")
        if running := _latest(stack, "RUNNING"):
            raise SetupError(f"{running} is still running: --follow it, or --stop it first")
        name = f"reprocess-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        settings = {
            "Run": name,
            "Prefix": self.prefix,
            "Selections": self.selections,
            "BatchesAtOnce": self.batches_at_once,
            "ImagesAtOnce": self.images_in_a_batch,
            "ToleratedFailurePercentage": self.tolerated,
        }
        stack.stepfunctions.start_execution(
            stateMachineArn=stack.outputs["Reprocess"], name=name, input=json.dumps(settings)
        )
        return name


def plan(
    stack: Stack,
    aws_lambda: Client,
    prefix: str,
    selections: Collection[Selection],
    *,
    at_once: int | None = None,
    tolerated: int = DEFAULT_TOLERATED,
    on_progress: Callable[[int], None] = lambda seen: None,
) -> Plan:
    """The dry run: lists the objects, and reads their records where the selection depends on them.

    `at_once` is how many images may be processed at a time; None for a share of the account's quotas. `on_progress` is
    called with the number of objects just seen.
    """
    each = _question_about(stack.parameters)
    if at_once is None:
        at_once = _fair_share(stack, aws_lambda, each)
    decisions = _survey(stack, prefix, selections, on_progress)
    return Plan(prefix, tuple(selections), decisions, at_once, tolerated, each)


def _question_about(parameters: Mapping[str, str]) -> costs.Question:
    """What one image costs in a stack with these parameters, if nobody deletes it."""
    return costs.Question(
        1,
        workflow=parameters.get("WorkflowType", costs.STANDARD),
        labels=parameters.get("DetectLabels") == "true",
        faces=parameters.get("DetectFaces") == "true",
        face_crops=":face" in parameters.get("Renditions", ""),
        moderation=parameters.get("Moderation", "off") != "off",
        mail=bool(parameters.get("NotificationEmail")) and parameters.get("NotifyOn") == "all",
        deleted=0,
        architecture=parameters.get("Architecture", "arm64"),
    )


def _survey(
    stack: Stack, prefix: str, selections: Collection[Selection], on_progress: Callable[[int], None]
) -> Counter[Decision]:
    specs = parse(stack.parameters["Renditions"])

    def decisions(listed: tuple[Document, ...]) -> Counter[Decision]:
        records = {} if Selection.ALL in selections else stack.records(entry["Key"] for entry in listed)
        counts = Counter(
            decide(entry["Key"], entry["Size"], records.get(entry["Key"]), selections, specs) for entry in listed
        )
        on_progress(len(listed))
        return counts

    total: Counter[Decision] = Counter()
    with ThreadPoolExecutor(_THREADS, "survey") as pool:
        # A page at a time, so that memory does not grow with the bucket.
        for page in _pages(stack, prefix):
            for counts in pool.map(decisions, batched(page, KEYS_PER_READ, strict=False)):
                total += counts
    return total


def _pages(stack: Stack, prefix: str) -> Iterator[list[Document]]:
    pages = stack.s3.get_paginator("list_objects_v2").paginate(Bucket=stack.uploads_bucket, Prefix=prefix)
    return (page.get("Contents", []) for page in pages)


def _fair_share(stack: Stack, aws_lambda: Client, each: costs.Question) -> int:
    """How many images may be processed at a time, so that new uploads need not wait."""
    limit = aws_lambda.get_account_settings()["AccountLimit"]
    share = limit.get("UnreservedConcurrentExecutions", limit["ConcurrentExecutions"]) * _SHARE_OF_LAMBDA
    if each.rekognition_calls:
        calls = _REKOGNITION_CALLS.get(stack.s3.meta.region_name, _REKOGNITION_CALLS_ELSEWHERE)
        share = min(share, calls * _SHARE_OF_REKOGNITION * seconds_of(each))
    return max(1, min(int(share), _MOST_BY_DEFAULT))


def seconds_of(each: costs.Question) -> float:
    """How long one image takes when nothing has to wait, as measured."""
    return costs.express_seconds(costs.usage()["Upload"], each)


# --------------------------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class Progress:
    """A run as its latest execution is now."""

    run: str
    execution: str  # the run's name, unless the run was resumed
    status: str  # RUNNING, or one of ENDED
    started: str  # ISO 8601, UTC
    objects: int  # all, or 0 before they are listed
    looked_at: int  # in batches that have ended
    reason: str  # why it failed; empty if it did not
    outcomes: dict[str, int]  # of an execution that succeeded: {"Completed", "Rejected", "Failed", "Superseded"}


def find(stack: Stack, name: str = "") -> str:
    """The latest execution of the run that one of its executions belongs to; by default, of the latest run.

    Raises SetupError if there is none.
    """
    if name:
        return next((latest for latest, _ in _executions(stack, _run_of(_described(stack, name)))), name)
    if found := _latest(stack):
        return found
    raise SetupError("there was no run yet: start one with image-pipeline reprocess PREFIX")


def _run_of(execution: Document) -> str:
    """The run that an execution belongs to: its own name, or that of the execution that it continues."""
    run: str = json.loads(execution["input"]).get("Run", execution["name"])
    return run


def _executions(stack: Stack, run: str) -> Iterator[tuple[str, int]]:
    """The names and numbers of a run's executions, the latest first. The number of the first is 1."""
    pages = stack.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=stack.outputs["Reprocess"])
    for listed in (each for page in pages for each in page["executions"]):
        if numbered := re.fullmatch(rf"{re.escape(run)}(?:_(\d+))?", listed["name"]):
            yield listed["name"], int(numbered[1] or 1)


def _latest(stack: Stack, status: str = "") -> str:
    which = {"statusFilter": status} if status else {}
    listed = stack.stepfunctions.list_executions(stateMachineArn=stack.outputs["Reprocess"], maxResults=1, **which)
    return next((run["name"] for run in listed["executions"]), "")


def observe(stack: Stack, name: str) -> Progress:
    """What has become of an execution so far. Raises SetupError if it does not exist."""
    execution = _described(stack, name)
    counts: Document = next((each["itemCounts"] for each in _map_runs(stack, name)), {})
    return Progress(
        run=_run_of(execution),
        execution=name,
        status=execution["status"],
        started=timestamp(execution["startDate"], "seconds"),
        objects=counts.get("total", 0),
        looked_at=counts.get("succeeded", 0) + counts.get("failed", 0),
        reason=": ".join(filter(None, (execution.get("error"), execution.get("cause")))),
        outcomes=json.loads(execution["output"]) if execution["status"] == "SUCCEEDED" else {},
    )


def follow(stack: Stack, name: str) -> Iterator[Progress]:
    """What has become of an execution, again and again until it has ended."""
    pause = _PAUSE
    while (progress := observe(stack, name)).status not in ENDED:
        yield progress
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
    yield progress


def stop(stack: Stack, name: str) -> None:
    """Start no further images. Those that are being processed are completed."""
    if _described(stack, name)["status"] == "RUNNING":
        stack.stepfunctions.stop_execution(executionArn=_arn(stack, name), cause="image-pipeline reprocess --stop")


def resume(stack: Stack, name: str) -> str:
    """Go on with the run whose latest execution this is; returns the name of the execution that does.

    It looks at every object again, leaves out what the run has done, and processes what failed or was not reached.
    Raises SetupError if another run is running, or if nothing is left to do.
    """
    if running := _latest(stack, "RUNNING"):
        raise SetupError(f"{running} is still running: --follow it, or --stop it first")
    latest = _described(stack, name)
    if latest["status"] == "SUCCEEDED" and not failed_batches(stack, name):
        raise SetupError(f"{name} has reached every object: image-pipeline redrive --all processes images that failed")
    run = _run_of(latest)
    # Of two commands that resume a run at the same time, the second gets the execution that the first has started.
    resumed = f"{run}_{1 + max((number for _, number in _executions(stack, run)), default=1)}"
    settings = json.loads(latest["input"]) | {"Run": run}  # an execution that somebody started by hand may lack it
    stack.stepfunctions.start_execution(
        stateMachineArn=stack.outputs["Reprocess"], name=resumed, input=json.dumps(settings)
    )
    return resumed


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """Objects of a run that were not all processed."""

    first: str  # key
    last: str
    error: str
    cause: str


def failed_batches(stack: Stack, name: str) -> list[FailedBatch]:
    """The batches of an execution that failed otherwise than by the failures of their images."""
    found = []
    for run in _map_runs(stack, name):
        pages = stack.stepfunctions.get_paginator("list_executions").paginate(
            mapRunArn=run["mapRunArn"], statusFilter="FAILED"
        )
        for listed in (each for page in pages for each in page["executions"]):
            batch = stack.stepfunctions.describe_execution(executionArn=listed["executionArn"])
            if batch.get("error") != "TooManyFailures":
                objects = json.loads(batch["input"])["Items"]
                first, last = objects[0]["Key"], objects[-1]["Key"]
                found.append(FailedBatch(first, last, batch.get("error", ""), batch.get("cause", "")))
    return found


def failed_images(
    stack: Stack, progress: Progress, on_progress: Callable[[int], None] = lambda seen: None
) -> list[Failure]:
    """The images that the run processed and whose records show a failure."""
    deadline = time.monotonic() + _INDEX_DELAY
    while True:
        found = failures.in_table(stack, datetime.now(UTC), on_progress=on_progress)
        of_the_run = [each for each in found if each.kind != failures.HELD and belongs_to(progress.run, each.record)]
        failed = sum(failure.kind == failures.FAILED for failure in of_the_run)
        # The list of what needs attention follows the table with a delay.
        if failed >= progress.outcomes.get("Failed", 0) or time.monotonic() > deadline:
            return of_the_run
        time.sleep(_PAUSE)


def _described(stack: Stack, name: str) -> Document:
    try:
        run: Document = stack.stepfunctions.describe_execution(executionArn=_arn(stack, name))
    except ClientError as error:
        if code(error) != "ExecutionDoesNotExist":
            raise
        raise SetupError(f"there is no run {name}: check the name") from error
    return run


def _map_runs(stack: Stack, name: str) -> list[Document]:
    listed = stack.stepfunctions.list_map_runs(executionArn=_arn(stack, name))["mapRuns"]
    return [stack.stepfunctions.describe_map_run(mapRunArn=run["mapRunArn"]) for run in listed]


def _arn(stack: Stack, name: str) -> str:
    return f"{stack.outputs['Reprocess'].replace(':stateMachine:', ':execution:')}:{name}"


def to_json(plan: Plan) -> dict[str, Any]:
    """The dry run as one JSON object."""
    return {
        "Prefix": plan.prefix,
        "Selections": list(plan.selections),
        "Objects": plan.objects,
        "Decisions": {decision.value: count for decision, count in plan.decisions.items()},
        "ImagesAtOnce": plan.at_once,
        "Seconds": round(plan.seconds),
        "Usd": round(plan.usd, 4),
        "ToleratedFailurePercentage": plan.tolerated,
    }

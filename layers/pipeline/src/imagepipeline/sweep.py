"""What a sweep looks for: uploads that nothing will complete, and Express executions to hand to Housekeeping.

Step Functions reports each execution of a Standard workflow that ends early, and Housekeeping then resumes it. If that
fails, or if the event is lost, the record is PROCESSING forever. Of an Express workflow it reports none, so each
execution registers itself (`executions`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from imagepipeline import aws, records
from imagepipeline.executions import PATIENCE, RegisteredExecution, ended_early

# BatchGetItem's limit. While more images than that wait for a quota, a stuck one is found once it is among the oldest.
MOST_RECORDS = 100
# Three requests each, of about 20 ms: a second in eight threads for 130 of them. The next sweep, a minute later,
# continues with the rest. A larger number would not help images that wait for a quota.
MOST_OVERDUE = 1000
_THREADS = 8


# ------------------------------------------------------------------------------------------------- a Standard workflow


def find_stuck(table: str, image_pipeline: str, now: datetime) -> tuple[int, int]:
    """How many of the oldest records that are PROCESSING were examined, and how many of these are stuck.

    Raises ServiceUnavailable.
    """
    keys = records.keys_by_status(table, "PROCESSING", before=now - PATIENCE, limit=MOST_RECORDS)
    found = records.find_all(table, keys, ("ImageKey", "Status", "ExecutionArn")).values()
    executions = [record["ExecutionArn"] for record in found if record["Status"] == "PROCESSING"]
    with ThreadPoolExecutor(_THREADS, "describe") as pool:
        return len(executions), sum(pool.map(lambda arn: _ended(image_pipeline, arn, now), executions))


def _ended(image_pipeline: str, arn: str, now: datetime) -> bool:
    """Whether an execution ended so long ago that whatever should have completed its image would have done so."""
    # Another state machine is one that this one has replaced. Executions end with the state machine.
    if not arn.startswith(f"{image_pipeline.replace(':stateMachine:', ':execution:')}:"):
        return True
    try:
        with aws.translate_transient_errors("Step Functions"):
            execution = aws.client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if aws.error_code(error) != "ExecutionDoesNotExist":  # Step Functions deletes executions after 90 days
            raise
        return True
    return "stopDate" in execution and now - execution["stopDate"] > PATIENCE


# ------------------------------------------------------------------------------------------------- an Express workflow


@dataclass(frozen=True, slots=True)
class Found:
    """The executions that have not succeeded."""

    registered: int
    stuck: int
    oldest: timedelta  # age of the oldest
    overdue: tuple[RegisteredExecution, ...]  # those to be handed over, longest overdue first, at most MOST_OVERDUE


def find_registered(table: str, now: datetime, overdue_after: timedelta) -> Found:
    """The state of all executions that have not succeeded. Raises ServiceUnavailable."""
    found = list(_registered(table))
    overdue = [execution for execution in found if execution.due(overdue_after) <= now]
    overdue.sort(key=lambda execution: execution.due(overdue_after))
    return Found(
        registered=len(found),
        stuck=sum(execution.is_stuck(now, overdue_after) for execution in found),
        oldest=max((now - execution.since for execution in found), default=timedelta(0)),
        overdue=tuple(overdue[:MOST_OVERDUE]),
    )


def hand_over(table: str, housekeeping: str, overdue: Iterable[RegisteredExecution]) -> None:
    """Starts Housekeeping for each of these executions. Raises ServiceUnavailable, after all others were tried."""
    with ThreadPoolExecutor(_THREADS, "sweep") as pool:
        handed_over = [pool.submit(_hand_over, table, housekeeping, execution) for execution in overdue]
    for one in handed_over:
        one.result()


def _registered(table: str) -> Iterator[RegisteredExecution]:
    """All of them, in no order."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=table, ProjectionExpression="ExecutionArn, RegisteredAt, Resumptions")
    )
    with aws.translate_transient_errors("DynamoDB"):
        for page in pages:
            yield from map(RegisteredExecution.from_item, page["Items"])


def _hand_over(table: str, housekeeping: str, execution: RegisteredExecution) -> None:
    """Removed only after Housekeeping has started: what lies between happens again in the next sweep, harmlessly."""
    with aws.translate_transient_errors("DynamoDB"):
        item = aws.client("dynamodb").get_item(TableName=table, Key=execution.key, ConsistentRead=True).get("Item")
    if item is None:
        return
    # The name lets Step Functions recognise an execution that an earlier sweep started.
    name = hashlib.sha256(f"{execution.arn} {execution.registered_at}".encode()).hexdigest()
    event = json.dumps(ended_early(execution.arn, item["Input"]["S"]))
    try:
        with aws.translate_transient_errors("Step Functions"):
            aws.client("stepfunctions").start_execution(stateMachineArn=housekeeping, name=name, input=event)
    except ClientError as error:
        if aws.error_code(error) != "ExecutionAlreadyExists":
            raise
    with aws.translate_transient_errors("DynamoDB"):
        aws.client("dynamodb").delete_item(TableName=table, Key=execution.key)

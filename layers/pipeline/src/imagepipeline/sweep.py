"""Finds executions of an Express workflow that ended early, and hands them to Housekeeping."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.executions import RegisteredExecution, ended_early

# Three requests each, of about 20 ms: a second in eight threads for 130 of them. The next sweep, a minute later,
# continues with the rest. A larger number would not help images that wait for a quota.
MOST = 1000
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What a sweep found."""

    registered: int
    stuck: int
    oldest: timedelta  # age of the oldest execution that has not succeeded
    overdue: tuple[RegisteredExecution, ...]  # to be handed over, longest overdue first


def find_registered(table: str, now: datetime, overdue_after: timedelta) -> Found:
    """The state of all executions that have not succeeded. Raises ServiceUnavailable."""
    found = list(_registered(table))
    due = sorted((execution.due(overdue_after), execution.arn, execution) for execution in found)
    return Found(
        registered=len(found),
        stuck=sum(execution.is_stuck(now, overdue_after) for execution in found),
        oldest=max((now - execution.since for execution in found), default=timedelta(0)),
        overdue=tuple(execution for moment, _, execution in due if moment <= now)[:MOST],
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

"""Finds records that an execution of a Standard workflow left unfinished when it ended.

Step Functions reports each execution that ends early, and Housekeeping then resumes it. If that fails, or if the event
is lost, the record is PROCESSING forever.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from imagepipeline import aws, records
from imagepipeline.executions import PATIENCE

# BatchGetItem's limit. While more images than that wait for a quota, a stuck one is found once it is among the oldest.
MOST = 100
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What was found among the images that have been PROCESSING for longest."""

    examined: int
    stuck: int


def find_stuck(table: str, image_pipeline: str, now: datetime) -> Found:
    """Examines the oldest records that are PROCESSING. Raises ServiceUnavailable."""
    keys = records.keys_by_status(table, "PROCESSING", before=now - PATIENCE, limit=MOST)
    found = records.find_all(table, keys, ("ImageKey", "Status", "ExecutionArn")).values()
    executions = [record["ExecutionArn"] for record in found if record["Status"] == "PROCESSING"]
    with ThreadPoolExecutor(_THREADS, "describe") as pool:
        ends = pool.map(lambda arn: _ended(image_pipeline, arn, now), executions)
        return Found(examined=len(executions), stuck=sum(ends))


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

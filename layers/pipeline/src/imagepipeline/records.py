"""Builds the records of processed images, and reads and writes records in the table."""

from collections.abc import Sequence
from datetime import datetime

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.errors import ServiceUnavailable, Superseded
from imagepipeline.items import from_item, to_item
from imagepipeline.models import Execution, JsonObject, Upload, timestamp
from imagepipeline.ordering import MAY_COMPLETE
from imagepipeline.quarantine import HELD

BY_STATUS = "ByStatus"  # the table's index
_TRIES = 3  # of reading many records; botocore's own retries come on top


def completed(
    upload: Upload,
    execution: Execution,
    completed_at: datetime,
    metadata: JsonObject,
    renditions: JsonObject,
    attempts: JsonObject,
) -> JsonObject:
    """The record of an image that was processed.

    `metadata`, `renditions` and `attempts` (the number of attempts for each step) are state data, in PascalCase.
    """
    return {
        "ImageKey": upload.key,
        "Status": "COMPLETED",
        "Sequencer": upload.sequencer,
        "VersionId": upload.version_id,
        "ETag": upload.etag,
        "Bytes": upload.size,
        "ReceivedAt": upload.received_at,
        "StartedAt": execution.started_at,
        "CompletedAt": timestamp(completed_at),
        "ExecutionArn": execution.arn,
        "Attempts": attempts,
        **metadata,
        "Renditions": renditions,
    }


def held(record: JsonObject, reason: JsonObject) -> JsonObject:
    """The record of an image that was processed, and is not shown until a moderator decides."""
    return record | {"Status": HELD, "HeldBecause": reason}


def store(table: str, record: JsonObject) -> None:
    """Writes a COMPLETED or HELD record in place of the one that its execution owns.

    Raises Superseded if another execution owns the key, the upload was deleted, or the execution was already recorded
    as failed; raises ServiceUnavailable.
    """
    try:
        with aws.translate_transient_errors("DynamoDB"):
            aws.client("dynamodb").put_item(
                TableName=table,
                Item=to_item(record),
                ConditionExpression=MAY_COMPLETE,
                ExpressionAttributeNames={"#status": "Status"},
                ExpressionAttributeValues={
                    ":execution": {"S": record["ExecutionArn"]},
                    ":failed": {"S": "FAILED"},
                },
            )
    except ClientError as error:
        if aws.error_code(error) == "ConditionalCheckFailedException":
            raise Superseded from error
        raise


def assert_ownership(table: str, key: str, execution: Execution) -> None:
    """Raises Superseded unless `execution` owns the record of `key`; raises ServiceUnavailable."""
    record = find(table, key)
    if record is None or record["ExecutionArn"] != execution.arn:
        raise Superseded


def find(table: str, image_key: str) -> JsonObject | None:
    """The record of an upload, or None. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("DynamoDB"):
        # Consistent, so that a subscriber who reads the record after a notification finds the new one.
        answer = aws.client("dynamodb").get_item(
            TableName=table, Key={"ImageKey": {"S": image_key}}, ConsistentRead=True
        )
    return from_item(answer["Item"]) if "Item" in answer else None


def find_all(table: str, image_keys: Sequence[str], attributes: Sequence[str] = ()) -> dict[str, JsonObject]:
    """The records of at most 100 uploads, by key; those without a record are left out. Raises ServiceUnavailable.

    With `attributes`, the records have only these.
    """
    # DynamoDB refuses a key that comes twice, as that of an image does while its entries in the index change.
    keys = [{"ImageKey": {"S": key}} for key in dict.fromkeys(image_keys)]
    request: JsonObject = {"Keys": keys, "ConsistentRead": True}
    if attributes:
        request["ProjectionExpression"] = ", ".join(f"#{name}" for name in attributes)
        request["ExpressionAttributeNames"] = {f"#{name}": name for name in attributes}
    pending: JsonObject = {table: request} if image_keys else {}
    found: dict[str, JsonObject] = {}
    for _ in range(_TRIES):
        if not pending:
            break
        with aws.translate_transient_errors("DynamoDB"):
            answer = aws.client("dynamodb").batch_get_item(RequestItems=pending)
        for record in map(from_item, answer["Responses"].get(table, [])):
            found[record["ImageKey"]] = record
        pending = answer.get("UnprocessedKeys") or {}
    if pending:
        raise ServiceUnavailable("DynamoDB", "it returned only a part of the records")
    return found


def keys_by_status(table: str, status: str, *, before: datetime, limit: int) -> list[str]:
    """The keys of images with a status, received before a time, oldest first. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("DynamoDB"):
        answer = aws.client("dynamodb").query(
            TableName=table,
            IndexName=BY_STATUS,
            KeyConditionExpression="#status = :status AND ReceivedAt < :before",
            ExpressionAttributeNames={"#status": "Status"},
            ExpressionAttributeValues={":status": {"S": status}, ":before": {"S": timestamp(before)}},
            Limit=limit,
        )
    return [item["ImageKey"]["S"] for item in answer["Items"]]

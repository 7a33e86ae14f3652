"""The record of an upload: what the table keeps and the status endpoint tells."""

import json
from datetime import UTC, datetime
from decimal import Decimal

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.errors import Superseded
from imagepipeline.models import Upload
from imagepipeline.ordering import MAY_FINISH

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def completed(upload: Upload, completed_at: datetime, metadata: dict, renditions: dict) -> dict:
    """The record of an image that came through.

    `metadata` and `renditions` are state data, PascalCase.
    """
    return {
        "ImageKey": upload.key,
        "Status": "COMPLETED",
        "Sequencer": upload.sequencer,
        "VersionId": upload.version_id,
        "ETag": upload.etag,
        "Bytes": upload.size,
        "ReceivedAt": upload.received_at,
        "StartedAt": upload.started_at,
        "CompletedAt": timestamp(completed_at),
        "ExecutionArn": upload.execution_arn,
        **metadata,
        "Renditions": renditions,
    }


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond, as Step Functions writes the record's other times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def finish(table: str, record: dict) -> None:
    """Writes a record over the one that its execution began.

    Raises Superseded when another execution has taken the key over or the upload was deleted, ServiceUnavailable.
    """
    try:
        with aws.worth_retrying("DynamoDB"):
            aws.client("dynamodb").put_item(
                TableName=table,
                Item=to_item(record),
                ConditionExpression=MAY_FINISH,
                ExpressionAttributeValues={":execution": {"S": record["ExecutionArn"]}},
            )
    except ClientError as error:
        if aws.error_code(error) == "ConditionalCheckFailedException":
            raise Superseded from error
        raise


def require_held(table: str, upload: Upload) -> None:
    """Raises Superseded unless the record is still its execution's, and ServiceUnavailable."""
    record = find(table, upload.key)
    if record is None or record["ExecutionArn"] != upload.execution_arn:
        raise Superseded


def find(table: str, image_key: str) -> dict | None:
    """The record of an upload, or None. Raises ServiceUnavailable."""
    with aws.worth_retrying("DynamoDB"):
        # Consistent, so that whoever was just told of an image also finds it.
        answer = aws.client("dynamodb").get_item(
            TableName=table, Key={"ImageKey": {"S": image_key}}, ConsistentRead=True
        )
    return from_item(answer["Item"]) if "Item" in answer else None


def to_item(record: dict) -> dict:
    """A record as DynamoDB takes it, which knows no floats."""
    return {name: _serialize(value) for name, value in json.loads(json.dumps(record), parse_float=Decimal).items()}


def from_item(item: dict) -> dict:
    """The reverse of `to_item`: numbers come out as int or float."""
    return {name: _plain(_deserialize(value)) for name, value in item.items()}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value

"""The record of an upload: what the table keeps and the status endpoint tells."""

from datetime import UTC, datetime
from decimal import Decimal

from botocore.exceptions import ClientError

from imagepipeline import aws
from imagepipeline.errors import Superseded
from imagepipeline.models import Upload
from imagepipeline.ordering import MAY_FINISH


def completed(upload: Upload, completed_at: datetime, metadata: dict, renditions: dict, attempts: dict) -> dict:
    """The record of an image that came through.

    `metadata`, `renditions` and `attempts`, how often each step was tried, are state data, PascalCase.
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
        "Attempts": attempts,
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
        with aws.translate_transient_errors("DynamoDB"):
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


def assert_ownership(table: str, upload: Upload) -> None:
    """Raises Superseded unless the record is still its execution's, and ServiceUnavailable."""
    record = find(table, upload.key)
    if record is None or record["ExecutionArn"] != upload.execution_arn:
        raise Superseded


def find(table: str, image_key: str) -> dict | None:
    """The record of an upload, or None. Raises ServiceUnavailable."""
    with aws.translate_transient_errors("DynamoDB"):
        # Consistent, so that whoever was just told of an image also finds it.
        answer = aws.client("dynamodb").get_item(
            TableName=table, Key={"ImageKey": {"S": image_key}}, ConsistentRead=True
        )
    return from_item(answer["Item"]) if "Item" in answer else None


def to_item(record: dict) -> dict:
    """A record, which is JSON, in DynamoDB's notation."""
    return {name: _to_attribute(value) for name, value in record.items()}


def from_item(item: dict) -> dict:
    """The reverse of `to_item`: numbers come out as int or float."""
    return {name: _from_attribute(attribute) for name, attribute in item.items()}


# boto3 has the like in boto3.dynamodb.types, but for Decimal instead of float, and importing it imports all of boto3.
def _to_attribute(value: object) -> dict:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [_to_attribute(member) for member in value]}
        case dict():
            return {"M": to_item(value)}
    raise TypeError(f"{value!r} is not JSON")


def _from_attribute(attribute: dict) -> object:
    [(kind, value)] = attribute.items()
    match kind:
        case "NULL":
            return None
        case "BOOL" | "S":
            return value
        case "N":
            number = Decimal(value)
            return int(number) if number == number.to_integral_value() else float(number)
        case "L":
            return [_from_attribute(member) for member in value]
        case "M":
            return from_item(value)
    raise TypeError(f"{kind} is no type that a record has")

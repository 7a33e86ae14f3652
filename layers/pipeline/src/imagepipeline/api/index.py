"""Reading pages of records through the table's index: the edge towards DynamoDB."""

from imagepipeline import aws, records
from imagepipeline.api.listings import Listing, Position
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.keys import UPLOADS_PREFIX
from imagepipeline.models import JsonObject

INDEX = "ByStatus"
# How many entries of the index one page looks at for a prefix. At most 1 MB, and 25 read units for usual keys.
EXAMINED = 1000
_TRIES = 3  # botocore's own retries come on top

# What a page says of each image; a client that wants the whole record asks for it by its key.
SUMMARY = (
    *("ImageKey", "Status", "ReceivedAt", "StartedAt", "CompletedAt", "Bytes", "Format", "Width", "Height"),
    *("Labels", "LabelsError", "Renditions", "Error", "FailedStep"),
)


def read_page(table: str, listing: Listing) -> tuple[list[JsonObject], str | None]:
    """One page of a listing, and the cursor of the next page, if there is one. Raises ServiceUnavailable.

    With a prefix, a page may have fewer records than its limit, or none, although there is a next page.
    """
    examined, more = _query(table, listing)
    found: list[Position] = []
    for position in examined:
        if position.image_key.startswith(listing.prefix):
            found.append(position)
            if len(found) == listing.limit:
                break
    if len(found) == listing.limit and examined and found[-1] != examined[-1]:
        more = found[-1]  # the rest of what was examined is for the next page
    return _records(table, listing.status, found), listing.cursor(more) if more else None


def _query(table: str, listing: Listing) -> tuple[list[Position], Position | None]:
    """Entries of the index, and the last one if there may be others after it."""
    arguments: JsonObject = {
        "TableName": table,
        "IndexName": INDEX,
        "KeyConditionExpression": "#status = :status AND ReceivedAt BETWEEN :earliest AND :latest",
        "ExpressionAttributeNames": {"#status": "Status"},
        "ExpressionAttributeValues": {
            ":status": {"S": listing.status},
            ":earliest": {"S": listing.earliest},
            ":latest": {"S": listing.latest},
        },
        "ScanIndexForward": False,
        "Limit": listing.limit if listing.prefix == UPLOADS_PREFIX else EXAMINED,
    }
    if listing.after:
        arguments["ExclusiveStartKey"] = {
            "Status": {"S": listing.status},
            "ReceivedAt": {"S": listing.after.received_at},
            "ImageKey": {"S": listing.after.image_key},
        }
    with aws.translate_transient_errors("DynamoDB"):
        answer = aws.client("dynamodb").query(**arguments)
    return [_position(item) for item in answer["Items"]], (
        _position(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
    )


def _position(item: JsonObject) -> Position:
    return Position(item["ReceivedAt"]["S"], item["ImageKey"]["S"])


def _records(table: str, status: str, positions: list[Position]) -> list[JsonObject]:
    """The records at these positions, in order, without those that have been replaced, finished or deleted since."""
    pending: JsonObject = {}
    if positions:
        pending = {
            table: {
                "Keys": [{"ImageKey": {"S": position.image_key}} for position in positions],
                "ProjectionExpression": ", ".join(f"#{name}" for name in SUMMARY),
                "ExpressionAttributeNames": {f"#{name}": name for name in SUMMARY},
                # An index follows its table with a delay: a record that is read consistently is as new as its entry.
                "ConsistentRead": True,
            }
        }
    found: dict[str, JsonObject] = {}
    for _ in range(_TRIES):
        if not pending:
            break
        with aws.translate_transient_errors("DynamoDB"):
            answer = aws.client("dynamodb").batch_get_item(RequestItems=pending)
        for record in map(records.from_item, answer["Responses"].get(table, [])):
            found[record["ImageKey"]] = record
        pending = answer.get("UnprocessedKeys") or {}
    if pending:
        raise ServiceUnavailable("DynamoDB", "it returned only a part of the records")
    current = (found.get(position.image_key) for position in positions)
    return [
        record
        for record, position in zip(current, positions, strict=True)
        if record and (record["Status"], record["ReceivedAt"]) == (status, position.received_at)
    ]

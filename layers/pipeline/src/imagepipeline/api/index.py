"""Reading pages of records through an index: the edge towards DynamoDB."""

from typing import NamedTuple

from imagepipeline import aws, lists, records
from imagepipeline.api.listings import Listing, Position
from imagepipeline.models import JsonObject
from imagepipeline.quarantine import without_held_renditions

# How many entries one page looks at for a prefix or a confidence. At most 1 MB, and 30 read units for usual keys.
EXAMINED = 1000

# What a page says of each image; a client that wants the whole record asks for it by its key.
SUMMARY = (
    *("ImageKey", "Status", "ReceivedAt", "StartedAt", "CompletedAt", "Bytes", "Format", "Width", "Height"),
    *("Labels", "LabelsError", "Renditions", "HeldBecause", "Error", "FailedStep"),
)


class Entry(NamedTuple):
    """What an index says of an image."""

    position: Position
    confidence: float  # percent, of the label that is asked for


def read_page(images_table: str, index_table: str, listing: Listing) -> tuple[list[JsonObject], str | None]:
    """One page of a listing, and the cursor of the next page, if there is one. Raises ServiceUnavailable.

    A page may have fewer records than its limit, or none, although there is a next page.
    """
    examined, more = _query(images_table, index_table, listing)
    found: list[Position] = []
    for entry in examined:
        if entry.position.image_key.startswith(listing.prefix) and entry.confidence >= listing.min_confidence:
            found.append(entry.position)
            if len(found) == listing.limit:
                break
    if len(found) == listing.limit and found[-1] != examined[-1].position:
        more = found[-1]  # the rest of what was examined is for the next page
    return _records(images_table, listing, found), listing.cursor(more) if more else None


def _query(images_table: str, index_table: str, listing: Listing) -> tuple[list[Entry], Position | None]:
    """Entries of the index, and the last position if there may be others after it."""
    of = _of_list(index_table, listing) if listing.list_name else _of_status(images_table, listing)
    with aws.translate_transient_errors("DynamoDB"):
        answer = aws.client("dynamodb").query(
            **of, ScanIndexForward=False, Limit=EXAMINED if listing.is_selective else listing.limit
        )
    entries = [
        Entry(
            Position(_received_at(item), item["ImageKey"]["S"]),
            float(item["Confidence"]["N"]) if listing.label else 100,
        )
        for item in answer["Items"]
    ]
    return entries, entries[-1].position if "LastEvaluatedKey" in answer else None


def _received_at(item: JsonObject) -> str:
    text: str = item["Position"]["S"].partition("#")[0] if "Position" in item else item["ReceivedAt"]["S"]
    return text


def _of_status(table: str, listing: Listing) -> JsonObject:
    """The part of a query that names the status, the times and where to go on, in the index of the images table."""
    arguments: JsonObject = {
        "TableName": table,
        "IndexName": records.BY_STATUS,
        "KeyConditionExpression": "#status = :status AND ReceivedAt BETWEEN :earliest AND :latest",
        "ExpressionAttributeNames": {"#status": "Status"},
        "ExpressionAttributeValues": {
            ":status": {"S": listing.status},
            ":earliest": {"S": listing.earliest},
            ":latest": {"S": listing.latest},
        },
    }
    if listing.after:
        arguments["ExclusiveStartKey"] = {
            "Status": {"S": listing.status},
            "ReceivedAt": {"S": listing.after.received_at},
            "ImageKey": {"S": listing.after.image_key},
        }
    return arguments


def _of_list(table: str, listing: Listing) -> JsonObject:
    """The same for a list of the index table."""
    arguments: JsonObject = {
        "TableName": table,
        "KeyConditionExpression": "ListName = :list AND #position BETWEEN :earliest AND :latest",
        "ExpressionAttributeNames": {"#position": "Position"},
        "ExpressionAttributeValues": {
            ":list": {"S": listing.list_name},
            ":earliest": {"S": listing.earliest},
            # A position is a time, "#" and a hash. "$" is the character after "#".
            ":latest": {"S": f"{listing.latest}$"},
        },
    }
    if listing.after:
        arguments["ExclusiveStartKey"] = {
            "ListName": {"S": listing.list_name},
            "Position": {"S": lists.position(*listing.after)},
        }
    return arguments


def _records(table: str, listing: Listing, positions: list[Position]) -> list[JsonObject]:
    """The records at these positions, in order, without those that have changed since and do not belong there now."""
    # An index follows its table with a delay: a record that is read consistently is as new as its entry.
    found = records.find_all(table, [position.image_key for position in positions], SUMMARY)
    current = ((found.get(position.image_key), position) for position in positions)
    return [
        without_held_renditions(record)
        for record, position in current
        if record and record["ReceivedAt"] == position.received_at and listing.shows(record)
    ]

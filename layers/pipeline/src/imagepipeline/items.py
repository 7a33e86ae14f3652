"""Records, which are JSON, as items of DynamoDB. Standard library only.

boto3.dynamodb.types requires Decimal instead of float, and importing it imports all of boto3.
"""

from decimal import Decimal

from imagepipeline.models import JsonObject


def to_item(record: JsonObject) -> JsonObject:
    """A record as a DynamoDB item. Raises TypeError for what is not JSON."""
    return {name: _to_attribute(value) for name, value in record.items()}


def from_item(item: JsonObject) -> JsonObject:
    """The reverse of `to_item`. Numbers become int or float. Raises TypeError for sets and bytes."""
    return {name: _from_attribute(attribute) for name, attribute in item.items()}


def _to_attribute(value: object) -> JsonObject:
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


def _from_attribute(attribute: JsonObject) -> object:
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
    raise TypeError(f"records contain no attributes of the type {kind}")

"""docs/event.schema.json, as tests hold published events against it."""

import json
from functools import cache
from pathlib import Path

import jsonschema

FILE = Path(__file__).parent.parent / "docs" / "event.schema.json"


def require_valid(event: dict) -> None:
    """Raises jsonschema.ValidationError unless the event is one that docs/events.md describes, with nothing besides."""
    _validator().validate(event)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    """Stricter than what consumers are told: a field that the schema does not describe is an error, too."""
    schema = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(_closed(schema))


def _closed(schema: object) -> object:
    if isinstance(schema, list):
        return [_closed(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    return closed | {"additionalProperties": False} if "properties" in schema and "type" in schema else closed

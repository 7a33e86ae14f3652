"""docs/openapi.yaml, and what it says of a response."""

import json
from functools import cache

import yaml
from jsonschema import Draft202012Validator

from tests.functions.deployed import PROJECT


@cache
def document() -> dict:
    return yaml.load((PROJECT / "docs" / "openapi.yaml").read_text(), yaml.CSafeLoader)


@cache
def operations() -> dict[str, dict]:
    """Every operation by its route, such as "GET /images"."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def resolve(value: dict) -> dict:
    """A part of the document, or what it refers to."""
    while "$ref" in value:
        found: dict = document()
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        value = found
    return value


def check_response(route: str, status: int, headers: dict, body: str | bytes) -> None:
    """Fail unless the document has this response."""
    responses = operations()[route]["responses"]
    assert str(status) in responses, f"{route} is not documented to answer {status}"
    response = resolve(responses[str(status)])
    for name, header in response.get("headers", {}).items():
        assert name in headers or not header.get("required")
    if "content" not in response:
        assert not body
        return
    schema = response["content"]["application/json"]["schema"]
    # References point into the document, so its components go along.
    Draft202012Validator({**schema, "components": document()["components"]}).validate(json.loads(body))

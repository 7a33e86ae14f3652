"""docs/openapi.yaml says what the template and the functions do. The functions' own tests check each response."""

import json

import pytest

from imagepipeline import lists
from imagepipeline.api import uploads
from imagepipeline.api.listings import DEFAULT_LIMIT, MAX_LIMIT, STATUSES
from tests.functions.contract import document, operations, resolve
from tests.functions.test_read_images import ask
from tests.functions.test_write_images import send
from tests.template.stack import of_type

# An HTTP API matches the path that people type by a variable that spans slashes.
BY_PATH = {"GET /images/{path+}": "GET /images/uploads/{filename}/status"}
STATUS = {"GET /images/status", *BY_PATH.values()}


def test_the_document_is_valid():
    from openapi_spec_validator import validate  # takes longer to import than the other tests to run

    validate(document())


def test_every_route_of_the_template_is_documented_and_no_other():
    routes = {properties["RouteKey"] for properties in of_type("AWS::ApiGatewayV2::Route").values()}

    assert {BY_PATH.get(route, route) for route in routes} == operations().keys()


@pytest.mark.parametrize("route", sorted(operations().keys() - STATUS))
def test_exactly_the_documented_parameters_are_taken(route):
    parameters = [resolve(parameter) for parameter in operations()[route].get("parameters", [])]
    documented = sorted(parameter["name"] for parameter in parameters if parameter["in"] == "query")

    if route.startswith("GET"):
        answer = json.loads(ask(route, unheard_of=1)["body"])
    else:
        answer = send(route, query="unheard_of=1", upload_id="x")[1]

    assert answer["message"].endswith(f"; this call takes {', '.join(documented) or 'none'}")


def schema_of(route: str, name: str) -> dict:
    parameters = map(resolve, operations()[route]["parameters"])
    return resolve(next(parameter for parameter in parameters if parameter["name"] == name)["schema"])


def test_the_documented_limits_are_the_functions_own():
    limit = schema_of("GET /images", "limit")
    described = operations()["POST /uploads"]["requestBody"]["content"]["application/json"]["schema"]

    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, MAX_LIMIT, DEFAULT_LIMIT)
    assert schema_of("GET /images", "label")["maxLength"] == lists.MAX_LABEL_LENGTH
    assert set(document()["components"]["schemas"]["Status"]["enum"]) == set(STATUSES)
    assert described["properties"].keys() == uploads.MEMBERS
    assert described["properties"]["ContentType"]["enum"] == list(uploads.ACCEPTED_TYPES)
    assert document()["components"]["schemas"]["Filename"]["maxLength"] == uploads.MAX_FILENAME_BYTES
    assert operations()["POST /images"]["summary"].split(" MiB")[0].endswith(str(uploads.DIRECT_BYTES // 2**20))
    assert f"above {uploads.MULTIPART_FROM // 2**20} MiB" in operations()["POST /uploads"]["summary"]

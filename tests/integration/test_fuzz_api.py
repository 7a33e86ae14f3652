"""Schemathesis calls the deployed API with what docs/openapi.yaml allows and with what it does not."""

import os

import pytest
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from requests import PreparedRequest
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.functions.contract import document, operations

pytestmark = [pytest.mark.xdist_group("deployed"), pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))  # of each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


class Signature(AuthBase):
    """Signs what schemathesis sends."""

    def __init__(self, access_key: tuple[str, str]) -> None:
        self._credentials = Credentials(*access_key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        path, _, query = request.url.partition("?")
        request.url = f"{path}?{query.replace('+', '%20')}"  # a signature has spaces as %20
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        headers = {"Content-Type": request.headers["Content-Type"]} if "Content-Type" in request.headers else {}
        signed = AWSRequest(request.method, request.url, headers, body)
        SigV4Auth(self._credentials, "execute-api", "us-east-1").add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


@pytest.fixture(scope="module")
def signature(deployed) -> Signature:
    return Signature(deployed.api_client("*").access_key)


@pytest.mark.parametrize("route", sorted(operations()))
def test_no_request_is_answered_in_a_way_that_is_not_documented(deployed, signature, route):
    method, _, path = route.partition(" ")
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=deployed.outputs["ImageStatusApiEndpoint"])
    operation = schema[path][method]
    as_documented, otherwise = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(as_documented | otherwise)
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, auth=signature)

    check()

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from imagepipeline import aws
from imagepipeline.errors import ServiceUnavailable

URL = "https://s3.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.client.cache_clear()
    yield
    aws.client.cache_clear()


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "says AWS"}}, "GetObject")


@pytest.mark.parametrize(
    "error",
    [
        refusal("SlowDown"),
        refusal("ThrottlingException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("RequestLimitExceeded"),
        refusal("InternalError"),
        refusal("InternalServerError"),
        refusal("ServiceUnavailable"),
        refusal("RequestTimeout"),
        refusal("500"),
        refusal("503"),
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseStreamingError(error="the connection broke"),
    ],
    ids=str,
)
def test_what_may_be_better_soon_is_called_unavailable_and_keeps_its_cause(error):
    with pytest.raises(ServiceUnavailable) as unavailable, aws.translate_transient_errors("S3"):
        raise error

    assert str(unavailable.value) == f"S3 is unavailable: {error}"
    assert unavailable.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDenied"),
        refusal("NoSuchKey"),
        refusal("ConditionalCheckFailedException"),
        refusal("ValidationException"),
        NoCredentialsError(),
        ValueError("a mistake of ours"),
    ],
    ids=str,
)
def test_what_another_try_would_not_better_comes_through_as_it_is(error):
    with pytest.raises(type(error)) as raised, aws.translate_transient_errors("S3"):
        raise error

    assert raised.value is error


@pytest.mark.parametrize(("response", "code"), [({"Error": {"Code": "412"}}, "412"), ({"Error": {}}, ""), ({}, "")])
def test_an_error_without_a_code_has_an_empty_one(response, code):
    assert aws.error_code(ClientError(response, "GetObject")) == code


def test_a_warm_function_keeps_its_clients():
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3") is not aws.client("dynamodb")


def test_a_call_is_tried_three_times_within_a_function_s_time():
    config = aws.client("s3").meta.config

    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
    assert config.connect_timeout + config.read_timeout < 30

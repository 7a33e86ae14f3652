import socket
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.config import Config
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

from functions.status import app as status
from imagepipeline import aws, objects, records
from imagepipeline.api import storage
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.models import Upload
from imagepipeline.objects import UploadedObject
from tests.functions.deployed import invoke

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


# ------------------------------------------------------------------------------------------ services that do not answer

HEADERS_ONLY = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "e"\r\n\r\n012'


@pytest.fixture
def hung(monkeypatch):
    """Direct the clients to a server that accepts connections, sends these bytes and then nothing more."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(response: bytes) -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    connections.append(connection)
                    connection.recv(65536)
                    connection.sendall(response)
                except OSError:  # the test is over
                    return

        def start(response: bytes = b"") -> list[socket.socket]:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
            for service, config in aws._CONFIGS.items():
                monkeypatch.setitem(aws._CONFIGS, service, config.merge(Config(read_timeout=0.1)))
            # botocore pauses before a second attempt, and waits for leave to send a body.
            monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
            monkeypatch.setattr("urllib3.util.wait_for_read", lambda *_: False)
            threading.Thread(target=serve, args=[response], daemon=True).start()
            return connections

        yield start
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def an_upload() -> UploadedObject:
    return UploadedObject(
        Upload(bucket="b", key="uploads/x", etag="e", size=10, sequencer="0", version_id="null", received_at="")
    )


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("S3", lambda: an_upload().read_all()),
        ("S3", lambda: objects.list_versions("b", "uploads/x")),
        ("S3", lambda: objects.write_rendition("b", "k", "JPEG", b"0123456789")),
        ("S3", lambda: objects.delete_renditions("b", ["k"])),
        ("DynamoDB", lambda: records.find("images", "uploads/x")),
    ],
    ids=["read", "list", "write", "delete", "table"],
)
def test_a_service_that_never_responds_is_unavailable_after_two_attempts(hung, service: str, call):
    connections = hung()

    with pytest.raises(ServiceUnavailable, match=f"^{service} is unavailable: .*[Tt]imeout"):
        call()

    assert len(connections) == 2


def test_an_object_that_never_ends_is_unavailable(hung):
    hung(HEADERS_ONLY)

    with pytest.raises(ServiceUnavailable, match=r"^S3 is unavailable: .*[Tt]imeout"):
        an_upload().read_all()


def test_the_status_is_unavailable_while_the_table_does_not_respond(hung, monkeypatch):
    hung()
    monkeypatch.setenv("IMAGES_TABLE", "images")

    request = {"routeKey": "GET /images/{path+}", "rawPath": "/images/uploads/x.jpg/status", "rawQueryString": ""}
    assert invoke(status, request)["statusCode"] == 503


@pytest.mark.parametrize("name", ["eu-west-1", "eu-south-2"])
def test_presigned_urls_lead_to_the_region_of_the_buckets(name, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(aws, "_session", botocore.session.get_session)

    urls = [
        storage.rendition_url("photos-thumbnails", "1f/A1/small.jpg"),
        storage.presigned_post("photos-uploads", "uploads/a.jpg", "image/jpeg", 1000)["Url"],
        storage.part_urls("photos-uploads", "uploads/a.jpg", "id", {1: 1000})[0]["Url"],
    ]

    assert {urlsplit(url).hostname.partition(".")[2] for url in urls} == {f"s3.{name}.amazonaws.com"}

"""The one place that makes clients of AWS's services, and that turns their errors into the pipeline's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from imagepipeline.errors import ServiceUnavailable

# Three attempts within the call; patience beyond that is the state machine's, where waiting costs nothing.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=3, read_timeout=25)

# Codes S3 and DynamoDB use for "try again later" in botocore's retry definitions and the services' error references.
_TRY_AGAIN = frozenset(
    {
        "InternalError",
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "500",
        "502",
        "503",
        "504",
    }
)


@cache
def _session() -> botocore.session.Session:
    # Not boto3's: its clients are these, and its resources and transfers are an eighth of a cold start.
    return botocore.session.get_session()


@cache
def client(service: str) -> Any:
    """The client for a service, made once and kept for the life of the execution environment.

    Its methods are made at run time, out of the service's model, so there is no static type to give.
    """
    return _session().create_client(service, config=_CONFIG)


def make_clients(*services: str) -> None:
    """Makes clients ahead of their first use: during init, Lambda gives more CPU than the function's memory buys."""
    for service in services:
        client(service)


def error_code(error: ClientError) -> str:
    """The service's code for what went wrong, such as `NoSuchKey` or `412`."""
    return error.response.get("Error", {}).get("Code", "")


def reason(error: Exception) -> str:
    """What an error says, on one line and short enough for a mail: proxies answer with whole pages of HTML."""
    return " ".join(str(error).split())[:300]


@contextmanager
def translate_transient_errors(service: str) -> Iterator[None]:
    """Raises ServiceUnavailable for throttling, server errors and broken connections; lets everything else through."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in _TRY_AGAIN:
            raise ServiceUnavailable(service, reason(error)) from error
        raise
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise ServiceUnavailable(service, reason(error)) from error

"""Creates the clients of AWS services, and translates their transient errors. No other module creates clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from imagepipeline.errors import ServiceUnavailable


def _config(attempts: int, read_timeout: float) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=1, read_timeout=read_timeout
    )


# A service that does not respond must be found out before the function's own timeout, because only then the state
# machine learns that it is a transient error. tests/template/test_timeouts.py has the sums. Further retries are the
# state machine's, where waiting is free. Timeouts are in seconds: well above what each service takes.
_CONFIGS = {
    # For presigned URLs, which botocore would otherwise sign by the older scheme, and lead to the global endpoint. That
    # one redirects requests for a new bucket of another Region.
    "s3": _config(2, 4).merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"})),
    "dynamodb": _config(2, 2),
    "rekognition": _config(3, 10),
    "stepfunctions": _config(2, 4),
    "events": _config(3, 2),
    "sns": _config(3, 2),
}

# Error codes of the services for transient errors, from botocore's retry definitions and the API references.
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
    # botocore's, because boto3 adds resources and transfers, which nothing here uses: an eighth of a cold start.
    return botocore.session.get_session()


@cache
def client(service: str) -> Any:
    """The client for a service, made once and kept for the life of the execution environment.

    Its methods are made at run time, out of the service's model, so there is no static type to give.
    """
    return _session().create_client(service, config=_CONFIGS[service])


def make_clients(*services: str) -> None:
    """Creates clients during init, when Lambda gives a function more CPU than its memory size buys."""
    for service in services:
        client(service)


@contextmanager
def record_responses(service: str) -> Iterator[list[str]]:
    """The error codes of the service's responses within it, "" for those that succeeded. Each attempt counts."""
    codes: list[str] = []

    def record(response_dict: Any, parsed_response: dict[str, Any] | None, **_: object) -> None:
        if parsed_response is not None:
            codes.append(parsed_response.get("Error", {}).get("Code", ""))  # from several threads

    events = client(service).meta.events
    events.register(f"response-received.{service}", record)
    try:
        yield codes
    finally:
        events.unregister(f"response-received.{service}", record)


def error_code(error: ClientError) -> str:
    """The error code of the service, such as `NoSuchKey` or `412`."""
    return error.response.get("Error", {}).get("Code", "")


def reason(error: Exception) -> str:
    """The error's message on one line, and short enough for a notification: proxies return whole pages of HTML."""
    return " ".join(str(error).split())[:300]


@contextmanager
def translate_transient_errors(service: str) -> Iterator[None]:
    """Raises ServiceUnavailable for throttling, server errors and connection errors. Other errors pass unchanged."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in _TRY_AGAIN:
            raise ServiceUnavailable(service, reason(error)) from error
        raise
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise ServiceUnavailable(service, reason(error)) from error

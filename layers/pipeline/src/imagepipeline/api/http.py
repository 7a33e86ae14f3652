"""Requests and responses of an HTTP API, payload format 2.0. Pure, standard library only."""

import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from imagepipeline.errors import ServiceUnavailable
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.models import JsonObject


class Refused(Exception):
    """The request cannot be served as it is. The message says what would be right, and never quotes the request."""

    def __init__(self, status: int, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.details = details  # further members of the body


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent, as far as it can be read without knowing the route."""

    route: str  # such as "GET /images"
    query: dict[str, str]
    path: dict[str, str]  # variables of the path
    content_type: str  # lower case, without parameters
    body: bytes

    @classmethod
    def from_event(cls, event: JsonObject, allowed: frozenset[str]) -> "Request":
        """The request in an event, whose query may have these parameters, each once. Raises Refused."""
        return cls(
            route=event["routeKey"],
            query=_query(event.get("rawQueryString", ""), allowed),
            path=event.get("pathParameters") or {},
            content_type=event.get("headers", {}).get("content-type", "").partition(";")[0].strip().lower(),
            body=_body(event),
        )

    def image_key(self) -> str:
        """The upload's key in the parameter `key`. Raises Refused."""
        key = self.query.get("key", "")
        if not key.startswith(UPLOADS_PREFIX) or key == UPLOADS_PREFIX:
            raise Refused(400, f"key must be the URL-encoded key of an upload; it begins with {UPLOADS_PREFIX}")
        if len(key.encode()) > MAX_KEY_BYTES:
            raise Refused(400, f"key must have at most {MAX_KEY_BYTES} bytes")
        return key

    def switch(self, name: str) -> bool:
        """A parameter that is `true` or `false`, and false if it is missing. Raises Refused."""
        value = self.query.get(name, "false")
        if value not in ("true", "false"):
            raise Refused(400, f"{name} must be true or false")
        return value == "true"

    def json(self, allowed: frozenset[str]) -> JsonObject:
        """The body as a JSON object that has only these members. Raises Refused."""
        if self.content_type != "application/json":
            raise Refused(415, "Content-Type must be application/json")
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(400, "the body must be JSON in UTF-8") from None
        if not isinstance(value, dict) or value.keys() - allowed:
            raise Refused(
                400, f"the body must be a JSON object with no other members than {', '.join(sorted(allowed))}"
            )
        return value


def _query(raw: str, allowed: frozenset[str]) -> dict[str, str]:
    try:
        # rawQueryString is as the client sent it. The event's decoded form joins repeated parameters with commas.
        parsed = parse_qs(raw, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise Refused(400, "the query must be URL-encoded UTF-8 with at most 50 parameters") from None
    if parsed.keys() - allowed:
        raise Refused(
            400, f"the query has an unknown parameter; this call takes {', '.join(sorted(allowed)) or 'none'}"
        )
    if any(len(values) > 1 for values in parsed.values()):
        raise Refused(400, "the query has a parameter more than once")
    return {name: value for name, [value] in parsed.items()}


def _body(event: JsonObject) -> bytes:
    text: str = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return base64.b64decode(text)
    return text.encode(errors="surrogatepass")


def decoded_base64(text: object, name: str) -> bytes:
    """The bytes in a member of a JSON body. Raises Refused."""
    if not isinstance(text, str):
        raise Refused(400, f"{name} must be a string")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, f"{name} must be base64 with padding, and without line breaks") from None


def answer(status: int, body: JsonObject | None = None, **headers: str) -> JsonObject:
    """A response in the format that an HTTP API expects."""
    response: JsonObject = {"statusCode": status, "headers": {"Cache-Control": "no-store", **headers}}
    if body is not None:
        response["headers"]["Content-Type"] = "application/json"
        response["body"] = json.dumps(body, ensure_ascii=False)
    return response


def respond(
    routes: Mapping[str, Callable[[JsonObject], JsonObject]], event: JsonObject, logger: logging.Logger, busy: str
) -> JsonObject:
    """The response of the request's route, to a request that it refused, or 503 with the message `busy`."""
    try:
        return routes[event["routeKey"]](event)
    except Refused as error:
        return answer(error.status, {"message": str(error), **error.details})
    except ServiceUnavailable:
        logger.exception("service unavailable")
        return answer(503, {"message": busy})

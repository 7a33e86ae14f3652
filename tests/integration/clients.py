"""Clients of the deployed API: signed, with a token, or neither."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from urllib.parse import quote, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclass(frozen=True)
class Response:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """The redirect itself is the response."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def send(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Response:
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with _OPENER.open(request, timeout=60) as answer:
            return Response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Response(error.code, error.headers, error.read())


@dataclass(frozen=True)
class Client:
    """Someone who calls the API, with an access key, a token, or nothing to show."""

    endpoint: str
    access_key: tuple[str, str] | None = None
    token: str | None = None

    def call(
        self, route: str, query: str | dict = "", body: bytes | dict | None = None, content_type: str = ""
    ) -> Response:
        """The response to a route such as "GET /images"; a dictionary as body is sent as JSON."""
        method, _, path = route.partition(" ")
        query = query if isinstance(query, str) else urlencode(query, quote_via=quote)  # a signature has spaces as %20
        if isinstance(body, dict):
            body, content_type = json.dumps(body).encode(), "application/json"
        headers = {"Content-Type": content_type} if content_type else {}
        return self.send(method, f"{self.endpoint}{path}" + (f"?{query}" if query else ""), body, headers)

    def send(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Response:
        headers = dict(headers or {})
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.access_key is not None:
            request = AWSRequest(method, url, headers, body or b"")
            SigV4Auth(Credentials(*self.access_key), "execute-api", "us-east-1").add_auth(request)
            headers = dict(request.headers.items())
        return send(method, url, body, headers)


def post_form(url: str, fields: dict[str, str], data: bytes) -> Response:
    """Send an HTML form whose last field is a file, as a browser does."""
    boundary = "----form-boundary-7f3a"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*parts, data, f"\r\n--{boundary}--\r\n".encode()])
    return send("POST", url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

"""The stack's status API."""

import json
from dataclasses import dataclass
from urllib.parse import quote

from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from cli.api import Authorize

_CHANGED_IN_PATH = frozenset("%?")  # characters that an HTTP API does not pass on as they are


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    body: dict[str, object]  # empty if the response is not a JSON object


class StatusApi:
    """Requests the status of images, signed if the API asks for that."""

    def __init__(self, endpoint: str, authorize: Authorize | None) -> None:
        self._endpoint = endpoint
        self._authorize = authorize
        self._http = URLLib3Session(timeout=30)
        self._takes_query: bool | None = None  # whether it answers ?key=, which older stacks do not

    def of(self, key: str) -> Answer | None:
        """The answer for a key. None if the API takes the key in the path alone, and the path cannot carry it."""
        if self._takes_query is None:
            self._takes_query = self.get(f"/images/status?key={quote(key, safe='')}").status != 400
        if self._takes_query:
            return self.get(f"/images/status?key={quote(key, safe='')}")
        return None if _CHANGED_IN_PATH & set(key) else self.by_path(quote(key))

    def by_path(self, encoded_key: str) -> Answer:
        """The answer for a key in the path, encoded in any way."""
        return self.get(f"/images/{encoded_key}/status")

    def get(self, target: str, *, unsigned: bool = False) -> Answer:
        """The answer to GET `target`, a path and query as they are sent. Raises botocore's errors of a connection."""
        request = AWSRequest("GET", self._endpoint + target)
        if self._authorize and not unsigned:
            self._authorize(request)
        response = self._http.send(request.prepare())
        try:
            body = json.loads(response.content)
        except ValueError:
            body = None
        return Answer(response.status_code, body if isinstance(body, dict) else {})

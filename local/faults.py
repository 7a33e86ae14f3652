"""Asks the emulator for the faults that `local.emulator.calls` describes."""

import json
import urllib.request
from urllib.parse import urlencode


class Faults:
    """The faults that are still to come at the emulator with this URL."""

    def __init__(self, endpoint: str) -> None:
        self._url = f"{endpoint}/_local/faults"

    def ask(self, at: str, fault: str, times: int = 1) -> None:
        """Let a call fail the next `times` times. Raises urllib.error.HTTPError for an unknown fault."""
        self._request("POST", "?" + urlencode({"at": at, "fault": fault, "times": times}))

    def left(self) -> list[dict]:
        """The faults that have not happened yet."""
        return self._request("GET")

    def clear(self) -> None:
        """Remove all faults."""
        self._request("DELETE")

    def _request(self, method: str, query: str = "") -> list[dict]:
        with urllib.request.urlopen(urllib.request.Request(self._url + query, method=method), timeout=30) as answer:
            return json.load(answer)["faults"]

"""Keeps the emulator's state on disk while it runs, so that a kill costs a moment of configuration at the most.

MiniStack by itself saves when it is stopped in order. What changes with every request is in `journals`.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.core import persistence

from local.emulator import journals
from local.emulator.upstream import patch

PAUSE_SECONDS = 0.2
LONGEST_SHARE = 0.05  # of one core's time, for a service whose state has become large
IDLE_SECONDS = 60  # after the last request; nothing that matters changes by itself for longer

_log = logging.getLogger(__name__)


class Snapshots:
    """Writes each service's state whenever it differs from what its file holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}  # digests, by service
        self._due: dict[str, float] = {}
        self._last_request = time.monotonic()
        self._lock = threading.Lock()
        patch(app, "_load_persisted_state()")(self._restore)

    def note_request(self) -> None:
        """Take snapshots for the next `IDLE_SECONDS`."""
        self._last_request = time.monotonic()

    def take(self) -> None:
        """Write all that changed."""
        self._due.clear()
        self._take_due()

    def _restore(self, load: Callable) -> None:
        """Load the last run's state, then take snapshots in the background: not before, they would overwrite it."""
        load()
        journals.restore(self._folder)
        threading.Thread(target=self._run, name="snapshots", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(PAUSE_SECONDS)
            if time.monotonic() < self._last_request + IDLE_SECONDS:
                self._take_due()

    def _take_due(self) -> None:
        with self._lock:
            for service, get_state in app._build_persistence_save_dict().items():
                started = time.monotonic()
                if started >= self._due.get(service, 0):
                    self._write(service, _serialized(service, get_state))
                    ended = time.monotonic()
                    self._due[service] = ended + (ended - started) / LONGEST_SHARE

    def _write(self, service: str, state: str) -> None:
        """Replace the service's file as a whole: a kill leaves the old or the new one."""
        digest = hashlib.sha256(state.encode()).digest()
        if digest != self._written.get(service):
            half = self._folder / f"{service}.half"
            half.write_text(state)
            half.rename(self._folder / f"{service}.json")
            self._written[service] = digest


def _serialized(service: str, get_state: Callable) -> str:
    """The state as MiniStack's own files hold it."""
    while True:
        try:
            content = {"__ministack_format__": persistence._state_format_version(service), "payload": get_state()}
            return json.dumps(content, default=persistence._json_default)
        except RuntimeError:  # a dictionary grew meanwhile
            _log.debug("%s changed during its snapshot; again", service)

"""Keeps the emulator's state on disk while it runs, so that a kill or a crash costs a moment at most.

MiniStack by itself saves when it is stopped in order; AWS loses nothing when a machine dies.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.core import persistence

from local.emulator.upstream import patch

LONGEST_SHARE = 0.05  # of one core's time that snapshots may take
SHORTEST_PAUSE_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Snapshots:
    """Writes each service's state whenever it differs from what its file holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, str] = {}
        self._lock = threading.Lock()
        patch(app, "_load_persisted_state()")(self._start)

    def take(self) -> None:
        """Write what changed. A file is replaced as a whole: a kill leaves the old or the new one."""
        with self._lock:
            for service, get_state in app._build_persistence_save_dict().items():
                text = _serialized(service, get_state)
                if text != self._written.get(service):
                    half = self._folder / f"{service}.json.half"
                    half.write_text(text)
                    half.rename(self._folder / f"{service}.json")
                    self._written[service] = text

    def _start(self, load: Callable) -> None:
        """Take snapshots in the background once the last run's state is loaded: an earlier one would overwrite it."""
        load()
        threading.Thread(target=self._run, name="snapshots", daemon=True).start()

    def _run(self) -> None:
        while True:
            started = time.monotonic()
            self.take()
            took = time.monotonic() - started
            time.sleep(max(SHORTEST_PAUSE_SECONDS, took / LONGEST_SHARE))


def _serialized(service: str, get_state: Callable) -> str:
    """The state as MiniStack's own files hold it."""
    while True:
        try:
            content = {"__ministack_format__": persistence._state_format_version(service), "payload": get_state()}
            return json.dumps(content, default=persistence._json_default)
        except RuntimeError:  # a dictionary grew meanwhile
            _log.debug("%s changed during its snapshot; again", service)

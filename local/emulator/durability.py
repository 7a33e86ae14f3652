"""State that survives the end of the emulator's process, whatever ends it.

MiniStack saves its state only when it is stopped in an orderly way. On AWS, what was acknowledged is durable. S3
objects are files already. Items and executions are appended to journals before they are acknowledged. The rest is
configuration and changes seldom; snapshots of it are written in the background, a moment after each change.
"""

import copy
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.core import persistence
from ministack.services import dynamodb, stepfunctions

from local.emulator.upstream import patch

PAUSE_SECONDS = 0.2  # between two snapshots
LONGEST_SHARE = 0.05  # of one core's time, for a service whose state has become large
IDLE_SECONDS = 60  # after the last request, when no more changes are expected

_log = logging.getLogger(__name__)


# ------------------------------------------------------------------------------------------------------------- journals


class Journal:
    """A file of changes, one `[key, value]` on each line. The last line of a key is its current value."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()

    def open(self, folder: Path) -> dict[str, dict | None]:
        """Read the folder's journal, compact it, and append further changes to it. Returns the current values."""
        path = folder / f"{self._name}.jsonl"
        values = {}
        if path.exists():
            for line in path.read_text().splitlines():
                if line.endswith("]"):  # a kill may have cut off the last line
                    key, value = json.loads(line)
                    values[key] = value
        compact = path.with_suffix(".half")
        compact.write_text("".join(_line(key, value) for key, value in values.items()))
        compact.rename(path)
        self._file = path.open("a")
        return values

    def put(self, key: str, value: dict | None) -> None:
        """Append one change. It survives the end of this process, though not of the machine."""
        line = _line(key, value)
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._file.truncate(0)


def _line(key: str, value: dict | None) -> str:
    return json.dumps([key, value], separators=(",", ":")) + "\n"


_items = Journal("items")
_executions = Journal("executions")


@patch(dynamodb, "_set_item(table, pk_val, sk_val, item)")
def keep_item(original: Callable, table: dict, partition_key: str, sort_key: str, item: dict) -> dict | None:
    """A written item is durable."""
    _items.put(json.dumps([table["TableId"], partition_key, sort_key]), item)
    return original(table, partition_key, sort_key, item)


@patch(dynamodb, "_remove_item(table, pk_val, sk_val)")
def keep_removal(original: Callable, table: dict, partition_key: str, sort_key: str) -> dict | None:
    """The removal of an item is durable."""
    _items.put(json.dumps([table["TableId"], partition_key, sort_key]), None)
    return original(table, partition_key, sort_key)


@patch(stepfunctions, "_emit_execution_status_event(execution)")
def keep_execution(original: Callable, execution: dict) -> None:
    """An execution's start and end, with its history, are durable."""
    _executions.put(execution["executionArn"], execution)
    original(execution)


@patch(stepfunctions, "get_state()")
def leave_executions_to_the_journal(_original: Callable) -> dict:
    """The snapshot of Step Functions omits executions: they are most of its state, and the journal has them."""
    kept = ("state_machines", "tags", "activities", "state_machine_versions", "state_machine_aliases", "map_runs")
    return {name: copy.deepcopy(getattr(stepfunctions, f"_{name}")) for name in kept}


@patch(app, "_reset_all_state()")
def clear_the_journals(original: Callable) -> None:
    """A reset removes what a restart would restore."""
    original()
    _items.clear()
    _executions.clear()


def restore_journals(folder: Path) -> None:
    """Restore items and executions, once their tables and state machines are loaded, and journal further changes.

    An execution that was running cannot continue. It fails, and EventBridge receives that status.
    """
    tables = {table["TableId"]: table for table in dynamodb._tables.all_values()}
    for key, item in _items.open(folder).items():
        table_id, partition_key, sort_key = json.loads(key)
        if table_id not in tables:
            continue
        if item is None:
            dynamodb._remove_item(tables[table_id], partition_key, sort_key)
        else:
            dynamodb._set_item(tables[table_id], partition_key, sort_key, item)
    for arn, execution in _executions.open(folder).items():
        region, account = arn.split(":")[3:5]
        stepfunctions._executions.set_scoped(account, region, arn, execution)
        if execution["status"] == "RUNNING":
            stepfunctions._fail_execution(execution, "States.ServiceRestart", "the emulator was killed")


# ------------------------------------------------------------------------------------------------------------ snapshots


class Snapshots:
    """Writes each service's state to a file whenever it has changed."""

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
        """Write everything that has changed."""
        self._due.clear()
        self._take_due()

    def _restore(self, load: Callable) -> None:
        """Load the last run's state, then start taking snapshots, which would otherwise overwrite it."""
        load()
        restore_journals(self._folder)
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
        """Replace the service's file atomically."""
        digest = hashlib.sha256(state.encode()).digest()
        if digest != self._written.get(service):
            half = self._folder / f"{service}.half"
            half.write_text(state)
            half.rename(self._folder / f"{service}.json")
            self._written[service] = digest


def _serialized(service: str, get_state: Callable) -> str:
    """The state in the format of MiniStack's own files."""
    while True:
        try:
            content = {"__ministack_format__": persistence._state_format_version(service), "payload": get_state()}
            return json.dumps(content, default=persistence._json_default)
        except RuntimeError:  # a dictionary changed size during iteration
            _log.debug("%s changed during its snapshot; trying again", service)

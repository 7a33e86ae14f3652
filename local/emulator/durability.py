"""State that survives the end of the emulator's process, whatever ends it.

MiniStack saves its state only when it is stopped in an orderly way. On AWS, what was acknowledged is durable. S3
objects are files already. Items and executions are written to a journal before they are acknowledged. The rest is
configuration and changes seldom; snapshots of it are written in the background, a moment after each request.
"""

import copy
import json
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ministack import app
from ministack.core import persistence
from ministack.services import dynamodb, lambda_svc, stepfunctions

from local.emulator.upstream import patch

STATE_DIR = Path(os.environ["STATE_DIR"])
SHORTEST_PAUSE_SECONDS = 0.2  # before a snapshot
LARGEST_SHARE = 0.05  # of one core's time, once the state has become large


# -------------------------------------------------------------------------------------------------------------- journal


class Journal:
    """Values by kind and key. They survive the end of this process, though not of the machine."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, autocommit=True, check_same_thread=False)
        self._lock = threading.Lock()  # a connection mixes up the statements of threads
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
            "CREATE TABLE IF NOT EXISTS entries (kind TEXT, key TEXT, value TEXT, UNIQUE (kind, key));"
        )

    def read(self, kind: str) -> dict[str, dict]:
        """All values of a kind, in the order in which their keys were first written."""
        rows = self._execute("SELECT key, value FROM entries WHERE kind = ? ORDER BY rowid", kind)
        return {key: json.loads(value) for key, value in rows}

    def put(self, kind: str, key: str, value: dict) -> None:
        """Add or replace a value."""
        insert = "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        self._execute(insert, kind, key, json.dumps(value))

    def remove(self, kind: str, key: str) -> None:
        """Remove a value, if there is one."""
        self._execute("DELETE FROM entries WHERE kind = ? AND key = ?", kind, key)

    def clear(self) -> None:
        """Remove everything."""
        self._execute("DELETE FROM entries")

    def _execute(self, statement: str, *values: str) -> list[tuple]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()


_journal = Journal(STATE_DIR / "journal.sqlite")


@patch(dynamodb, "_set_item(table, pk_val, sk_val, item)")
def keep_item(original: Callable, table: dict, partition_key: str, sort_key: str, item: dict) -> dict | None:
    """A written item is durable."""
    _journal.put("items", json.dumps([table["TableId"], partition_key, sort_key]), item)
    return original(table, partition_key, sort_key, item)


@patch(dynamodb, "_remove_item(table, pk_val, sk_val)")
def keep_removal(original: Callable, table: dict, partition_key: str, sort_key: str) -> dict | None:
    """The removal of an item is durable."""
    _journal.remove("items", json.dumps([table["TableId"], partition_key, sort_key]))
    return original(table, partition_key, sort_key)


@patch(stepfunctions, "_emit_execution_status_event(execution)")
def keep_execution(original: Callable, execution: dict) -> None:
    """An execution's start and end, with its history, are durable."""
    _journal.put("executions", execution["executionArn"], execution)
    original(execution)
    _wanted.set()


@patch(lambda_svc, "_restore_esm_positions(store, positions)")
def read_what_is_written_after_a_restart(original: Callable, store: object, positions: object) -> None:
    """A function is given every change that is written to a table, whatever was interrupted before.

    MiniStack keeps how many changes a function has read, but not the changes: after a restart, it would skip as many.
    Changes that were not read before the emulator was killed are lost; "image-pipeline reindex" makes up for them.
    """
    if store is not lambda_svc._dynamodb_stream_positions:
        original(store, positions)


@patch(app, "_reset_all_state()")
def clear_the_journal(original: Callable) -> None:
    """A reset removes what a restart would restore."""
    original()
    _journal.clear()


def restore_journal() -> None:
    """Restore items and executions, once their tables and state machines are loaded.

    An execution that was running cannot continue. It fails, and EventBridge receives that status.
    """
    tables = {table["TableId"]: table for table in dynamodb._tables.all_values()}
    for table in tables.values():
        table["items"] = defaultdict(dict)
    for key, item in _journal.read("items").items():
        table_id, partition_key, sort_key = json.loads(key)
        if table_id in tables:
            dynamodb._set_item(tables[table_id], partition_key, sort_key, item)
    for arn, execution in _journal.read("executions").items():
        region, account = arn.split(":")[3:5]
        stepfunctions._executions.set_scoped(account, region, arn, execution)
        if execution["status"] == "RUNNING":
            stepfunctions._fail_execution(execution, "States.ServiceRestart", "the emulator was killed")


# ------------------------------------------------------------------------------------------------------------ snapshots


@patch(dynamodb, "get_state()")
def leave_items_to_the_journal(_original: Callable) -> dict:
    """A snapshot has no items, which are most of DynamoDB's state."""
    tables = copy.copy(dynamodb._tables)
    tables._data = {
        name: {field: value for field, value in table.items() if field not in ("items", dynamodb._INDEX_MEMBERS)}
        for name, table in dynamodb._tables._data.items()
    }
    return {"tables": tables} | _state_of(dynamodb, "tags", "ttl_settings", "pitr_settings", "resource_policies")


@patch(stepfunctions, "get_state()")
def leave_executions_to_the_journal(_original: Callable) -> dict:
    """A snapshot has no executions, which are most of Step Functions' state."""
    return _state_of(stepfunctions, "state_machines", "tags", "map_runs")


def _state_of(service: ModuleType, *names: str) -> dict:
    return {name: getattr(service, f"_{name}") for name in names}


_wanted = threading.Event()


@patch(app, "_dispatch_service_request(method, path, headers, body, query_params, request_id)")
async def want_a_snapshot(original: Callable, *request: object) -> tuple:
    """What a request has changed is durable."""
    try:
        return await original(*request)
    finally:
        _wanted.set()


@patch(app, "_load_persisted_state()")
def restore(original: Callable) -> None:
    """Load the last run's state, then start taking snapshots, which would otherwise overwrite it."""
    original()
    restore_journal()
    threading.Thread(target=_take_snapshots, name="snapshots", daemon=True).start()


def _take_snapshots() -> None:
    written: dict[str, int] = {}  # hashes, by service
    pause = SHORTEST_PAUSE_SECONDS
    while _wanted.wait():
        time.sleep(pause)
        _wanted.clear()
        started = time.thread_time()
        for service, get_state in app._build_persistence_save_dict().items():
            state = _serialized(service, get_state)
            if hash(state) != written.get(service):
                half = STATE_DIR / f"{service}.half"
                half.write_text(state)
                half.rename(STATE_DIR / f"{service}.json")
                written[service] = hash(state)
        pause = max(SHORTEST_PAUSE_SECONDS, (time.thread_time() - started) / LARGEST_SHARE)


def _serialized(service: str, get_state: Callable) -> str:
    """The state in the format of MiniStack's own files."""
    while True:
        try:
            content = {"__ministack_format__": persistence._state_format_version(service), "payload": get_state()}
            return json.dumps(content, default=persistence._json_default)
        except RuntimeError:  # a dictionary changed size during iteration
            continue

"""Keeps what changes one by one, items of tables and executions, on disk at each change, before it is answered.

MiniStack by itself saves when it is stopped in order; on AWS, what was answered is durable. `snapshots` keeps the rest.
"""

import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path

from ministack import app
from ministack.services import dynamodb, stepfunctions

from local.emulator.upstream import patch


class Journal:
    """A file of changes, one `[key, value]` a line: the last line of a key counts."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()

    def open(self, folder: Path) -> dict[str, dict | None]:
        """The last value of each key in the folder's file, which further changes are added to."""
        path = folder / f"{self._name}.jsonl"
        values = {}
        if path.exists():
            for line in path.read_text().splitlines():
                if line.endswith("]"):  # the last one may be torn by a kill
                    key, value = json.loads(line)
                    values[key] = value
        compact = path.with_suffix(".half")
        compact.write_text("".join(_line(key, value) for key, value in values.items()))
        compact.rename(path)
        self._file = path.open("a")
        return values

    def put(self, key: str, value: dict | None) -> None:
        """Keep one change. It survives the end of this process, though not that of the machine."""
        line = _line(key, value)
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._file.truncate(0)


def _line(key: str, value: dict | None) -> str:
    return json.dumps([key, value], separators=(",", ":")) + "\n"


_items = Journal("items")
_executions = Journal("executions")


def restore(folder: Path) -> None:
    """Bring items and executions back, once tables and state machines are there, and keep their changes from now on.

    An execution that ran when the emulator was killed can't go on, as it would on AWS: it fails, and EventBridge tells.
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
            stepfunctions._fail_execution(execution, "States.ServiceRestart", "the emulator was killed meanwhile")


@patch(dynamodb, "_set_item(table, pk_val, sk_val, item)")
def keep_item(original: Callable, table: dict, partition_key: str, sort_key: str, item: dict) -> dict | None:
    """A written item is durable."""
    _items.put(json.dumps([table["TableId"], partition_key, sort_key]), item)
    return original(table, partition_key, sort_key, item)


@patch(dynamodb, "_remove_item(table, pk_val, sk_val)")
def keep_removal(original: Callable, table: dict, partition_key: str, sort_key: str) -> dict | None:
    """A deleted item stays deleted."""
    _items.put(json.dumps([table["TableId"], partition_key, sort_key]), None)
    return original(table, partition_key, sort_key)


@patch(stepfunctions, "_emit_execution_status_event(execution)")
def keep_execution(original: Callable, execution: dict) -> None:
    """An execution's start and end, with its history, are durable."""
    _executions.put(execution["executionArn"], execution)
    original(execution)


@patch(stepfunctions, "get_state()")
def leave_executions_to_the_journal(_original: Callable) -> dict:
    """What a snapshot holds of Step Functions: their histories are most of all state, and never change again."""
    kept = ("state_machines", "tags", "activities", "state_machine_versions", "state_machine_aliases", "map_runs")
    return {name: copy.deepcopy(getattr(stepfunctions, f"_{name}")) for name in kept}


@patch(app, "_reset_all_state()")
def forget(original: Callable) -> None:
    """A reset of the emulator resets what it would restore as well."""
    original()
    _items.clear()
    _executions.clear()

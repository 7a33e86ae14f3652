"""Faults that a test has asked for, and the count of calls."""

import threading
import time
from collections import Counter

from local.rekognition.errors import MESSAGES, ServiceError


class Faults:
    """What is still to go wrong, by operation. Safe to use from many threads."""

    def __init__(self, operations: list[str]) -> None:
        self._operations = operations
        self._faults: dict[str, dict] = {}
        self._lock = threading.Lock()

    def replace(self, faults: dict) -> None:
        """Put these in place of all others. Raises ValueError, naming what isn't understood."""
        if not isinstance(faults, dict):
            raise ValueError("faults are an object, by operation")
        for operation, fault in faults.items():
            _check(operation, fault, self._operations)
        with self._lock:
            self._faults = {operation: dict(fault) for operation, fault in faults.items()}

    def pending(self) -> dict:
        """As given, with the counts that are left."""
        with self._lock:
            return {operation: dict(fault) for operation, fault in self._faults.items()}

    def strike(self, operation: str) -> None:
        """Wait and raise ServiceError as the operation's fault says; return at once if it has none."""
        with self._lock:
            fault = self._faults.get(operation)
            if fault is None:
                return
            if fault.get("Count") is not None:
                fault["Count"] -= 1
                if fault["Count"] <= 0:
                    del self._faults[operation]
        time.sleep(fault.get("DelaySeconds", 0))
        if "Error" in fault:
            raise ServiceError(fault["Error"])


class Calls:
    """How often each operation was called. Safe to use from many threads."""

    def __init__(self, operations: list[str]) -> None:
        self._counts = Counter(dict.fromkeys(operations, 0))
        self._lock = threading.Lock()

    def add(self, operation: str) -> None:
        """One more."""
        with self._lock:
            self._counts[operation] += 1

    def totals(self) -> dict[str, int]:
        """Since the start, by operation."""
        with self._lock:
            return dict(self._counts)


def _check(operation: str, fault: dict, operations: list[str]) -> None:
    if operation not in operations:
        raise ValueError(f"{operation} is none of {', '.join(operations)}")
    if not isinstance(fault, dict) or not fault.keys() <= {"Error", "DelaySeconds", "Count"}:
        raise ValueError(f"{operation}: a fault has Error, DelaySeconds and Count, not {fault}")
    if "Error" in fault and fault["Error"] not in MESSAGES:
        raise ValueError(f"{operation}: {fault['Error']} is none of {', '.join(MESSAGES)}")
    count = fault.get("Count")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise ValueError(f"{operation}: Count is {count}, not a number of calls or null")
    delay = fault.get("DelaySeconds", 0)
    if not isinstance(delay, int | float) or delay < 0:
        raise ValueError(f"{operation}: DelaySeconds is {delay}, not a number of seconds")

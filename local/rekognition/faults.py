"""Faults that a test has asked for."""

import threading
import time
from collections.abc import Collection

from local.rekognition.errors import MESSAGES, ServiceError


class Faults:
    """The faults that are still to come, by operation. Thread-safe."""

    def __init__(self, operations: Collection[str]) -> None:
        self._operations = operations
        self._faults: dict[str, dict] = {}
        self._lock = threading.Lock()

    def replace(self, faults: dict) -> None:
        """Replace all faults. Raises ValueError if they are malformed."""
        for operation, fault in faults.items():
            if operation not in self._operations or not _is_valid(fault):
                raise ValueError(f"{operation}: {fault} is not a fault; see python -m pydoc local.rekognition")
        with self._lock:
            self._faults = {operation: dict(fault) for operation, fault in faults.items()}

    def pending(self) -> dict:
        """The faults as they were given, with the remaining counts."""
        with self._lock:
            return {operation: dict(fault) for operation, fault in self._faults.items()}

    def apply(self, operation: str) -> None:
        """Delay, and raise ServiceError, as the operation's fault says. Returns at once if there is none."""
        with self._lock:
            fault = self._faults.get(operation)
            if fault is None:
                return
            if fault.get("Count") is not None:
                fault["Count"] -= 1
                if fault["Count"] == 0:
                    del self._faults[operation]
        time.sleep(fault.get("DelaySeconds", 0))
        if "Error" in fault:
            raise ServiceError(fault["Error"])


def _is_valid(fault: dict) -> bool:
    count = fault.get("Count")
    return (
        fault.keys() <= {"Error", "DelaySeconds", "Count"}
        and fault.get("Error", "ThrottlingException") in MESSAGES
        and fault.get("DelaySeconds", 0) >= 0
        and (count is None or count >= 1)
    )

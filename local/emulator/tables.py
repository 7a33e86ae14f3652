"""DynamoDB tables: what writes of several threads at once must not do to each other."""

import threading
from collections.abc import Callable

from ministack.services import dynamodb

from local.emulator.upstream import patch

# State machines run in threads of their own and write without the event loop that keeps HTTP requests apart.
_one_at_a_time = threading.RLock()


def write_atomically(original: Callable, data: dict) -> tuple:
    """Between a write's condition and the write itself, no other write happens."""
    with _one_at_a_time:
        return original(data)


for operation in ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items"):
    patch(dynamodb, f"{operation}(data)")(write_atomically)

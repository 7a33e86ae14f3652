"""Keeps the index table (`lists`): its entries follow their records.

The index function is the only writer. The stream of the images table tells it which records have changed. It delivers
each change at least once, and the changes of one record in order. The function does not apply a change: it reads the
record as it is now, writes the entries of that, and removes those that an earlier state of the record had. So a
repeated or late delivery has the same effect as a timely one.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import batched

from imagepipeline import aws, records
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.items import from_item
from imagepipeline.lists import changes
from imagepipeline.models import JsonObject

_WRITES = 25  # that one BatchWriteItem takes
_TRIES = 4  # botocore's own retries come on top


def states(stream_records: Iterable[JsonObject]) -> dict[str, list[JsonObject]]:
    """The states of records that a batch of the table's stream contains, by the key of the image."""
    found: dict[str, list[JsonObject]] = defaultdict(list)
    for change in (record["dynamodb"] for record in stream_records):
        images = [change[image] for image in ("OldImage", "NewImage") if image in change]
        found[change["Keys"]["ImageKey"]["S"]] += map(from_item, images)
    return found


def follow(images_table: str, index_table: str, earlier: dict[str, list[JsonObject]]) -> tuple[int, int]:
    """Brings the entries of at most 100 images up to date; returns how many it wrote and removed.

    `earlier` are all states whose entries may exist. Raises ServiceUnavailable; then it has to be repeated.
    """
    current = records.find_all(images_table, list(earlier))
    both = [changes(states, current.get(key)) for key, states in earlier.items()]
    written = [entry for wanted, _ in both for entry in wanted]
    removed = [entry for _, unwanted in both for entry in unwanted]
    # Writes first, so that an image that stays in a list is never missing from it.
    requests = [{"PutRequest": {"Item": entry.item}} for entry in written]
    requests += [{"DeleteRequest": {"Key": entry.key}} for entry in removed]
    for batch in batched(requests, _WRITES, strict=False):
        _write(index_table, list(batch))
    return len(written), len(removed)


def _write(table: str, requests: list[JsonObject]) -> None:
    pending: JsonObject = {table: requests}
    for attempt in range(_TRIES):
        with aws.translate_transient_errors("DynamoDB"):
            answer = aws.client("dynamodb").batch_write_item(RequestItems=pending)
        pending = answer.get("UnprocessedItems") or {}
        if not pending:
            return
        time.sleep(0.1 * 2**attempt)  # seconds
    raise ServiceUnavailable("DynamoDB", "it accepted only a part of the entries")

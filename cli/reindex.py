"""Builds the index table again: for records that are older than it, and after changes that failed to be indexed."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from botocore.exceptions import ClientError

from cli.problems import code
from cli.stack import KEYS_PER_READ, MAX_CONNECTIONS, Document, Stack
from imagepipeline import lists
from imagepipeline.models import timestamp

STATUSES = ("PROCESSING", "COMPLETED", "HELD", "REJECTED", "FAILED")
_DELETIONS = 25  # that one BatchWriteItem takes


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was done."""

    removed: int  # entries
    reindexed: int  # records


def reindex(stack: Stack, now: datetime, on_progress: Callable[[str], object] = lambda text: None) -> Reindexed:
    """Removes entries that no record accounts for, then has the index function index every record again.

    The function alone writes entries, so that a record that changes meanwhile is indexed as it is. A change of the
    record, in the attribute `ReindexedAt`, makes it do so. That also restores an entry that was removed here although
    its record had gained it again.
    """
    # This makes up for all changes that the function has failed to index. One that fails from now on raises the alarm.
    _purge(stack)
    removed = 0
    for entries in _entries(stack):
        removed += _remove(stack, _unfounded(stack, entries))
        on_progress(f"{removed:,} entries removed")
    reindexed = 0
    with ThreadPoolExecutor(MAX_CONNECTIONS, "reindex") as pool:
        for keys in (keys for status in STATUSES for keys in stack.keys_by_status(status)):
            reindexed += sum(pool.map(lambda key: _touch(stack, key, now), keys))
            on_progress(f"{removed:,} entries removed, {reindexed:,} records reindexed")
    return Reindexed(removed, reindexed)


def _purge(stack: Stack) -> None:
    try:
        stack.sqs.purge_queue(QueueUrl=stack.outputs["UnindexedChangesQueue"])
    except ClientError as error:
        if not code(error).endswith("PurgeQueueInProgress"):  # a minute must pass between two
            raise


def _entries(stack: Stack) -> Iterator[tuple[Document, ...]]:
    """All entries, in batches of as many as records can be read at once."""
    for page in stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["IndexTable"]):
        yield from batched(page["Items"], KEYS_PER_READ, strict=False)


def _unfounded(stack: Stack, entries: Iterable[Document]) -> list[Document]:
    """The keys of the entries that their records do not account for."""
    entries = list(entries)
    records = stack.records((entry["ImageKey"]["S"] for entry in entries), consistent=True)
    unfounded = []
    for entry in entries:
        key = {"ListName": entry["ListName"], "Position": entry["Position"]}
        if all(key != wanted.key for wanted in lists.entries(records.get(entry["ImageKey"]["S"]))):
            unfounded.append(key)
    return unfounded


def _remove(stack: Stack, keys: list[Document]) -> int:
    for batch in batched(keys, _DELETIONS, strict=False):
        pending = {stack.outputs["IndexTable"]: [{"DeleteRequest": {"Key": key}} for key in batch]}
        pause = 0.05  # seconds
        while pending := stack.dynamodb.batch_write_item(RequestItems=pending).get("UnprocessedItems"):
            time.sleep(pause)
            pause = min(2 * pause, 2)
    return len(keys)


def _touch(stack: Stack, key: str, now: datetime) -> bool:
    """Change a record in a way that means nothing, unless it was removed meanwhile."""
    try:
        stack.dynamodb.update_item(
            TableName=stack.outputs["ImagesTable"],
            Key={"ImageKey": {"S": key}},
            UpdateExpression="SET ReindexedAt = :now",
            ConditionExpression="attribute_exists(ImageKey)",
            ExpressionAttributeValues={":now": {"S": timestamp(now)}},
        )
    except ClientError as error:
        if code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True

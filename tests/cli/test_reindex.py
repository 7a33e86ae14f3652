"""What `reindex` removes and asks for. The index function itself is tested in tests/functions and tests/integration."""

from datetime import UTC, datetime

import pytest

from cli.reindex import Reindexed, reindex
from cli.stack import Stack
from imagepipeline.api.listings import STATUSES
from imagepipeline.lists import Entry, position
from tests.cli.stand_in import NOW as RECEIVED
from tests.cli.stand_in import write

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = "uploads/cat.jpg"
CAT = {"Labels": [{"Name": "Cat", "Confidence": 90}]}


def entries(stack: Stack) -> set[tuple[str, str]]:
    items = stack.dynamodb.scan(TableName=stack.outputs["IndexTable"])["Items"]
    return {(item["ListName"]["S"], item["ImageKey"]["S"]) for item in items}


def add(stack: Stack, name: str, key: str = KEY, received_at: str = RECEIVED) -> None:
    entry = Entry(name, position(received_at, key), key)
    stack.dynamodb.put_item(TableName=stack.outputs["IndexTable"], Item=entry.item)


def test_every_record_is_given_to_the_index_function(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.reindex.KEYS_PER_READ", 10)
    for number in range(25):
        write(stack, f"uploads/{number}.jpg", Status=STATUSES[number % len(STATUSES)])

    done = reindex(stack, NOW)

    assert done == Reindexed(removed=0, reindexed=25)
    records = stack.records(f"uploads/{number}.jpg" for number in range(25))
    assert {record["ReindexedAt"] for record in records.values()} == {"2026-06-01T12:00:00.000Z"}


@pytest.mark.parametrize(
    "unfounded",
    [("label#dog", KEY), ("attention", KEY), ("all", "uploads/deleted.jpg"), ("all", KEY, "2025-01-01T00:00:00Z")],
)
def test_an_entry_that_no_record_accounts_for_is_removed(stack: Stack, unfounded: tuple[str, ...]) -> None:
    write(stack, KEY, **CAT)
    add(stack, *unfounded)

    done = reindex(stack, NOW)

    assert done.removed == 1
    assert entries(stack) == {("all", KEY), ("label#cat", KEY)}


def test_a_record_that_somebody_wrote_by_hand_is_in_no_list(stack: Stack) -> None:
    stack.dynamodb.put_item(TableName=stack.outputs["ImagesTable"], Item={"ImageKey": {"S": KEY}})
    add(stack, "all")

    assert reindex(stack, NOW).removed == 1


def test_a_record_that_is_removed_meanwhile_stays_removed(stack: Stack) -> None:
    write(stack, KEY)
    remove = {"TableName": stack.outputs["ImagesTable"], "Key": {"ImageKey": {"S": KEY}}}
    stack.dynamodb.meta.events.register(
        "before-call.dynamodb.UpdateItem", lambda **_: stack.dynamodb.delete_item(**remove) and None
    )

    assert reindex(stack, NOW).reindexed == 0
    assert stack.records([KEY]) == {}


def test_the_alarm_s_queue_is_emptied(stack: Stack) -> None:
    queue = stack.outputs["UnindexedChangesQueue"]
    stack.sqs.send_message(QueueUrl=queue, MessageBody="a range of sequence numbers")

    reindex(stack, NOW)

    assert "Messages" not in stack.sqs.receive_message(QueueUrl=queue)

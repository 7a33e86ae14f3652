"""Whatever the order, number and timing of events, and whatever fails: one record, one notification, its renditions.

`ordering_model` runs the rules. Here it is searched, and its evaluation of conditions is compared with DynamoDB's.
"""

import random
from datetime import UTC, datetime, timedelta
from itertools import batched

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from imagepipeline import ordering
from tests.unit.ordering_model import (
    TERMINAL,
    History,
    Record,
    World,
    explore,
    holds,
    item,
    problems,
    successors,
)

# Every interleaving of each is tried. tests.torture tries more and longer ones.
SHORT = [
    History(("good",), aborts=1),
    History(("good",), aborts=1, repeats=1),
    History(("good",), failures=1, duplicates=1),
    History(("good",), repeats=1, duplicates=1),
    History(("bad",), aborts=1),
    History(("bad",), failures=1, repeats=1),
    History(("good", "good"), duplicates=1),
    History(("good", "bad"), duplicates=1),
    History(("bad", "good"), failures=1),
    History(("good", "same")),
    History(("good", "good"), failures=1),
    History(("good", "good"), repeats=1),
    History(("good", "delete"), duplicates=1),
    History(("good", "delete"), failures=1),
    History(("good", "delete"), repeats=1),
    History(("good", "delete"), aborts=1),
    History(("good", "delete", "good")),
    History(("good", "good", "delete"), versioned=True),
    History(("good", "delete", "good"), versioned=True, same_second=True),
    History(("delete", "good"), versioned=True, same_second=True),
    History(("delete", "good"), versioned=True, same_second=True, aborts=1),
    History(("good",), timeouts=1, duplicates=1),
    History(("good", "delete"), timeouts=1),
    History(("good", "good"), timeouts=1),
    History(("folder",), duplicates=1),
    History(("good", "folder"), aborts=1),
    History(("folder", "good"), repeats=1),
    History(("good",), indexed=True, index_faults=2),
    History(("bad",), indexed=True, index_faults=2),
    History(("good", "delete"), indexed=True, index_faults=1),
    History(("good", "bad"), indexed=True),
    History(("flagged", "release"), duplicates=1),
    History(("flagged", "release"), aborts=1),
    History(("flagged", "release"), repeats=1),
    History(("flagged", "reject"), aborts=1),
    History(("flagged", "reject"), repeats=1),
    History(("flagged", "reject", "release")),
    History(("flagged", "release", "flagged")),
    History(("flagged", "reject", "delete")),
    History(("good",), express=True, aborts=1, repeats=1),
    History(("good",), express=True, failures=1, duplicates=1),
    History(("good",), express=True, restarts=1, failures=1),
    History(("good",), express=True, restarts=1, aborts=1),
    History(("bad",), express=True, aborts=1),
    History(("bad",), express=True, restarts=1),
    History(("good", "good"), express=True, aborts=1),
    History(("good", "delete"), express=True, aborts=1),
    History(("good", "delete"), express=True, failures=1),
    History(("good", "delete"), express=True, timeouts=1),
    History(("good", "delete"), express=True, restarts=1),
    History(("good", "folder"), express=True, aborts=1),
]
# Too many interleavings to try all: each run tries some of them, to their ends.
LONG = [
    History(("good", "good"), duplicates=2, aborts=1, failures=1, repeats=1),
    History(("good", "bad", "same", "good"), duplicates=2, aborts=1),
    History(("good", "delete", "good", "delete"), duplicates=1, aborts=1, failures=1),
    History(("good", "delete", "same", "bad", "delete"), duplicates=1, repeats=1),
    History(("good", "delete", "restore"), versioned=True, duplicates=1),
    History(("good", "delete", "restore"), versioned=True, aborts=1, failures=1),
    History(("good", "good", "undo"), versioned=True, duplicates=1, repeats=1),
    History(("good", "bad", "undo", "good"), versioned=True, aborts=1),
    History(("good", "good", "prune", "delete", "restore"), versioned=True, same_second=True),
    History(("good", "delete", "good", "delete", "good"), versioned=True, same_second=True, duplicates=1, failures=1),
    History(("good", "delete", "good"), versioned=True, same_second=True, duplicates=1),
    History(("good", "delete", "restore", "good"), versioned=True, same_second=True, aborts=1, repeats=1),
    History(("good", "enable", "delete", "good"), same_second=True, duplicates=1, aborts=1),
    History(("good", "enable", "good", "undo", "delete"), duplicates=1, failures=1),
    History(("good", "good"), duplicates=1, aborts=1, timeouts=1),
    History(("good", "bad", "undo"), versioned=True, timeouts=1, repeats=1),
    History(("folder", "good", "undo"), versioned=True, aborts=1),
    History(("good", "bad", "good", "delete"), duplicates=1, aborts=1, indexed=True, index_faults=3),
    History(("good", "good", "undo"), versioned=True, failures=1, indexed=True, index_faults=3),
    History(("flagged", "release", "reject", "release"), duplicates=1, aborts=1, failures=1, repeats=1),
    History(("flagged", "release", "flagged", "reject"), duplicates=1, aborts=1, timeouts=1),
    History(("flagged", "release", "delete", "restore"), versioned=True, duplicates=1, aborts=1),
    History(("flagged", "reject", "good", "undo"), versioned=True, aborts=1, repeats=1),
    History(("good", "bad"), aborts=3),
    History(("good", "delete", "restore"), versioned=True, aborts=2, failures=1),
    History(("good", "bad", "delete"), express=True, aborts=2, restarts=1),
    History(("good", "bad", "same", "good"), express=True, duplicates=1, aborts=2),
    History(("good", "delete", "good", "delete"), express=True, duplicates=1, aborts=1, failures=1),
    History(("good", "delete", "restore"), express=True, versioned=True, aborts=2, failures=1),
    History(("good", "good", "undo"), express=True, versioned=True, aborts=2, repeats=1),
    History(("good", "bad", "undo"), express=True, versioned=True, timeouts=1, restarts=1, aborts=1),
    History(("good", "good", "prune", "delete", "restore"), express=True, versioned=True, same_second=True, aborts=2),
]


@pytest.mark.slow
@pytest.mark.parametrize("history", SHORT, ids=str)
def test_every_interleaving_of_a_short_history_keeps_the_invariant(history: History):
    explored = explore(history)

    assert explored.problems == [], "\n".join(explored.story)


@pytest.mark.slow
@pytest.mark.parametrize("history", LONG, ids=str)
@given(seed=st.integers(0, 2**64))
def test_random_interleavings_of_longer_histories_keep_the_invariant(history: History, seed: int):
    world, story = wander(history, random.Random(seed))

    assert problems(history, world) == [], "\n".join(story)


def wander(history: History, chance: random.Random) -> tuple[World, list[str]]:
    """One way through a history, to its end."""
    world, story = World(), []
    while following := list(successors(history, world)):
        sentence, world = chance.choice(following)
        story.append(sentence)
    return world, story


@pytest.mark.slow
@pytest.mark.parametrize("operations", [("good", "good"), ("good", "bad"), ("bad", "good"), ("good", "same")], ids=str)
@pytest.mark.parametrize("fault", ["nothing", "aborts", "failures", "repeats"])
def test_no_upload_is_announced_after_the_one_that_replaced_it(operations: tuple[str, ...], fault: str):
    faults = {} if fault == "nothing" else {fault: 1}

    explored = explore(History(operations, hasty=False, **faults), in_order=True)

    assert explored.problems == [], "\n".join(explored.story)


def test_an_announcement_in_flight_can_be_overtaken():
    """SNS has no conditions that could prevent it."""
    explored = explore(History(("good", "good")), in_order=True)

    assert explored.problems == ["an object was announced after a newer one"]


@pytest.mark.slow
def test_a_permanent_deletion_may_have_a_newer_upload_announced_twice():
    """If it overtakes the event of that upload: S3 does not say whether it made the upload current."""
    explored = explore(History(("good", "good", "prune"), versioned=True))

    assert explored.problems == ["the newest version was announced as ['COMPLETED', 'COMPLETED']"]


def test_only_an_unmarked_failure_is_announced_twice():
    history = History(("good", "good"), aborts=1, failures=1, duplicates=1)

    for seed in range(200):
        world, story = wander(history, random.Random(seed))
        newest = [outcome for sequencer, _, outcome in world.announced if sequencer == world.record.sequencer]
        assert len(newest) == 1 or "mark" in world.lost, "\n".join(story)


# ------------------------------------------------------------------------------------------ the rules, as AWS sees them

RECORDS = [
    Record(status, sequencer, "null", execution, announced)
    for status in ("PROCESSING", *TERMINAL)
    for sequencer in (10, 20, 30)
    for execution in ("one", "other")
    for announced in (False, True)
]
CONDITIONS = {name: value for name, value in vars(ordering).items() if name.startswith("MAY_") or name == "OWNS_RECORD"}


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_model_evaluates_conditions_as_dynamodb_does(name: str):
    condition = CONDITIONS[name]
    values = {"sequencer": 20, "execution": "one", "abandoned": "none", "decidable": "HELD"}
    values |= {"earlier": "none", "earliest": "other"}
    with mock_aws():
        table = boto3.client("dynamodb", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        table.create_table(
            TableName="images",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "ImageKey", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "ImageKey", "KeyType": "HASH"}],
        )

        typed = {":sequencer": "0020", ":execution": "one", ":abandoned": "none", ":completed": "COMPLETED"}
        typed |= {":earlier": "none", ":earliest": "other", ":failed": "FAILED", ":processing": "PROCESSING"}
        typed |= {":decidable": "HELD"}
        rest = {"ExpressionAttributeValues": {n: {"S": value} for n, value in typed.items() if n in condition}}
        if "#status" in condition:
            rest["ExpressionAttributeNames"] = {"#status": "Status"}
        keys = {str(number): record for number, record in enumerate(RECORDS)}
        puts = [{"PutRequest": {"Item": item(record) | {"ImageKey": {"S": key}}}} for key, record in keys.items()]
        for batch in batched(puts, 25, strict=False):
            table.batch_write_item(RequestItems={"images": list(batch)})

        # A filter is evaluated as a condition is, and for all records at once.
        accepted = {
            found["ImageKey"]["S"]
            for found in table.scan(TableName="images", FilterExpression=condition, **rest)["Items"]
        }
        try:
            table.delete_item(
                TableName="images", Key={"ImageKey": {"S": "none"}}, ConditionExpression=condition, **rest
            )
        except table.exceptions.ConditionalCheckFailedException:
            accepted_without_a_record = False
        else:
            accepted_without_a_record = True

    for key, record in keys.items():
        assert holds(condition, record, **values) is (key in accepted), record
    assert holds(condition, None, **values) is accepted_without_a_record


# --------------------------------------------------------------------------------------------- what a deletion requires

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = NOON - timedelta(seconds=1), NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("sentence", "event", "current", "beneath", "recorded", "action"),
    [
        ("nothing is left", "null", None, (), "null", "REMOVE"),
        ("a delete marker hides all versions", "v2", None, ("v2", "v1"), "v1", "REMOVE"),
        ("what was uploaded since has an event", "null", ("null", AFTER), (), "null", "KEEP"),
        ("without versions it has one, whatever the clocks say", "null", ("null", BEFORE), (), None, "KEEP"),
        ("with versions too, what was uploaded since has one", "v2", ("v3", AFTER), ("v1",), "v1", "KEEP"),
        ("an upload replaced the marker in the same second", "v2", ("v3", NOON), ("v2", "v1"), "v1", "KEEP"),
        ("an upload above the marker began before it", "v2", ("v3", BEFORE), ("v2", "v1"), "v1", "KEEP"),
        ("an upload that was not processed was replaced", "v1", ("v2", NOON), ("v1",), None, "KEEP"),
        ("an upload that was not processed is current again", "v1", ("v1", NOON), (), None, "PROCESS"),
        ("an old version went", "v1", ("v2", BEFORE), (), "v2", "KEEP"),
        ("an older version is the newest again", "v2", ("v1", BEFORE), (), "v2", "PROCESS"),
        ("it is so in the same second", "v2", ("v1", NOON), (), "v2", "PROCESS"),
        ("it is so without a record", "v2", ("v1", BEFORE), (), None, "PROCESS"),
        ("the object from before there were versions is", "v2", ("null", BEFORE), (), "v2", "PROCESS"),
    ],
)
def test_what_follows_a_deletion(
    sentence: str, event: str, current: tuple | None, beneath: tuple, recorded: str | None, action: str
):
    found = current and dict(zip(("VersionId", "LastModified"), current, strict=True))
    listed = {*beneath, *([found["VersionId"]] if found else [])}
    record = recorded and {"VersionId": recorded}

    assert ordering.resolve_current_version(found, listed, record, event, NOON) == action, sentence


# ------------------------------------------------------------------------------------------------------ what is removed


def test_renditions_of_no_record_go():
    assert ordering.unneeded(["a/1/small.jpg"], None, "") == ["a/1/small.jpg"]


def test_renditions_stay_while_their_upload_is_processed_and_all_others_go():
    listed = ["a/1/small.jpg", "a/2/small.jpg", "a/2/large.jpg"]

    assert ordering.unneeded(listed, {"Status": "PROCESSING"}, "a/2/") == ["a/1/small.jpg"]


@pytest.mark.parametrize("status", TERMINAL)
def test_renditions_that_a_finished_record_names_stay_and_all_others_go(status: str):
    record = {"Status": status, "Renditions": {"small": {"Key": "a/2/small.jpg"}}}

    assert ordering.unneeded(["a/1/small.jpg", "a/2/small.jpg", "a/2/old.jpg"], record, "a/2/") == [
        "a/1/small.jpg",
        "a/2/old.jpg",
    ]


def test_a_rejected_or_failed_upload_keeps_no_renditions():
    assert ordering.unneeded(["a/2/small.jpg"], {"Status": "REJECTED"}, "a/2/") == ["a/2/small.jpg"]

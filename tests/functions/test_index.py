"""The index follows the records, whatever the stream repeats and whatever fails."""

import pytest

from functions.index import app
from imagepipeline import aws, indexing, lists
from imagepipeline.errors import ServiceUnavailable
from imagepipeline.items import to_item
from tests.functions.deployed import IMAGES_TABLE, INDEX_TABLE, deliver, invoke, put, remove
from tests.functions.test_status import COMPLETED, FAILED, PROCESSING, REJECTED
from tests.in_memory import Calls, refuse

KEY = COMPLETED["ImageKey"]
WHY = {"Name": "RekognitionFailed", "Message": "no"}


def indexed() -> dict[str, list[str]]:
    """The keys of images in each list."""
    found: dict[str, list[str]] = {}
    for item in aws.client("dynamodb").scan(TableName=INDEX_TABLE)["Items"]:
        found.setdefault(item["ListName"]["S"], []).append(item["ImageKey"]["S"])
    return found


def labelled(*names: str, **attributes: object) -> dict:
    return COMPLETED | {"Labels": [{"Name": name, "Confidence": 90} for name in names]} | attributes


def test_a_record_is_in_the_list_of_each_of_its_labels():
    put(labelled("Cat", "Animal"))

    assert indexed() == {"all": [KEY], "label#cat": [KEY], "label#animal": [KEY]}


def test_a_replaced_image_leaves_the_lists_of_its_old_labels():
    put(labelled("Cat", "Animal"))
    put(PROCESSING | {"ImageKey": KEY, "ReceivedAt": "2026-11-22T00:00:00Z"})
    while_processing = indexed()
    put(labelled("Dog", "Animal", ReceivedAt="2026-11-22T00:00:00Z"))

    assert while_processing == {"all": [KEY]}
    assert indexed() == {"all": [KEY], "label#dog": [KEY], "label#animal": [KEY]}


def test_states_with_different_confidences_are_removed_at_once():
    put(labelled("Cat"))
    surer = COMPLETED | {"Labels": [{"Name": "Cat", "Confidence": 99}]}
    aws.client("dynamodb").delete_item(TableName=IMAGES_TABLE, Key={"ImageKey": {"S": KEY}})

    deliver(KEY, to_item(labelled("Cat")), to_item(surer))

    assert indexed() == {}


def test_a_deleted_image_is_in_no_list():
    put(labelled("Cat", LabelsError=WHY))
    remove(KEY)

    assert indexed() == {}


@pytest.mark.parametrize(
    ("record", "listed"),
    [
        (COMPLETED, False),
        (COMPLETED | {"LabelsError": WHY}, True),
        (COMPLETED | {"NotificationError": WHY}, True),
        (REJECTED | {"AnnouncedAt": "2026-11-21T00:00:00Z"}, False),
        ({name: value for name, value in REJECTED.items() if name != "AnnouncedAt"}, True),
        (FAILED, False),  # its status says enough
        (PROCESSING, False),
    ],
)
def test_what_the_status_does_not_tell_needs_attention(record, listed):
    put(record)

    assert (lists.ATTENTION in indexed()) == listed


def test_an_old_change_that_is_delivered_again_takes_nothing_away():
    put(labelled("Cat"))
    put(labelled("Dog"))
    before = indexed()

    deliver(KEY, None, to_item(labelled("Cat")))
    deliver(KEY, to_item(labelled("Cat")), to_item(PROCESSING | {"ImageKey": KEY}))

    assert indexed() == before


def test_a_record_that_is_read_newer_than_its_change_is_indexed_as_it_is():
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(labelled("Dog")))

    deliver(KEY, None, to_item(labelled("Cat")))

    assert indexed() == {"all": [KEY], "label#dog": [KEY]}


def test_labels_that_differ_in_letter_case_are_one_list_with_the_higher_confidence():
    put(COMPLETED | {"Labels": [{"Name": "cat", "Confidence": 60}, {"Name": "Cat", "Confidence": 80.5}]})

    [entry] = [
        item
        for item in aws.client("dynamodb").scan(TableName=INDEX_TABLE)["Items"]
        if item["ListName"]["S"] == "label#cat"
    ]
    assert entry["Confidence"] == {"N": "80.5"}


def test_a_hundred_labels_are_all_written():
    put(labelled(*(f"Label {number}" for number in range(100))))

    assert len(indexed()) == 101


def test_a_label_beyond_the_api_s_limit_has_no_list():
    put(labelled("x" * 256, "x" * 255, ""))

    assert indexed().keys() == {"all", "label#" + "x" * 255}


def test_the_longest_keys_have_entries():
    put(labelled("Cat", ImageKey="uploads/" + "ü" * 508))

    assert indexed()["label#cat"] == ["uploads/" + "ü" * 508]


def test_a_record_that_somebody_wrote_by_hand_is_left_alone():
    put({"ImageKey": KEY, "Status": "COMPLETED"})

    assert indexed() == {}


def test_a_batch_writes_an_image_once_however_often_it_changed():
    put(labelled("Cat"))
    calls = Calls("dynamodb")
    changes = [
        {"dynamodb": {"Keys": {"ImageKey": {"S": KEY}}, "NewImage": to_item(labelled(name))}}
        for name in ("Cat", "Dog", "Bird")
    ]

    invoke(app, {"Records": changes})

    assert calls.operations == ["BatchGetItem", "BatchWriteItem"]
    assert calls.of("BatchGetItem")[0]["RequestItems"][IMAGES_TABLE]["ConsistentRead"] is True
    [request] = calls.of("BatchWriteItem")
    assert len(request["RequestItems"][INDEX_TABLE]) == 4  # two entries as they are, two labels that it does not have


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem"])
def test_a_busy_table_fails_the_batch_so_that_it_is_delivered_again(operation):
    refuse("dynamodb", operation, "ThrottlingException")

    with pytest.raises(ServiceUnavailable):
        put(labelled("Cat"))


def test_entries_that_dynamodb_does_not_accept_at_once_are_sent_again(monkeypatch):
    monkeypatch.setattr(indexing.time, "sleep", lambda _: None)
    unprocessed = []

    def keep_one_back(parsed: dict, model, **_: object) -> None:
        if not unprocessed:
            unprocessed.append({"PutRequest": {"Item": lists.Entry("label#late", "1", KEY).item}})
            parsed["UnprocessedItems"] = {INDEX_TABLE: unprocessed}

    aws.client("dynamodb").meta.events.register("after-call.dynamodb.BatchWriteItem", keep_one_back)
    put(labelled("Cat"))

    assert indexed().keys() == {"all", "label#cat", "label#late"}

import pytest

from functions.cleanup import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, RenditionsNotRemoved
from imagepipeline.items import to_item
from imagepipeline.keys import comparable, rendition_key
from tests.functions.deployed import IMAGES_TABLE, THUMBNAILS_BUCKET, invoke, published, sample
from tests.in_memory import Calls, refuse

KEY, EXECUTION = sample("cleanup")["ImageKey"], sample("store")["Execution"]["Arn"]
FORMER, CURRENT, NEXT = (comparable(sequencer) for sequencer in ("00A1", "00A2", "00A3"))


def rendition(sequencer: str, name: str = "small", image_key: str = KEY, execution: str = EXECUTION) -> str:
    """A rendition that is in the bucket."""
    key = rendition_key(image_key, sequencer, execution, name, "JPEG")
    aws.client("s3").put_object(Bucket=THUMBNAILS_BUCKET, Key=key, Body=b"jpeg")
    return key


def record(status: str, *renditions: str) -> None:
    """The record of the CURRENT upload."""
    named = {f"rendition{number}": {"Key": key} for number, key in enumerate(renditions)}
    item = {"ImageKey": KEY, "Status": status, "Sequencer": CURRENT, "ExecutionArn": EXECUTION}
    item |= {"Renditions": named} if named else {}
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(item))


def stored() -> list[str]:
    answer = aws.client("s3").list_objects_v2(Bucket=THUMBNAILS_BUCKET)
    return [found["Key"] for found in answer.get("Contents", [])]


def test_a_completed_image_keeps_the_renditions_that_its_record_names_and_no_others():
    kept = [rendition(CURRENT, "small"), rendition(CURRENT, "large")]
    rendition(FORMER), rendition(NEXT), rendition(CURRENT, "left-by-another-execution")
    record("COMPLETED", *kept)

    answer = invoke(app, sample("cleanup"))

    assert answer == {"Removed": 3}
    assert stored() == sorted(kept)


def test_an_image_in_the_making_keeps_what_its_record_does_not_name_yet():
    rendition(FORMER)
    kept = rendition(CURRENT)
    record("PROCESSING")

    answer = invoke(app, sample("cleanup"))

    assert answer == {"Removed": 1}
    assert stored() == [kept]


@pytest.mark.parametrize("status", ["REJECTED", "FAILED"])
def test_an_image_that_came_to_nothing_keeps_nothing(status):
    rendition(FORMER), rendition(CURRENT)
    record(status)

    answer = invoke(app, sample("cleanup"))

    assert answer == {"Removed": 2}
    assert stored() == []


def test_a_deleted_image_keeps_nothing_and_its_neighbours_keep_theirs():
    rendition(CURRENT)
    neighbour = rendition(CURRENT, image_key="uploads/rocket-sideways.jpg2")

    answer = invoke(app, sample("cleanup"))

    assert answer == {"Removed": 1}
    assert stored() == [neighbour]


def test_the_table_is_asked_for_what_it_has_at_that_moment():
    rendition(CURRENT)
    table = Calls("dynamodb")

    invoke(app, sample("cleanup"))

    assert [asked["ConsistentRead"] for asked in table.of("GetItem")] == [True]


def test_where_nothing_was_stored_the_table_is_not_asked():
    table = Calls("dynamodb")

    answer = invoke(app, sample("cleanup"))

    assert answer == {"Removed": 0}
    assert table.operations == []


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "ListObjectsV2"), ("dynamodb", "GetItem"), ("s3", "DeleteObjects")]
)
def test_what_could_not_be_done_has_a_name_that_is_worth_another_try(service, operation):
    rendition(FORMER)
    refuse(service, operation, "ThrottlingException")

    with pytest.raises(RenditionsNotRemoved, match=r"^outdated renditions were not removed: .*ThrottlingException"):
        invoke(app, sample("cleanup"))


@pytest.mark.parametrize(
    ("outcome", "error", "metric", "reason"),
    [
        ("REJECTED", "DamagedImage", "ImagesRejected", "DamagedImage"),
        ("FAILED", "ArchivedObject", "ImagesFailed", "ArchivedObject"),
        ("FAILED", "DynamoDB.InternalServerError", "ImagesFailed", "DynamoDB"),
        ("FAILED", "KeyError", "ImagesFailed", "Other"),
    ],
)
def test_an_image_that_was_not_completed_is_counted_by_its_reason(capsys, outcome, error, metric, reason):
    invoke(app, sample("cleanup") | {"Outcome": outcome, "Error": error})

    [counted] = published(capsys)
    assert counted[metric] == [1]
    assert counted["Reason"] == reason


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("more", [{}, {"Outcome": "SUPERSEDED", "Error": "Superseded"}])
def test_a_deletion_and_an_upload_that_was_superseded_count_as_nothing(capsys, more):
    invoke(app, sample("cleanup") | more)

    assert published(capsys) == []


def test_reasons_do_not_add_up_from_one_image_to_the_next(capsys):
    for error in ("EmptyFile", "TooComplex"):
        invoke(app, sample("cleanup") | {"Outcome": "REJECTED", "Error": error})

    assert [counted["Reason"] for counted in published(capsys)] == ["EmptyFile", "TooComplex"]


@pytest.mark.parametrize("name", ["THUMBNAILS_BUCKET", "IMAGES_TABLE"])
def test_a_missing_setting_is_named(setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("cleanup"))

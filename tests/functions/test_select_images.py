import pytest

from functions.select_images import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError, ServiceUnavailable
from imagepipeline.items import to_item
from imagepipeline.models import Upload
from tests.functions.deployed import IMAGES_TABLE, UPLOADS_BUCKET, invoke, keep_versions, picture, sample, upload
from tests.in_memory import Calls, refuse

KEY = sample("select_images")["Objects"][0]["Key"]


def record(uploaded: dict, status: str = "COMPLETED", execution: str = "another") -> None:
    made = Upload.from_event(uploaded)
    item = {"ImageKey": made.key, "Status": status, "Sequencer": made.sequencer, "VersionId": made.version_id}
    described = {"Width": 40, "Height": 30, "Renditions": {}, "ExecutionArn": f"arn:{execution}"}
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(item | described))


def listing(*keys: str, **settings: object) -> dict:
    return sample("select_images") | {"Objects": [{"Key": key, "Size": 5} for key in keys]} | settings


def test_the_event_is_about_the_current_object_not_the_listed_one():
    keep_versions()
    record(upload(picture(40, 30), KEY))
    current = upload(picture(50, 40), KEY)["detail"]["object"]

    [image] = invoke(app, sample("select_images"))["Images"]

    assert image["Event"]["detail"]["bucket"] == {"name": UPLOADS_BUCKET}
    told = image["Event"]["detail"]["object"]
    assert {name: told[name] for name in ("etag", "size", "version-id")} == {
        name: current[name] for name in ("etag", "size", "version-id")
    }
    assert image["Name"].startswith(f"{sample('select_images')['Run']}-")


def test_an_object_that_was_deleted_since_the_listing_is_left_out():
    upload(picture(40, 30), KEY)

    answer = invoke(app, listing(KEY, "uploads/deleted.jpg"))

    assert [image["Event"]["detail"]["object"]["key"] for image in answer["Images"]] == [KEY]


def test_only_what_was_selected_is_looked_at():
    record(upload(picture(40, 30), KEY))
    upload(picture(40, 30), "uploads/new.jpg")
    storage = Calls("s3")

    answer = invoke(app, listing(KEY, "uploads/new.jpg", Selections=["UNRECORDED"]))

    assert [image["Event"]["detail"]["object"]["key"] for image in answer["Images"]] == ["uploads/new.jpg"]
    assert [asked["Prefix"] for asked in storage.of("ListObjectVersions")] == ["uploads/new.jpg"]


def test_a_resumed_run_processes_what_failed_and_counts_what_is_done():
    run = sample("select_images")["Run"]
    record(upload(picture(40, 30), KEY), execution=f"{run}-0a")
    record(upload(picture(40, 30), "uploads/failed.jpg"), "FAILED", f"{run}-0b")

    answer = invoke(app, listing(KEY, "uploads/failed.jpg", Selections=["UNRECORDED"]))

    assert [image["Event"]["detail"]["object"]["key"] for image in answer["Images"]] == ["uploads/failed.jpg"]
    assert answer["Done"] == 1


def test_a_hundred_objects_cost_one_read_of_the_table():
    table = Calls("dynamodb")

    invoke(app, listing(*(f"uploads/{number}" for number in range(100))))

    [asked] = table.of("BatchGetItem")
    assert asked["RequestItems"][IMAGES_TABLE]["ConsistentRead"] is True


@pytest.mark.parametrize(("service", "operation"), [("s3", "ListObjectVersions"), ("dynamodb", "BatchGetItem")])
def test_a_throttled_service_is_unavailable(service, operation):
    refuse(service, operation, "ThrottlingException")

    with pytest.raises(ServiceUnavailable):
        invoke(app, sample("select_images"))


@pytest.mark.parametrize("name", ["UPLOADS_BUCKET", "IMAGES_TABLE", "RENDITIONS"])
def test_a_missing_setting_is_named(setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("select_images"))

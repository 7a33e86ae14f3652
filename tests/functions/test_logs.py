"""What the functions log: enough to find all lines of an image, and nothing of the picture."""

import io
import json
from collections.abc import Iterator

import pytest
from PIL import Image

from functions.cleanup import app as cleanup
from functions.metadata import app as metadata
from functions.resolve_current_version import app as resolve_current_version
from functions.store import app as store
from functions.thumbnails import app as thumbnails
from functions.validate import app as validate
from imagepipeline import aws, records
from imagepipeline.errors import DamagedImage, UnsupportedFormat
from imagepipeline.items import to_item
from imagepipeline.models import Upload
from tests.functions.deployed import IMAGES_TABLE, invoke, picture, sample, upload
from tests.in_memory import refuse
from tests.unit.test_exif import MAKE, MODEL, PHONE, SYDNEY, raw

EXECUTION = sample("store")["Execution"]
STEPS = (validate, thumbnails, metadata, store, cleanup, resolve_current_version)


@pytest.fixture
def log(monkeypatch) -> Iterator[io.StringIO]:
    """What the steps write, when the sampling chooses every invocation for debugging."""
    written = io.StringIO()
    levels = [app.logger.log_level for app in STEPS]
    for app in STEPS:
        monkeypatch.setattr(app.logger.registered_handler, "stream", written)
        app.logger.setLevel("DEBUG")
    yield written
    for app, level in zip(STEPS, levels, strict=True):
        app.logger.setLevel(level)


def photo_of_a_user() -> bytes:
    """A photo with everything in it that nobody wants to find in a log."""
    file = io.BytesIO()
    exif = raw({MAKE: "Apple", MODEL: "iPhone 12"}, PHONE, SYDNEY)
    Image.open(io.BytesIO(picture(400, 300))).save(file, "JPEG", exif=exif)
    return file.getvalue()


def lines(log: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def process(event: dict) -> dict:
    """Run every step for an upload, as the state machines do; returns the record."""
    step = {"Event": event, "Execution": EXECUTION}
    begin(event)
    header = invoke(validate, step)
    rendered = invoke(thumbnails, step | {"Header": header})
    described = invoke(metadata, step | rendered)
    renditions = rendered["Renditions"]
    invoke(store, step | {"Metadata": described, "Renditions": renditions, "Attempts": {"ValidateImage": 1}})
    invoke(cleanup, {"ImageKey": event["detail"]["object"]["key"], "Execution": EXECUTION})
    invoke(resolve_current_version, step)
    return records.find(IMAGES_TABLE, event["detail"]["object"]["key"])


def begin(event: dict) -> None:
    new = Upload.from_event(event)
    item = {"ImageKey": new.key, "Status": "PROCESSING", "Sequencer": new.sequencer, "VersionId": new.version_id}
    item |= {"ExecutionArn": EXECUTION["Arn"], "Bytes": new.size, "ETag": new.etag}
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(item))


def test_every_line_names_the_image_and_the_execution(log):
    process(upload(photo_of_a_user()))

    logged = lines(log)
    assert {line["image_key"] for line in logged} == {"uploads/photo.jpg"}
    assert {line["execution"] for line in logged} == {EXECUTION["Arn"]}
    assert {line["location"].split(":")[0] for line in logged} == {"handler"}
    assert {"INFO", "DEBUG"} == {line["level"] for line in logged}


def test_no_line_tells_of_the_picture_or_where_it_was_taken(log, setting):
    setting("RECORD_LOCATION", "true")

    record = process(upload(photo_of_a_user()))

    logged = json.dumps(lines(log))
    private = [record["DHash"], record["ThumbHash"], record["Sha256"], record["Palette"][0]["Hex"]]
    private += [label["Name"] for label in record["Labels"]]
    private += map(str, record["Exif"].pop("Location").values())
    # A whole number may be in a log by chance.
    private += [str(value) for value in record["Exif"].values() if not str(value).isdecimal()]
    assert len(private) > 10
    assert [value for value in private if value in logged] == []


@pytest.mark.parametrize(
    ("body", "step", "error"),
    [
        (b"<html>", {}, UnsupportedFormat),
        (picture(400, 300)[:3000], {"Header": sample("thumbnails")["Header"]}, DamagedImage),
    ],
    ids=["validate", "thumbnails"],
)
def test_an_error_that_ends_a_step_is_logged_under_the_image(log, body, step, error):
    event = upload(body)

    with pytest.raises(error):
        invoke(thumbnails if step else validate, {"Event": event, "Execution": EXECUTION} | step)

    [line] = [line for line in lines(log) if line["level"] == "WARNING"]
    assert (line["error"], line["image_key"]) == (error.__name__, "uploads/photo.jpg")
    assert line["execution"] == EXECUTION["Arn"]
    assert line["reason"]


def test_a_crash_is_logged_under_the_image_with_its_traceback(log):
    event = upload(picture(40, 30))
    refuse("s3", "GetObject", "AccessDenied", 403)

    with pytest.raises(Exception, match="AccessDenied"):
        invoke(validate, {"Event": event, "Execution": EXECUTION})

    [line] = [line for line in lines(log) if line["level"] == "ERROR"]
    assert line["image_key"] == "uploads/photo.jpg"
    assert "objects.py" in line["exception"]


def test_a_step_of_an_execution_that_began_before_the_update_runs(log):
    event = upload(picture(40, 30))

    invoke(validate, {"Event": event})

    assert [line["execution"] for line in lines(log)] == ["unknown"]

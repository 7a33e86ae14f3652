"""The samples in events/ tell of one photo's way: each is what the step before it hands on."""

import hashlib
import re
from pathlib import Path

import pytest

from functions.metadata import app as metadata
from functions.status import app as status
from functions.store import app as store
from functions.thumbnails import app as thumbnails
from functions.validate import app as validate
from imagepipeline import aws
from imagepipeline.items import to_item
from tests.functions.deployed import IMAGES_TABLE, PHOTO, PROJECT, invoke, sample, upload

FUNCTIONS = sorted(folder.parent.name for folder in (PROJECT / "functions").glob("*/app.py"))


def without_bytes(renditions: dict) -> dict:
    """Their sizes change with every encoder."""
    return {name: rendition | {"Bytes": None} for name, rendition in renditions.items()}


def test_every_function_has_a_sample():
    samples = {Path(file).stem for file in (PROJECT / "events").glob("*.json")}

    assert samples == {*FUNCTIONS, "upload"}


@pytest.mark.parametrize("name", ["validate", "thumbnails", "metadata", "store"])
def test_all_samples_are_about_the_same_upload(name):
    assert sample(name)["Event"] == sample("upload")


def test_the_upload_is_the_sample_photo():
    told = sample("upload")["detail"]["object"]

    assert told["size"] == len(PHOTO)
    assert told["etag"] == hashlib.md5(PHOTO, usedforsecurity=False).hexdigest()


def test_each_step_s_answer_is_in_the_next_step_s_sample():
    upload(PHOTO, sample("upload")["detail"]["object"]["key"])

    header = invoke(validate, sample("validate"))
    rendered = invoke(thumbnails, sample("thumbnails"))
    described = invoke(metadata, sample("metadata"))

    assert header == sample("thumbnails")["Header"]
    assert set(rendered["Picture"]) == set(sample("metadata")["Picture"])
    assert without_bytes(rendered["Renditions"]) == without_bytes(sample("metadata")["Renditions"])
    assert set(described) == set(sample("store")["Metadata"])
    assert described.items() >= sample("metadata")["Picture"].items()
    assert sample("metadata")["Renditions"] == sample("store")["Renditions"]


def test_the_stored_record_is_what_the_status_sample_asks_for():
    begun = {
        "ImageKey": sample("upload")["detail"]["object"]["key"],
        "Status": "PROCESSING",
        "ExecutionArn": sample("store")["Execution"]["Arn"],
    }
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(begun))
    invoke(store, sample("store"))

    answer = invoke(status, sample("status"))

    assert answer["statusCode"] == 200
    assert '"Status": "COMPLETED"' in answer["body"]


def test_no_sample_names_a_real_account():
    samples = "".join(file.read_text() for file in (PROJECT / "events").glob("*.json"))

    assert set(re.findall(r"\b[0-9]{12}\b", samples)) == {"111122223333"}  # AWS's own, for documentation

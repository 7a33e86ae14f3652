"""What is ready when a function's first event arrives."""

import importlib

import pytest

from imagepipeline import aws
from imagepipeline.items import to_item
from tests.functions.deployed import (
    EXECUTIONS_TABLE,
    IMAGES_TABLE,
    PHOTO,
    PROJECT,
    THUMBNAILS_BUCKET,
    deploy_housekeeping,
    invoke,
    new_execution_environment,
    put_uploads_rule,
    sample,
    upload,
)

FUNCTIONS = sorted(app.parent.name for app in (PROJECT / "functions").glob("*/app.py"))


@pytest.fixture
def under_way():
    """The sample photo, uploaded, its record begun and its renditions written."""
    key = sample("upload")["detail"]["object"]["key"]
    upload(PHOTO, key)
    begun = {"ImageKey": key, "Status": "PROCESSING", "ExecutionArn": sample("store")["Execution"]["Arn"]}
    item = to_item(begun | {"VersionId": "null", "Sequencer": "00", "Renditions": sample("store")["Renditions"]})
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=item)
    for rendition in sample("store")["Renditions"].values():
        aws.client("s3").put_object(Bucket=THUMBNAILS_BUCKET, Key=rendition["Key"], Body=b"jpeg")
    ended = {"ExecutionArn": "ended", "RegisteredAt": "2026-01-01T00:00:00Z", "Input": "{}", "Resumptions": 0}
    aws.client("dynamodb").put_item(TableName=EXECUTIONS_TABLE, Item=to_item(ended))
    deploy_housekeeping()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_first_event_finds_exactly_the_clients_it_takes(monkeypatch, under_way, function):
    session, made, used = aws._session(), [], set()
    create = session.create_client
    monkeypatch.setattr(session, "create_client", lambda name, **rest: made.append(name) or create(name, **rest))
    if function == "pause":
        put_uploads_rule()
    app = importlib.import_module(f"functions.{function}.app")
    new_execution_environment()

    importlib.reload(app)
    at_init = list(made)
    for service in at_init:
        aws.client(service).meta.events.register(f"choose-signer.{service}", lambda name=service, **_: used.add(name))
    invoke(app, sample(function))

    assert made == at_init
    assert used == set(at_init)

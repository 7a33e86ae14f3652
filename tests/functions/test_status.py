import json
from urllib.parse import quote, unquote

import pytest

from functions.status import app
from imagepipeline import aws, records
from imagepipeline.errors import ConfigError
from imagepipeline.keys import comparable
from tests.functions.deployed import IMAGES_TABLE, invoke, sample
from tests.in_memory import refuse

PROCESSING = {
    "ImageKey": "uploads/rocket-sideways.jpg",
    "Status": "PROCESSING",
    "Sequencer": comparable(sample("upload")["detail"]["object"]["sequencer"]),
    "VersionId": "null",
    "ETag": "d2f61c5e9379ad69255ab421d61aff30",
    "Bytes": 50542,
    "ReceivedAt": "2026-11-21T01:06:20Z",
    "StartedAt": "2026-11-21T01:06:21.402Z",
    "ExecutionArn": sample("store")["Execution"]["Arn"],
}
COMPLETED = PROCESSING | {
    "Status": "COMPLETED",
    "CompletedAt": "2026-11-21T01:06:24.811Z",
    "Renditions": sample("store")["Renditions"],
    **sample("store")["Metadata"],
}
REJECTED = PROCESSING | {
    "Status": "REJECTED",
    "CompletedAt": "2026-11-21T01:06:22.020Z",
    "FailedStep": "ValidateImage",
    "Error": {"Name": "UnsupportedFormat", "Message": "the content is an HTML page; accepted formats are JPEG, PNG"},
}
FAILED = REJECTED | {
    "Status": "FAILED",
    "FailedStep": "CreateThumbnails",
    "Error": {"Name": "States.Timeout", "Message": "no reason was given"},
}


def put(record: dict) -> None:
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=records.to_item(record))


def request(raw_path: str) -> dict:
    event = sample("status")
    event["rawPath"] = event["requestContext"]["http"]["path"] = raw_path
    event["pathParameters"] = {"path": raw_path.removeprefix("/images/")}
    return event


def ask(raw_path: str) -> tuple[int, dict]:
    answer = invoke(app, request(raw_path))
    return answer["statusCode"], json.loads(answer["body"])


# ------------------------------------------------------------------------------------------------------ the four states


@pytest.mark.parametrize("record", [PROCESSING, COMPLETED, REJECTED, FAILED], ids=lambda record: record["Status"])
def test_a_record_is_told_whole_whatever_its_state_but_for_what_is_nobody_s_business(record):
    put(record)

    answer = invoke(app, sample("status"))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {name: record[name] for name in record if name != "ExecutionArn"}
    assert record["ExecutionArn"] not in answer["body"]
    assert "111122223333" not in answer["body"]


def test_numbers_come_out_as_numbers():
    put(COMPLETED)

    body = invoke(app, sample("status"))["body"]

    assert '"Bytes": 50542' in body
    assert '"Width": 640' in body
    assert '"Confidence": 98.7' in body


def test_the_answer_is_json_that_nobody_may_keep():
    put(PROCESSING)

    answer = invoke(app, sample("status"))

    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}


# ----------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "key",
    [
        "uploads/two words.jpg",
        "uploads/a+b.jpg",
        "uploads/100%.jpg",
        "uploads/100%25.jpg",
        "uploads/%2B.jpg",
        "uploads/🐈 ü.jpg",
        "uploads/u\u0308.jpg",
        "uploads/a/b/c.jpg",
        "uploads//x.jpg",
        "uploads/status",
        "uploads/x/status",
        "uploads/images/uploads/x.jpg",
        "uploads/x?y=z.jpg",
        "uploads/x#y;z&.jpg",
        'uploads/"quoted".jpg',
        "uploads/.",
        "uploads/" + "🐈" * 254,
    ],
)
def test_every_key_finds_its_own_record(key):
    put(COMPLETED | {"ImageKey": key})

    # An HTTP API decodes every escape for rawPath but that of the percent sign itself.
    raw_path = unquote(quote(f"/images/{key}/status").replace("%25", "%2525"))

    status, body = ask(raw_path)

    assert status == 200
    assert body["ImageKey"] == key


@pytest.mark.parametrize("stage", ["", "/prod"])
def test_a_stage_in_front_of_the_path_is_no_part_of_the_key(stage):
    put(PROCESSING)

    status, _ = ask(f"{stage}/images/uploads/rocket-sideways.jpg/status")

    assert status == 200


# ----------------------------------------------------------------------------------------------------- what isn't there


@pytest.mark.parametrize("key", ["uploads/unknown.jpg", "uploads/Rocket-sideways.jpg", "uploads/rocket-sideways.jpg/"])
def test_an_unknown_image_is_not_found_in_the_agreed_words(key):
    put(COMPLETED)

    status, body = ask(f"/images/{key}/status")

    assert status == 404
    assert body == {"message": "Image details not found for the given image identifier."}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/images/uploads/x.jpg", "Ask for /images/uploads/<file name>/status."),
        ("/images//status", "Uploads live under uploads/."),
        ("/images/uploads//status/", "Ask for /images/uploads/<file name>/status."),
        ("/images/uploads/status", "Uploads live under uploads/."),
        ("/images/x.jpg/status", "Uploads live under uploads/."),
        ("/images/../uploads/x.jpg/status", "Uploads live under uploads/."),
        ("/", "Ask for /images/uploads/<file name>/status."),
        ("", "Ask for /images/uploads/<file name>/status."),
        ("/images/uploads/" + "x" * 1017 + "/status", "A key has at most 1024 bytes."),
        ("/images/uploads/" + "🐈" * 255 + "/status", "A key has at most 1024 bytes."),
        ("/images/uploads/\ud83d.jpg/status", "The key is not valid UTF-8."),
    ],
)
def test_nonsense_is_told_what_would_make_sense(path, hint):
    status, body = ask(path)

    assert status == 400
    assert body["message"].startswith(hint)


# ---------------------------------------------------------------------------------------------------- what can go wrong


def test_a_busy_table_is_an_apology_and_no_trace():
    refuse("dynamodb", "GetItem", "ThrottlingException")

    answer = invoke(app, sample("status"))

    assert answer["statusCode"] == 503
    assert json.loads(answer["body"]) == {"message": "The status is not available right now; try again in a moment."}


def test_a_missing_setting_is_named(setting):
    setting("IMAGES_TABLE", None)

    with pytest.raises(ConfigError, match=r"^IMAGES_TABLE: is not set$"):
        invoke(app, sample("status"))

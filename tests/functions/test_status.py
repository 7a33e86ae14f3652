import json
from urllib.parse import quote, quote_plus, unquote

import pytest

from functions.status import app
from imagepipeline import aws, notification
from imagepipeline.errors import ConfigError
from imagepipeline.items import to_item
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
HELD = COMPLETED | {"Status": "HELD", "HeldBecause": {"Name": "Flagged", "Message": "Weapons 93 %"}}


PATH = "/images/uploads/rocket-sideways.jpg/status"


def put(record: dict) -> None:
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(record))


def request(raw_path: str, raw_query: str = "") -> dict:
    event = sample("status")
    event["rawPath"] = event["requestContext"]["http"]["path"] = raw_path
    event["rawQueryString"] = raw_query
    event["pathParameters"] = {"path": raw_path.removeprefix("/images/")}
    return event


def ask(raw_path: str, raw_query: str = "") -> tuple[int, dict]:
    answer = invoke(app, request(raw_path, raw_query))
    return answer["statusCode"], json.loads(answer["body"])


# ------------------------------------------------------------------------------------------------------ who sees what


@pytest.mark.parametrize("record", [PROCESSING, COMPLETED, REJECTED, FAILED], ids=lambda record: record["Status"])
def test_an_authorized_client_sees_the_whole_record(record, setting):
    setting("API_AUTHORIZATION", "AWS_IAM")
    put(record)

    assert ask(PATH) == (200, record)


# What the open endpoint promises. Whoever widens it changes this list, and says why.
PUBLIC = {
    *("ImageKey", "Status", "ReceivedAt", "StartedAt", "CompletedAt", "Bytes", "Format", "Width", "Height"),
    *("Labels", "Renditions"),
}
PRIVATE = {
    "AnnouncedAt": "2026-11-21T01:06:22.120Z",
    "LabelsError": {"Name": "RekognitionFailed", "Message": "arn:aws:iam::111122223333:role/r is not authorized"},
    "NotificationError": {"Name": "SNS.AuthorizationError", "Message": "arn:aws:sts::111122223333:assumed-role/r/s"},
    "Exif": {"Camera": "Example One", "Location": {"Latitude": 47.37, "Longitude": 8.54}},
    "SomethingNew": "not thought about yet",
}


@pytest.mark.parametrize("authorization", ["NONE", "aws_iam"])
@pytest.mark.parametrize("record", [PROCESSING, COMPLETED], ids=lambda record: record["Status"])
def test_a_stranger_sees_only_what_is_public(record, authorization, setting):
    setting("API_AUTHORIZATION", authorization)
    put(record | PRIVATE)

    assert ask(PATH) == (200, {name: value for name, value in record.items() if name in PUBLIC})


def test_an_image_that_is_held_shows_nobody_where_its_renditions_are(setting):
    setting("API_AUTHORIZATION", "AWS_IAM")
    put(HELD)

    assert ask(PATH) == (200, {name: value for name, value in HELD.items() if name != "Renditions"})


def test_a_stranger_sees_of_a_held_image_only_that_it_is_held():
    put(HELD | PRIVATE)

    status, body = ask(PATH)

    assert (status, body["Status"]) == (200, "HELD")
    assert body.keys().isdisjoint({"Labels", "Renditions", "HeldBecause"})
    assert body.keys() <= PUBLIC


def test_a_stranger_sees_why_a_file_was_rejected():
    put(REJECTED | PRIVATE)

    status, body = ask(PATH)

    assert (status, body["Error"]) == (200, REJECTED["Error"])
    assert body.keys() - PUBLIC == {"Error"}


def test_a_stranger_sees_that_processing_failed_without_the_words_of_aws():
    quoted = "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized (Request ID: 8f5a1c9e)"
    put(FAILED | PRIVATE | {"Error": {"Name": "AccessDenied", "Message": quoted}})

    status, body = ask(PATH)

    assert (status, body["Status"], body["Error"]) == (200, "FAILED", {"Name": "AccessDenied"})
    assert body.keys() - PUBLIC == {"Error"}


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

KEYS = [
    "uploads/two words.jpg",
    "uploads/a+b.jpg",
    "uploads/100%.jpg",
    "uploads/100%25.jpg",
    "uploads/%2B.jpg",
    "uploads/🐈 ü.jpg",
    "uploads/u\u0308.jpg",
    "uploads/a/b/c.jpg",
    "uploads//x.jpg",
    "uploads/x/",
    "uploads/status",
    "uploads/x/status",
    "uploads/images/status",
    "uploads/images/uploads/x.jpg",
    "uploads/x?y=z.jpg",
    "uploads/x#y;z&.jpg",
    'uploads/"quoted".jpg',
    "uploads/.",
    "uploads/line\nbreak\u202e.jpg",
    "uploads/" + "🐈" * 254,
]


def test_every_key_finds_its_own_record_by_its_path():
    for key in KEYS:
        put(COMPLETED | {"ImageKey": key})

    # The path arrives decoded, whatever the client encoded in order to get it through.
    answers = [ask(f"/images/{key}/status") for key in KEYS]

    assert [(status, body["ImageKey"]) for status, body in answers] == [(200, key) for key in KEYS]


@pytest.mark.parametrize("encode", [quote, quote_plus, lambda key: quote(key, safe="")], ids=["path", "form", "all"])
def test_every_key_finds_its_own_record_by_a_query(encode):
    for key in KEYS:
        put(COMPLETED | {"ImageKey": key})

    answers = [ask("/images/status", f"key={encode(key)}") for key in KEYS]

    assert [(status, body["ImageKey"]) for status, body in answers] == [(200, key) for key in KEYS]


def test_the_link_in_a_notification_leads_to_the_record():
    for key in KEYS:
        put(COMPLETED | {"ImageKey": key})
        path, _, query = notification.status_url("", key).partition("?")

        status, body = ask(unquote(unquote(path).partition("?")[0]), query)  # as an HTTP API does

        assert (status, body["ImageKey"]) == (200, key)


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
        ("/images/uploads/x.jpg", "Ask for /images/uploads/<file name>/status, or /images/status?key="),
        ("/images//status", "Ask for /images/uploads/<file name>/status, "),
        ("/images/uploads//status/", "Ask for /images/uploads/<file name>/status, "),
        ("/images/uploads/status", "The key of an upload begins with uploads/."),
        ("/images/x.jpg/status", "The key of an upload begins with uploads/."),
        ("/images/../uploads/x.jpg/status", "The key of an upload begins with uploads/."),
        ("/", "Ask for /images/uploads/<file name>/status, "),
        ("", "Ask for /images/uploads/<file name>/status, "),
        ("/images/uploads/" + "x" * 1017 + "/status", "A key has at most 1024 bytes."),
        ("/images/uploads/" + "🐈" * 255 + "/status", "A key has at most 1024 bytes."),
        ("/images/uploads/\ud83d.jpg/status", "The key is not valid UTF-8."),
    ],
)
def test_nonsense_is_told_what_would_make_sense(path, hint):
    status, body = ask(path)

    assert status == 400
    assert body["message"].startswith(hint)


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("", "Ask for "),
        ("key=", "Ask for "),
        ("name=uploads/x.jpg", "Ask for "),
        ("key=uploads/x.jpg&key=uploads/y.jpg", "Ask for "),
        ("key=x.jpg", "The key of an upload begins with uploads/."),
        ("key=status", "Ask for "),
        ("key=uploads/%FF.jpg", "The key is not valid UTF-8."),
        ("key=uploads/" + "x" * 1017, "A key has at most 1024 bytes."),
    ],
)
def test_a_query_that_names_no_upload_is_explained(query, hint):
    status, body = ask("/images/status", query)

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

import base64
import json
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from botocore.awsrequest import AWSResponse

from functions.write_images import app
from imagepipeline import aws
from imagepipeline.api import uploads
from imagepipeline.models import Upload
from tests.functions.contract import check_response
from tests.functions.deployed import PHOTO, STATUS_API, UPLOADS_BUCKET, invoke, picture, sample
from tests.functions.test_status import COMPLETED, FAILED, HELD, PROCESSING, REJECTED, put
from tests.in_memory import refuse

ASKED = {"Filename": "cat.jpg", "ContentType": "image/jpeg", "Bytes": 1000}
MIB = 2**20


def send(
    route: str,
    body: bytes | str = b"",
    content_type: str = "application/json",
    query: str = "",
    upload_id: str = "",
) -> tuple[int, dict]:
    """The response to a request, as an HTTP API passes it on: bodies other than text and JSON are in base64."""
    event = sample("write_images")
    event["routeKey"] = event["requestContext"]["routeKey"] = route
    event["rawQueryString"] = query
    event["pathParameters"] = {"id": upload_id}
    event["headers"]["content-type"] = content_type
    event["isBase64Encoded"] = isinstance(body, bytes)
    event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    answer = invoke(app, event)
    check_response(route, answer["statusCode"], answer["headers"], answer.get("body", ""))
    return answer["statusCode"], json.loads(answer.get("body", "{}"))


def create(**changes: object) -> tuple[int, dict]:
    return send("POST /uploads", json.dumps({name: v for name, v in (ASKED | changes).items() if v is not None}))


def stored() -> dict[str, bytes]:
    """Every object of the uploads bucket."""
    s3 = aws.client("s3")
    listed = s3.list_objects_v2(Bucket=UPLOADS_BUCKET).get("Contents", [])
    return {found["Key"]: s3.get_object(Bucket=UPLOADS_BUCKET, Key=found["Key"])["Body"].read() for found in listed}


# --------------------------------------------------------------------------------------------------- presigned uploads


def test_a_form_holds_s3_to_exactly_the_key_the_type_and_the_size():
    status, created = create()

    policy = json.loads(base64.b64decode(created["Form"]["Fields"]["policy"]))
    assert status == 201
    assert created["Form"]["Fields"]["key"] == created["Key"]
    assert created["Form"]["Fields"]["Content-Type"] == "image/jpeg"
    for condition in ({"key": created["Key"]}, {"Content-Type": "image/jpeg"}, ["content-length-range", 1, 1000]):
        assert condition in policy["conditions"]
    assert not [condition for condition in policy["conditions"] if "starts-with" in condition]


@pytest.mark.parametrize("name", ["Screenshot 3.21.45\u202fPM.png", "👨\u200d👩\u200d👧.png"], ids=["macOS", "emoji"])
def test_names_with_rare_spaces_and_joined_emoji_are_accepted(name):
    status, created = create(Filename=name)

    assert (status, created["Key"].endswith(f"/{name}")) == (201, True)


def test_the_status_url_asks_for_the_key_of_the_upload():
    _, created = create(Filename="a b&c.jpg")

    url = urlsplit(created["StatusUrl"])
    assert f"{url.scheme}://{url.netloc}" == STATUS_API
    assert (url.path, parse_qs(url.query)) == ("/images/status", {"key": [created["Key"]]})


def test_every_upload_has_a_key_of_its_own_unless_overwriting_is_asked_for():
    keys = {create()[1]["Key"] for _ in range(20)}

    assert len(keys) == 20
    assert all(key.startswith("uploads/") and key.endswith("/cat.jpg") for key in keys)
    assert create(Overwrite=True)[1]["Key"] == "uploads/cat.jpg"
    assert create(Overwrite=False)[1]["Key"] != "uploads/cat.jpg"


def test_the_longest_file_name_makes_a_key_that_s3_takes():
    name = "ä" * (uploads.MAX_FILENAME_BYTES // 2) + "x" * (uploads.MAX_FILENAME_BYTES % 2)

    status, created = create(Filename=name)

    assert (status, len(created["Key"].encode())) == (201, 1024)
    assert create(Filename=name + "x")[0] == 400


@pytest.mark.parametrize(
    ("changes", "status", "names"),
    [
        ({"Filename": None}, 400, "Filename"),
        ({"Filename": ""}, 400, "Filename"),
        ({"Filename": 7}, 400, "Filename"),
        ({"Filename": ["cat.jpg"]}, 400, "Filename"),
        ({"Filename": "\ud800"}, 400, "UTF-8"),
        ({"Filename": "cat\n.jpg"}, 400, "unprintable"),
        ({"Filename": "cat\u202egpj.exe"}, 400, "unprintable"),
        ({"Filename": "../cat.jpg"}, 400, '".."'),
        ({"Filename": "a/../../cat.jpg"}, 400, '".."'),
        ({"Filename": "/cat.jpg"}, 400, "slash"),
        ({"Filename": "cats/"}, 400, "slash"),
        ({"Filename": "${filename}"}, 400, "variable"),
        ({"ContentType": None}, 400, "image/jpeg"),
        ({"ContentType": "image/svg+xml"}, 400, "image/jpeg"),
        ({"ContentType": {"a": 1}}, 400, "image/jpeg"),
        ({"Bytes": None}, 400, "104857600"),
        ({"Bytes": 0}, 400, "104857600"),
        ({"Bytes": -1}, 400, "104857600"),
        ({"Bytes": 1.5}, 400, "104857600"),
        ({"Bytes": True}, 400, "104857600"),
        ({"Bytes": "1000"}, 400, "104857600"),
        ({"Bytes": 104857601}, 413, "104857600"),
        ({"Bytes": 10**400}, 413, "104857600"),
        ({"Bytes": 104857601, "Filename": ""}, 400, "Filename"),  # what is malformed comes first
        ({"Overwrite": "yes"}, 400, "Overwrite"),
        ({"Multipart": 1}, 400, "Multipart"),
        ({"Key": "uploads/cat.jpg"}, 400, "no other members"),
    ],
)
def test_a_bad_description_of_an_upload_is_refused_with_its_limits(changes, status, names):
    answered, answer = create(**changes)

    assert answered == status
    assert names in answer["message"]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '"text"', "[" * 100_000, "\udcff", b"\xff\xfe", '{"Bytes": ' + "9" * 5000 + "}"]
)
def test_a_body_that_is_no_json_object_is_refused(body):
    assert send("POST /uploads", body)[0] == 400


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_description_must_say_that_it_is_json(content_type):
    assert send("POST /uploads", json.dumps(ASKED), content_type)[0] == 415


# ----------------------------------------------------------------------------------------------------------- multipart


def send_part(created: dict, number: int, data: bytes) -> None:
    aws.client("s3").upload_part(
        Bucket=UPLOADS_BUCKET, Key=created["Key"], UploadId=created["UploadId"], PartNumber=number, Body=data
    )


def complete(created: dict) -> tuple[int, dict]:
    query = urlsplit(created["CompleteUrl"]).query
    return send("POST /uploads/{id}/complete", query=query, upload_id=created["UploadId"])


def test_a_multipart_upload_is_resumed_part_by_part_and_completed():
    first, second = picture(2400, 2400, "BMP")[: 8 * MIB], b"rest"
    _, created = create(Bytes=8 * MIB + 4, Multipart=True)
    send_part(created, 1, first)

    status, answer = complete(created)
    assert status == 409
    assert [(part["PartNumber"], part["Bytes"]) for part in answer["Parts"]] == [(2, 4)]
    assert stored() == {}

    send_part(created, 2, second)
    assert complete(created) == (202, {"Key": created["Key"], "StatusUrl": created["StatusUrl"]})
    assert stored() == {created["Key"]: first + second}


def test_s3_holds_each_part_to_its_size():
    _, created = create(Bytes=20 * MIB, Multipart=True)

    assert [part["Bytes"] for part in created["Parts"]] == [8 * MIB, 8 * MIB, 4 * MIB]
    for part in created["Parts"]:
        query = parse_qs(urlsplit(part["Url"]).query)
        assert query["partNumber"] == [str(part["PartNumber"])]
        assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
        assert query["X-Amz-Expires"] == ["900"]


def test_a_part_of_another_size_counts_as_missing():
    _, created = create(Bytes=100, Multipart=True)
    send_part(created, 1, b"x" * 99)

    assert complete(created)[0] == 409


@pytest.mark.parametrize(("size", "multipart"), [(100 * MIB, False), (100 * MIB + 1, True)])
def test_large_uploads_come_in_parts(size, multipart, setting):
    setting("MAX_FILE_BYTES", str(256 * MIB))

    status, created = create(Bytes=size)

    assert status == 201
    assert ("Parts" in created, "Form" in created) == (multipart, not multipart)


def test_an_aborted_upload_leaves_nothing_and_cannot_be_completed():
    _, created = create(Bytes=100, Multipart=True)
    send_part(created, 1, b"x" * 100)

    url = urlsplit(created["AbortUrl"])
    assert url.path == f"/uploads/{created['UploadId']}"
    assert send("DELETE /uploads/{id}", query=url.query, upload_id=created["UploadId"]) == (204, {})

    assert "Uploads" not in aws.client("s3").list_multipart_uploads(Bucket=UPLOADS_BUCKET)
    assert complete(created)[0] == 404
    assert stored() == {}


@pytest.mark.parametrize("route", ["POST /uploads/{id}/complete", "DELETE /uploads/{id}"])
@pytest.mark.parametrize(
    ("upload_id", "query", "status"),
    [
        ("nothing", {"key": "uploads/cat.jpg"}, 404),
        ("a/../b?", {"key": "uploads/cat.jpg"}, 400),
        ("", {"key": "uploads/cat.jpg"}, 400),
        ("nothing", {"key": "elsewhere/cat.jpg"}, 400),
        ("nothing", {}, 400),
    ],
)
def test_an_unknown_multipart_upload_is_refused(route, upload_id, query, status):
    extra = {"bytes": "100"} if route.startswith("POST") else {}

    assert send(route, query=urlencode(query | extra), upload_id=upload_id)[0] == status


@pytest.mark.parametrize("size", ["", "0", "-1", "1.0", "104857601", "9" * 5000, "٣"])
def test_completing_needs_the_size_that_was_announced(size):
    query = urlencode({"key": "uploads/cat.jpg", "bytes": size})

    status, answer = send("POST /uploads/{id}/complete", query=query, upload_id="x")

    assert status == 400
    assert "bytes" in answer["message"]


# -------------------------------------------------------------------------------------------------------- in the body


@pytest.mark.parametrize("in_json", [False, True])
def test_an_image_in_the_body_is_stored_under_a_key_of_its_own(in_json):
    body = json.dumps({"base64Image": base64.b64encode(PHOTO).decode()}) if in_json else PHOTO

    status, answer = send(
        "POST /images", body, "application/json" if in_json else "image/jpeg; q=1", query="filename=a%20b%2Fc.jpg"
    )

    assert status == 202
    assert answer["Key"].startswith("uploads/")
    assert answer["Key"].endswith("/a b/c.jpg")
    assert answer["StatusUrl"] == f"{STATUS_API}/images/status?key={quote(answer['Key'], safe='')}"
    assert stored() == {answer["Key"]: PHOTO}
    head = aws.client("s3").head_object(Bucket=UPLOADS_BUCKET, Key=answer["Key"])
    assert head["ContentType"] == "image/jpeg"


def test_overwriting_in_the_body_s_upload_is_asked_for_in_so_many_words():
    assert send("POST /images", PHOTO, "image/jpeg", "filename=cat.jpg&overwrite=true")[1]["Key"] == "uploads/cat.jpg"


@pytest.mark.parametrize(
    ("body", "content_type", "query", "status", "names"),
    [
        (PHOTO, "image/png", "filename=a", 415, "image/jpeg"),  # the type lies
        (PHOTO, "text/html", "filename=a", 415, "Content-Type"),
        (PHOTO, "", "filename=a", 415, "Content-Type"),
        (b"<html>", "image/jpeg", "filename=a", 415, "accepted formats are"),
        (b"", "image/jpeg", "filename=a", 400, "at least one byte"),
        (b"x" * (4 * MIB + 1), "image/jpeg", "filename=a", 413, "POST /uploads"),
        ("", "application/json", "filename=a", 400, "JSON"),
        ("{}", "application/json", "filename=a", 400, "base64Image"),
        ('{"base64Image": 7}', "application/json", "filename=a", 400, "string"),
        ('{"base64Image": "###"}', "application/json", "filename=a", 400, "base64"),
        ('{"base64Image": "YQ"}', "application/json", "filename=a", 400, "padding"),
        ('{"base64Image": "é"}', "application/json", "filename=a", 400, "base64"),
        ('{"base64Image": ""}', "application/json", "filename=a", 400, "at least one byte"),
        ('{"base64Image": "' + "QUFB" * (2 * MIB) + '"}', "application/json", "filename=a", 413, "POST /uploads"),
        (PHOTO, "image/jpeg", "", 400, "Filename"),
        (PHOTO, "image/jpeg", "filename=..%2Fa", 400, '".."'),
        (PHOTO, "image/jpeg", "filename=a%00", 400, "unprintable"),
        (PHOTO, "image/jpeg", "filename=a&overwrite=1", 400, "overwrite"),
    ],
)
def test_a_bad_image_is_refused_with_a_reason_and_not_stored(body, content_type, query, status, names):
    answered, answer = send("POST /images", body, content_type, query)

    assert answered == status
    assert names in answer["message"]
    assert stored() == {}


# ------------------------------------------------------------------------------------------------------------- delete


def test_deleting_removes_the_original_and_is_idempotent():
    key = send("POST /images", PHOTO, "image/jpeg", "filename=a.jpg")[1]["Key"]

    for _ in range(2):
        status, answer = send("DELETE /images", query=urlencode({"key": key}))
        assert (status, answer["Key"]) == (202, key)

    assert stored() == {}


@pytest.mark.parametrize("query", ["", "key=", "key=elsewhere%2Fa", "key=uploads%2F", "key=uploads%2Fa&force=1"])
def test_deleting_needs_the_key_of_an_upload(query):
    assert send("DELETE /images", query=query)[0] == 400


# ------------------------------------------------------------------------------------------------------------ decisions


@pytest.fixture
def started(setting) -> list[dict]:
    """The inputs of the executions that were started."""
    setting("IMAGE_PIPELINE", "arn:aws:states:us-east-1:111122223333:stateMachine:pipeline")
    inputs, answer = [], AWSResponse("", 200, {}, None)

    def start(params: dict, **_: object) -> tuple[AWSResponse, dict]:
        inputs.append(json.loads(json.loads(params["body"])["input"]))
        return answer, {"executionArn": "arn", "startDate": 0}

    aws.client("stepfunctions").meta.events.register("before-call.sfn.StartExecution", start)
    return inputs


def decide(**members: object) -> tuple[int, dict]:
    query = urlencode({"key": HELD["ImageKey"]})
    return send("POST /images/decision", json.dumps({"Sequencer": HELD["Sequencer"]} | members), query=query)


@pytest.mark.parametrize("action", ["release", "reject"])
def test_a_decision_starts_an_execution_about_the_image_that_is_held(started, action):
    put(HELD)

    status, answer = decide(Action=action)

    [event] = started
    upload = Upload.from_event(event)
    assert (status, answer["Key"]) == (202, HELD["ImageKey"])
    assert event["Decision"] == {"Action": action.upper()}
    assert upload.bucket == UPLOADS_BUCKET
    assert (upload.key, upload.sequencer) == (HELD["ImageKey"], HELD["Sequencer"])
    assert (upload.etag, upload.version_id, upload.size) == (HELD["ETag"], HELD["VersionId"], HELD["Bytes"])
    assert upload.received_at == HELD["ReceivedAt"]


@pytest.mark.parametrize("record", [PROCESSING, COMPLETED, REJECTED, FAILED], ids=lambda record: record["Status"])
def test_what_is_not_held_can_t_be_decided_about(started, record):
    put(record)

    status, answer = decide(Action="release")

    assert (status, answer["Status"]) == (409, record["Status"])
    assert "not held" in answer["message"]
    assert started == []


def test_a_decision_about_an_upload_that_was_replaced_is_refused(started):
    put(HELD)

    status, answer = decide(Action="release", Sequencer="00" + HELD["Sequencer"][:-2])

    assert (status, answer["Status"]) == (409, "HELD")
    assert "look at it again" in answer["message"]
    assert started == []


def test_there_is_nothing_to_decide_without_an_image(started):
    assert decide(Action="release") == (404, {"message": "there is no image with this key"})


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"Action": "publish"},
        {"Action": ["release"]},
        {"Action": "release", "Sequencer": None},
        {"Action": "release", "Sequencer": 7},
        {"Action": "release", "Force": True},
    ],
)
def test_a_decision_that_is_unclear_is_refused(started, members):
    put(HELD)

    assert decide(**members)[0] == 400
    assert started == []


@pytest.mark.parametrize(("service", "operation"), [("dynamodb", "GetItem"), ("stepfunctions", "StartExecution")])
def test_a_decision_that_aws_does_not_take_can_be_tried_again(setting, service, operation):
    setting("IMAGE_PIPELINE", "arn:aws:states:us-east-1:111122223333:stateMachine:pipeline")
    put(HELD)
    refuse(service, operation, "ThrottlingException")

    assert decide(Action="release") == (503, {"message": app.BUSY})


# ------------------------------------------------------------------------------------------------------ when S3 fails


@pytest.mark.parametrize(
    ("route", "operation"),
    [
        ("POST /images", "PutObject"),
        ("DELETE /images", "DeleteObject"),
        ("POST /uploads/{id}/complete", "ListParts"),
        ("DELETE /uploads/{id}", "AbortMultipartUpload"),
    ],
)
def test_when_s3_is_busy_the_client_is_asked_to_try_again(route, operation):
    refuse("s3", operation, "SlowDown", 503)
    queries = {"POST /images": "filename=a.jpg", "POST /uploads/{id}/complete": "key=uploads%2Fa&bytes=1"}

    answer = send(route, PHOTO, "image/jpeg", queries.get(route, "key=uploads%2Fa"), upload_id="x")

    assert answer == (503, {"message": app.BUSY})

"""The API for products on the deployed stack: who may call it, and what comes of a call."""

import base64
import json
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.integration.clients import Client, post_form, send
from tests.integration.faults import flagged_photo

pytestmark = pytest.mark.xdist_group("deployed")

MIB = 2**20
ROUTES = [
    "GET /images",
    "GET /renditions",
    "POST /uploads",
    "POST /uploads/x/complete",
    "DELETE /uploads/x",
    "POST /images",
    "DELETE /images",
    "POST /images/decision",
]


def access_key(deployed, name: str, *actions: str) -> tuple[str, str]:
    """The access key of a new IAM user who is allowed these calls of any API, such as "GET/images"."""
    iam = deployed.stack.client("iam")
    name = f"{name}-{uuid4().hex}"
    iam.create_user(UserName=name)
    resources = [f"arn:aws:execute-api:us-east-1:*:*/*/{action}" for action in actions]
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
    if actions:
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="calls", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@pytest.fixture(scope="module")
def endpoint(deployed) -> str:
    return deployed.outputs["ImageStatusApiEndpoint"]


@pytest.fixture(scope="module")
def client(deployed, endpoint) -> Client:
    """A product that is allowed everything."""
    return Client(endpoint, access_key(deployed, "product", "*"))


def completed(deployed, client: Client, status_url: str) -> dict:
    """The whole record, after the pipeline has processed the upload."""
    key = status_url.partition("key=")[2]

    def processed() -> dict | None:
        status = send("GET", status_url)
        return status.json if status.status == 200 and status.json["Status"] != "PROCESSING" else None

    deployed.eventually(processed)
    return client.call("GET /images", f"key={key}").json


# ------------------------------------------------------------------------------------------------------- who may call


@pytest.mark.parametrize("route", ROUTES)
def test_a_call_is_answered_only_if_it_is_signed_by_someone_allowed(deployed, endpoint, client, route):
    stranger = Client(endpoint, access_key(deployed, f"stranger-{ROUTES.index(route)}"))
    forger = Client(endpoint, (client.access_key[0], "wrong" * 8))

    for refused in (Client(endpoint), stranger, forger, Client(endpoint, token="a.b.c")):
        assert refused.call(route).status == 403
    assert client.call(route).status not in (401, 403)


def test_a_user_who_may_read_may_not_write(deployed, endpoint):
    reader = Client(endpoint, access_key(deployed, "reader", "GET/images", "GET/renditions"))

    assert reader.call("GET /images").status == 200
    assert reader.call("POST /uploads", body={}).status == 403
    assert reader.call("DELETE /images", {"key": "uploads/a.jpg"}).status == 403


def test_pages_of_other_origins_may_not_call_unless_they_are_named(endpoint, client):
    answer = send("OPTIONS", f"{endpoint}/images", headers={"Origin": "https://app.test"})

    assert "Access-Control-Allow-Origin" not in answer.headers


# ------------------------------------------------------------------------------------------------------------ uploads


def test_a_decision_about_a_held_image_is_applied(deployed, client):
    key = f"uploads/{uuid4().hex}.jpg"
    with deployed.function_setting("StoreFunction", MODERATION="quarantine"):
        held = deployed.process(key, flagged_photo())
    assert held["Status"] == "HELD"

    decided = client.call("POST /images/decision", {"key": key}, {"Action": "release", "Sequencer": held["Sequencer"]})

    assert decided.status == 202
    deployed.eventually(lambda: deployed.record(key)["Status"] == "COMPLETED")


def test_an_upload_by_form_is_processed_shown_and_deleted(deployed, client, photo):
    created = client.call(
        "POST /uploads", body={"Filename": "a b+c.jpg", "ContentType": "image/jpeg", "Bytes": len(photo)}
    ).json
    assert post_form(created["Form"]["Url"], created["Form"]["Fields"], photo).status in (200, 204)

    record = completed(deployed, client, created["StatusUrl"])
    assert record["Status"] == "COMPLETED"
    for name, rendition in record["Renditions"].items():
        shown = send("GET", rendition["Url"])
        assert (shown.status, len(shown.body)) == (200, rendition["Bytes"])
        redirect = client.call("GET /renditions", {"key": record["ImageKey"], "name": name})
        assert redirect.status == 302
        assert send("GET", redirect.headers["Location"]).body == shown.body
    assert client.call("GET /renditions", {"key": record["ImageKey"], "name": "huge"}).json["Renditions"] == sorted(
        record["Renditions"]
    )

    assert client.call("DELETE /images", {"key": record["ImageKey"]}).status == 202
    deployed.eventually(lambda: client.call("GET /images", {"key": record["ImageKey"]}).status == 404)
    deployed.settled(record["ImageKey"])
    assert send("GET", record["Renditions"]["small"]["Url"]).status == 404


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"key": "uploads/another.jpg"}, b""),
        ({"Content-Type": "text/html"}, b""),
        ({}, b"x"),  # one byte more than announced
    ],
)
def test_s3_refuses_a_form_that_was_changed(client, photo, changes, extra):
    created = client.call(
        "POST /uploads", body={"Filename": "a.jpg", "ContentType": "image/jpeg", "Bytes": len(photo)}
    ).json

    answer = post_form(created["Form"]["Url"], created["Form"]["Fields"] | changes, photo + extra)

    assert answer.status in (400, 403)


def test_a_multipart_upload_is_resumed_and_processed(deployed, client, photo):
    data = photo + b"\0" * (9 * MIB - len(photo))  # bytes behind the picture are no part of it
    asked = {"Filename": "large.jpg", "ContentType": "image/jpeg", "Bytes": len(data), "Multipart": True}
    created = client.call("POST /uploads", body=asked).json
    first, second = created["Parts"]
    assert send("PUT", first["Url"], data[: first["Bytes"]]).status == 200

    interrupted = client.send("POST", created["CompleteUrl"])
    assert (interrupted.status, [part["PartNumber"] for part in interrupted.json["Parts"]]) == (409, [2])

    assert send("PUT", interrupted.json["Parts"][0]["Url"], data[-second["Bytes"] :]).status == 200
    assert client.send("POST", created["CompleteUrl"]).status == 202
    record = completed(deployed, client, created["StatusUrl"])
    assert (record["Status"], record["Bytes"]) == ("COMPLETED", len(data))


def test_an_aborted_multipart_upload_cannot_be_completed(client):
    asked = {"Filename": "large.jpg", "ContentType": "image/jpeg", "Bytes": 9 * MIB, "Multipart": True}
    created = client.call("POST /uploads", body=asked).json

    assert client.send("DELETE", created["AbortUrl"]).status == 204
    assert client.send("POST", created["CompleteUrl"]).status == 404


@pytest.mark.parametrize("in_json", [False, True])
def test_an_image_in_the_body_is_processed(deployed, client, photo, in_json):
    body = {"base64Image": base64.b64encode(photo).decode()} if in_json else photo

    answer = client.call("POST /images", {"filename": "ä/cat.jpg"}, body, "image/jpeg")

    assert answer.status == 202
    assert completed(deployed, client, answer.json["StatusUrl"])["Status"] == "COMPLETED"


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("route", "query", "body", "content_type"),
    [
        ("POST /images", "filename=a.jpg", b"x" * (10 * MIB), "image/jpeg"),
        ("POST /images", "filename=a.jpg", b'{"base64Image": "' + b"QUFB" * (2 * MIB) + b'"}', "application/json"),
        ("POST /images", "filename=a.jpg", b'{"base64Image": "%%%"}', "application/json"),
        ("POST /images", "filename=a.jpg", b"\xff\xfe{", "application/json"),
        ("POST /images", "filename=a.jpg", b"\x89PNG\r\n\x1a\n", "image/jpeg"),
        ("POST /images", "filename=..%2F..%2Fa.jpg", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /images", "filename=%252e%252e%2F..%2Fa", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /images", "filename=a%0D%0Ab", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /uploads", "", b"[" * 100_000, "application/json"),
        ("POST /uploads", "", b'{"Filename": ["a"], "ContentType": 1, "Bytes": "x"}', "application/json"),
        ("GET /images", "limit=99999999999999999999", None, ""),
        ("GET /images", "cursor=eyJhIjoxfQ", None, ""),
        ("GET /images", "key=%FF%FE", None, ""),
        ("GET /images", "key=uploads%2F..%2F..%2Fetc%2Fpasswd", None, ""),
        ("DELETE /images", "key=..%2Fuploads%2Fa", None, ""),
        ("DELETE /uploads/..%2F..%2Fimages", "key=uploads%2Fa", None, ""),
    ],
)
def test_bad_input_is_refused_with_a_reason_and_nothing_is_stored(deployed, client, route, query, body, content_type):
    before = deployed.s3.list_objects_v2(Bucket=deployed.outputs["UploadsBucket"]).get("KeyCount")

    answer = client.call(route, query, body, content_type)

    assert 400 <= answer.status < 500
    assert answer.json["message"]
    assert deployed.s3.list_objects_v2(Bucket=deployed.outputs["UploadsBucket"]).get("KeyCount") == before


def test_neither_answers_nor_logs_repeat_a_payload_or_a_token(deployed, endpoint, client):
    mark = uuid4().hex
    in_base64 = base64.b64encode(mark.encode()).decode()
    forger = Client(endpoint, token=mark)
    answers = [
        client.call("POST /images", "filename=a.jpg", f"<svg>{mark}</svg>".encode(), "image/jpeg"),
        client.call("POST /images", "filename=a.jpg", {"base64Image": in_base64}),
        client.call("POST /images", "filename=a.jpg", {"base64Image": f"%{mark}"}),
        client.call("POST /uploads", body={"Filename": f"../{mark}", "ContentType": "image/jpeg", "Bytes": 1}),
        client.call("POST /uploads", body={"Filename": "a.jpg", "ContentType": mark, "Bytes": mark}),
        client.call("POST /uploads", body={mark: mark}),
        client.call("POST /uploads", body=f'{{"Bytes": "{mark}'.encode(), content_type="application/json"),
        client.call("GET /images", {"cursor": mark}),
        client.call("GET /images", {mark: "1"}),
        client.call("GET /images", {"status": mark, "limit": mark}),
        client.call("DELETE /uploads/" + mark, {"key": "uploads/a.jpg"}),
        *(forger.call(route) for route in ROUTES),
    ]

    logs = deployed.stack.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    written = "".join(
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    )
    assert all(400 <= answer.status < 500 for answer in answers)
    assert not [answer.body for answer in answers if mark.encode() in answer.body or in_base64.encode() in answer.body]
    assert any(group.endswith("/write_images") for group in groups)
    assert "REPORT" in written
    assert mark not in written
    assert in_base64 not in written


# ----------------------------------------------------------------------------------------------------------- listings


def test_a_deleted_or_replaced_image_is_listed_as_it_is_now(deployed, client, photo):
    key = "uploads/listed/cat.jpg"
    deployed.process(key, photo)
    listed = {"prefix": "uploads/listed/", "status": "COMPLETED"}
    assert [image["ImageKey"] for image in client.call("GET /images", listed).json["Images"]] == [key]

    deployed.process(key, b"no image")
    assert client.call("GET /images", listed).json["Images"] == []
    [rejected] = client.call("GET /images", listed | {"status": "REJECTED"}).json["Images"]
    assert (rejected["ImageKey"], rejected["Error"]["Name"]) == (key, "UnsupportedFormat")

    deployed.delete(key)
    deployed.eventually(lambda: deployed.record(key) is None)
    assert client.call("GET /images", listed | {"status": "REJECTED"}).json["Images"] == []


def test_a_key_is_exact_whatever_it_contains(deployed, client, photo):
    key = "uploads/50%25 a+b&c=d#ä?.jpg"
    deployed.process(key, photo)

    assert client.call("GET /images", f"key={quote(key, safe='')}").json["ImageKey"] == key

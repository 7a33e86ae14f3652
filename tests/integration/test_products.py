"""The API for products on the deployed stack: who may call it, and what comes of a call."""

import base64
from uuid import uuid4

import pytest

from tests.integration.clients import Client, post_form, send

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


@pytest.fixture(scope="module")
def client(deployed) -> Client:
    """A product that is allowed everything."""
    return deployed.api_client("*")


# ------------------------------------------------------------------------------------------------------- who may call


@pytest.mark.parametrize("route", ROUTES)
def test_only_a_signed_call_of_someone_allowed_is_answered(deployed, client, route):
    stranger = deployed.api_client()
    forger = Client(client.endpoint, (client.access_key[0], "wrong" * 8))

    for refused in (Client(client.endpoint), stranger, forger, Client(client.endpoint, token="a.b.c")):
        assert refused.call(route).status == 403
    assert client.call(route).status not in (401, 403)


# ------------------------------------------------------------------------------------------------------------ uploads


def test_an_upload_by_form_is_processed_shown_and_deleted(deployed, client, photo):
    created = client.call(
        "POST /uploads", body={"Filename": "a b+c.jpg", "ContentType": "image/jpeg", "Bytes": len(photo)}
    ).json
    assert post_form(created["Form"]["Url"], created["Form"]["Fields"], photo).status in (200, 204)

    record = deployed.processed(client, created["StatusUrl"])
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
    record = deployed.processed(client, created["StatusUrl"])
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
    assert deployed.processed(client, answer.json["StatusUrl"])["Status"] == "COMPLETED"


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("route", "query", "body", "content_type"),
    [
        ("POST /images", "filename=a.jpg", b"x" * (10 * MIB), "image/jpeg"),
        ("POST /images", "filename=a.jpg", b'{"base64Image": "' + b"QUFB" * (2 * MIB) + b'"}', "application/json"),
        ("POST /images", "filename=..%2F..%2Fa.jpg", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /images", "filename=%252e%252e%2F..%2Fa", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /images", "filename=a%0D%0Ab", b"\xff\xd8\xff", "image/jpeg"),
        ("POST /uploads", "", b"[" * 100_000, "application/json"),
        ("GET /images", "key=%FF%FE", None, ""),
        ("GET /images", "key=uploads%2F..%2F..%2Fetc%2Fpasswd", None, ""),
        ("DELETE /images", "key=..%2Fuploads%2Fa", None, ""),
        ("DELETE /uploads/..%2F..%2Fimages", "key=uploads%2Fa", None, ""),
    ],
)
def test_bad_input_is_refused_and_nothing_is_stored(deployed, client, route, query, body, content_type):
    before = deployed.s3.list_objects_v2(Bucket=deployed.outputs["UploadsBucket"]).get("KeyCount")

    answer = client.call(route, query, body, content_type)

    assert 400 <= answer.status < 500
    assert answer.json["message"]
    assert deployed.s3.list_objects_v2(Bucket=deployed.outputs["UploadsBucket"]).get("KeyCount") == before


def test_neither_answers_nor_logs_repeat_a_payload_or_a_token(deployed, client):
    mark = uuid4().hex
    in_base64 = base64.b64encode(mark.encode()).decode()
    forger = Client(client.endpoint, token=mark)
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

"""docs/webhook_receiver.py, the example of a webhook, with messages that are signed by a certificate of the tests."""

import base64
import importlib.util
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.event_schema import require_valid

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("webhook_receiver", DOCS / "webhook_receiver.py")
webhook = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(webhook)

TOPIC = "arn:aws:sns:us-east-1:111122223333:image-pipeline-NotificationsTopic-1A2B3C"
CERTIFICATE_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1a2b3c.pem"
SUBSCRIBE_URL = f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=1a2b3c"
EXAMPLES = [
    json.loads(text)
    for text in (DOCS / "events.md").read_text().split("```json\n")[1:]
    for text in [text.split("```")[0]]
]
COMPLETED, REJECTED, FAILED = EXAMPLES


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(name: str) -> bytes:
    """A self-signed certificate, as PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key(name).public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key(name), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def signed(message: dict, version: str = "2", by: str = "sns.amazonaws.com") -> dict:
    """A message with the signature that SNS's documentation describes."""
    fields = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{field}\n{message[field]}\n" for field in fields if field in message)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 (what SNS signs with)
    signature = key(by).sign(text.encode(), padding.PKCS1v15(), algorithm)
    return (
        {"SigningCertURL": CERTIFICATE_URL}
        | message
        | {
            "SignatureVersion": version,
            "Signature": base64.b64encode(signature).decode(),
        }
    )


def notification(event: dict = COMPLETED, **fields: str) -> dict:
    """An unsigned message with an event."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "Image pipeline: an image is ready",
        "Message": json.dumps(event),
        "Timestamp": "2026-11-21T01:06:24.000Z",
    } | fields


def confirmation(**fields: str) -> dict:
    """An unsigned message that asks for the subscription's confirmation."""
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "1a2b3c",
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe to the topic.\nTo confirm, visit the SubscribeURL.",
        "SubscribeURL": SUBSCRIBE_URL,
        "Timestamp": "2026-11-21T01:00:00.000Z",
    } | fields


class Sns:
    """SNS's web server: its certificate, and a note of every address that was requested."""

    def __init__(self) -> None:
        self.requested: list[str] = []

    def fetch(self, url: str) -> bytes:
        self.requested.append(url)
        return certificate("sns.amazonaws.com") if url == CERTIFICATE_URL else b"<ConfirmSubscriptionResponse/>"


@pytest.fixture
def sns() -> Sns:
    return Sns()


@pytest.fixture
def outcomes():
    return webhook.Outcomes(":memory:")


@pytest.fixture
def receiver(sns: Sns, outcomes):
    return webhook.Receiver(TOPIC, outcomes, sns.fetch)


def send(receiver, message: dict) -> None:
    receiver.handle(json.dumps(message).encode())


def stored(outcomes, event: dict = COMPLETED) -> dict | None:
    return outcomes.outcome(event["Record"]["ImageKey"])


# ------------------------------------------------------------------------------------------------------------ signature


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event["Outcome"])
def test_the_documented_events_are_valid(event: dict):
    require_valid(event)
    assert event["Record"]["Status"] == event["Outcome"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_event_that_sns_signed_is_stored(receiver, outcomes, version: str):
    send(receiver, signed(notification(), version))

    assert stored(outcomes) == COMPLETED


def test_a_notification_without_a_subject_is_verified(receiver, outcomes):
    message = notification()
    del message["Subject"]

    send(receiver, signed(message))

    assert stored(outcomes) == COMPLETED


@pytest.mark.parametrize("field", ["Message", "MessageId", "Subject", "Timestamp", "Type"])
def test_a_tampered_message_is_refused(receiver, outcomes, field: str):
    other = {"Message": json.dumps(REJECTED), "Type": "UnsubscribeConfirmation"}
    message = signed(notification()) | {field: other.get(field, "tampered")}

    with pytest.raises(webhook.NotFromSns):
        send(receiver, message)

    assert stored(outcomes) is stored(outcomes, REJECTED) is None


def test_a_subject_that_was_added_is_refused(receiver):
    message = notification()
    del message["Subject"]

    with pytest.raises(webhook.NotFromSns, match="signature"):
        send(receiver, signed(message) | {"Subject": "added"})


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/x.pem",
        "https://example.com/x.pem",
        "https://sns.us-east-1.amazonaws.com.example.com/x.pem",
        "https://sns.us-east-1.amazonaws.com@example.com/x.pem",
        "https://example.com/sns.us-east-1.amazonaws.com/x.pem",
        "https://bucket.s3.amazonaws.com/x.pem",
        "https://sns.us-east-1.amazonaws.com:8443/x.pem",
        "https://sns-us-east-1.amazonaws.com/x.pem",
        "https://sns.us-east-1xamazonaws.com/x.pem",
        "file:///etc/x.pem",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(receiver, sns: Sns, outcomes, url: str):
    with pytest.raises(webhook.NotFromSns):
        send(receiver, signed(notification(SigningCertURL=url)))

    assert sns.requested == []
    assert stored(outcomes) is None


@pytest.mark.parametrize(
    "region", ["eu-central-1.amazonaws.com", "us-gov-west-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"]
)
def test_every_region_of_sns_is_accepted(region: str):
    webhook.require_sns_url(f"https://sns.{region}/x.pem")


def test_a_message_that_another_key_signed_is_refused(receiver):
    with pytest.raises(webhook.NotFromSns, match="signature"):
        send(receiver, signed(notification(), by="mallory"))


def test_a_message_that_sns_signed_for_another_topic_is_refused(receiver):
    with pytest.raises(webhook.NotFromSns, match="another topic"):
        send(receiver, signed(notification(TopicArn=f"{TOPIC}-of-mallory")))


@pytest.mark.parametrize(
    "message",
    [
        signed(notification(Type="Advertisement")),
        signed(notification()) | {"Type": ["Notification"]},
        signed(notification()) | {"SignatureVersion": "3"},
        signed(notification()) | {"Signature": "not base64!"},
        {name: value for name, value in signed(notification()).items() if name != "Signature"},
        {name: value for name, value in signed(confirmation()).items() if name != "SubscribeURL"},
        COMPLETED,
        [],
        "text",
    ],
    ids=["type", "type list", "version", "signature", "unsigned", "incomplete", "raw event", "list", "text"],
)
def test_what_is_no_message_of_sns_is_refused(receiver, message):
    with pytest.raises(webhook.NotFromSns):
        send(receiver, message)


def test_what_is_not_json_is_refused(receiver):
    with pytest.raises(webhook.NotFromSns):
        receiver.handle(b"\xff")


def test_the_certificate_is_fetched_once(receiver, sns: Sns):
    send(receiver, signed(notification()))
    send(receiver, signed(notification(REJECTED)))

    assert sns.requested == [CERTIFICATE_URL]


# --------------------------------------------------------------------------------------------------------- subscription


def test_the_subscription_is_confirmed(receiver, sns: Sns):
    send(receiver, signed(confirmation()))

    assert sns.requested == [CERTIFICATE_URL, SUBSCRIBE_URL]


def test_a_subscription_that_nobody_signed_is_not_confirmed(receiver, sns: Sns):
    with pytest.raises(webhook.NotFromSns):
        send(receiver, signed(confirmation(), by="mallory"))

    assert SUBSCRIBE_URL not in sns.requested


def test_a_confirmation_leads_to_sns_alone(receiver, sns: Sns):
    with pytest.raises(webhook.NotFromSns):
        send(receiver, signed(confirmation(SubscribeURL="https://example.com/")))

    assert sns.requested == [CERTIFICATE_URL]


# --------------------------------------------------------------------------------------------------------------- events


def changed(event: dict, **record: str) -> dict:
    return event | {"Record": event["Record"] | record}


NEWER_UPLOAD = changed(COMPLETED, Sequencer="1" + 63 * "0", CompletedAt="2026-11-21T01:06:00.000Z")
LATER_OUTCOME = changed(COMPLETED, CompletedAt="2026-11-21T01:07:00.000Z")


@pytest.mark.parametrize("latest", [NEWER_UPLOAD, LATER_OUTCOME], ids=["a newer upload", "a later outcome"])
def test_the_latest_outcome_is_kept_in_any_order(outcomes, latest: dict):
    assert [outcomes.store_outcome(event) for event in (COMPLETED, latest)] == [True, True]
    assert [outcomes.store_outcome(event) for event in (COMPLETED, latest)] == [False, False]

    assert stored(outcomes) == latest


def test_a_later_version_of_the_schema_is_left_alone(receiver, outcomes):
    send(receiver, signed(notification(COMPLETED | {"SchemaVersion": 2})))

    assert stored(outcomes) is None


# ----------------------------------------------------------------------------------------------------------------- HTTP


@pytest.fixture
def address(receiver) -> Iterator[str]:
    """The address of a server with the receiver."""
    server = webhook.serve(receiver, 0)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def post(address: str, message: dict) -> int:
    """The status of the answer."""
    request = urllib.request.Request(address, json.dumps(message).encode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_sns_is_told_what_to_send_again(address: str, outcomes, monkeypatch: pytest.MonkeyPatch):
    assert post(address, signed(notification())) == 204
    assert post(address, signed(notification(), by="mallory")) == 403

    monkeypatch.setattr(outcomes, "store_outcome", lambda event: 1 / 0)
    assert post(address, signed(notification())) == 500


def test_a_body_that_is_too_large_is_not_read(address: str):
    request = urllib.request.Request(address, b"", {"Content-Length": "1048577"})

    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(request, timeout=10)


def test_a_redirect_is_not_followed():
    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        with pytest.raises(urllib.error.HTTPError, match="302"):
            webhook.fetch(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()

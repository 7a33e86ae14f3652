"""SNS on the emulator: mails, and deliveries to HTTP endpoints."""

import base64
import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from local import inbox
from tests.local.emulated import Emulated, queue_arn
from tests.local.endpoint import Endpoint

SOON = {"healthyRetryPolicy": {"numRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}}


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    """Starts HTTP endpoints, which answer with the statuses that they are given."""
    started: list[Endpoint] = []

    def start(*statuses: int) -> Endpoint:
        started.append(Endpoint(statuses))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def topic_of(emulated: Emulated) -> str:
    return emulated.client("sns").create_topic(Name=f"topic-{uuid4().hex}")["TopicArn"]


def subscribe(emulated: Emulated, topic: str, endpoint: Endpoint, **attributes: dict) -> None:
    """Subscribe an endpoint, and confirm it in its place."""
    sns = emulated.client("sns")
    encoded = {name: json.dumps(value) for name, value in attributes.items()}
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url, Attributes=encoded)
    asked = emulated.eventually(lambda: endpoint.received)[0]
    sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])


def test_the_inbox_has_the_mails_of_its_subscriptions(patched: Emulated):
    topic, subject, key = topic_of(patched), f"about {uuid4().hex}", "uploads/ä b.jpg"
    sns = patched.client("sns")
    only_good = {"FilterPolicy": '{"kind": ["good"]}'}
    for _ in range(2):  # which is one subscription
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=inbox.ADDRESS, Attributes=only_good)

    for kind in ("bad", "good"):
        attributes = {"kind": kind, "imageId": key}
        sns.publish(
            TopicArn=topic,
            Subject=subject,
            MessageStructure="json",
            Message=json.dumps({"default": "{}", "email": f"{kind} news\nin two lines"}),
            MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        )

    [mail] = patched.eventually(lambda: [mail for mail in inbox.read(patched.state_dir) if mail.subject == subject])
    assert mail.body == "good news\nin two lines"
    assert mail.attributes == {"kind": "good", "imageId": key}
    assert str(mail).endswith(f"Subject: {subject}\nkind: good\nimageId: {key}\n\ngood news\nin two lines")


def test_each_protocol_receives_its_own_message(emulator: Emulated, endpoint):
    topic, queue, web = topic_of(emulator), emulator.queue("sns.amazonaws.com"), endpoint(200)
    emulator.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(queue))
    subscribe(emulator, topic, web)

    messages = {"default": "text", "sqs": "for queues", "http": "for endpoints"}
    emulator.client("sns").publish(TopicArn=topic, MessageStructure="json", Message=json.dumps(messages))

    assert json.loads(emulator.received(queue)["Body"])["Message"] == "for queues"
    assert emulator.eventually(lambda: web.received[1:])[0]["Message"] == "for endpoints"


def test_an_endpoint_that_fails_is_tried_again(patched: Emulated, endpoint):
    topic, web = topic_of(patched), endpoint(200, 500, 429, 200)
    subscribe(patched, topic, web, DeliveryPolicy=SOON)

    patched.client("sns").publish(TopicArn=topic, Message="event")

    patched.eventually(lambda: len(web.received) == 4)
    assert [message["Message"] for message in web.received[1:]] == ["event"] * 3


@pytest.mark.parametrize(("statuses", "attempts"), [((503,), 3), ((403,), 1)], ids=["busy", "refused"])
def test_what_an_endpoint_does_not_accept_is_kept(
    patched: Emulated, endpoint, statuses: tuple[int, ...], attempts: int
):
    topic, queue, web = topic_of(patched), patched.queue("sns.amazonaws.com"), endpoint(200, *statuses)
    redrive = {"deadLetterTargetArn": queue_arn(queue)}
    subscribe(patched, topic, web, DeliveryPolicy=SOON, RedrivePolicy=redrive)

    patched.client("sns").publish(TopicArn=topic, Message="event")

    assert json.loads(patched.received(queue)["Body"])["Message"] == "event"
    assert len(web.received) == 1 + attempts


def test_what_an_endpoint_receives_is_signed(patched: Emulated, endpoint):
    topic, web = topic_of(patched), endpoint(200)
    subscribe(patched, topic, web)

    patched.client("sns").publish(TopicArn=topic, Subject="subject", Message="event")

    patched.eventually(lambda: len(web.received) == 2)
    certificate = x509.load_pem_x509_certificate((patched.state_dir / "sns-certificate.pem").read_bytes())
    names = (
        ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
        ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    )
    for message, fields in zip(web.received, names, strict=True):
        text = "".join(f"{field}\n{message[field]}\n" for field in fields)
        signature = base64.b64decode(message["Signature"])
        certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 (as SNS)
    assert web.received[0]["SubscribeURL"].startswith(
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&"
    )

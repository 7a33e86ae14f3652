"""docs/webhook_receiver.py, subscribed to the deployed pipeline: it fails first, answers later, and loses nothing."""

import importlib.util
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.conftest import Deployed

pytestmark = pytest.mark.xdist_group("deployed")

RECEIVER = Path(__file__).parents[2] / "docs" / "webhook_receiver.py"
SPEC = importlib.util.spec_from_file_location("webhook_receiver", RECEIVER)
webhook = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(webhook)


class Down(Exception):
    """The receiver's database does not answer."""


class FailingOutcomes(webhook.Outcomes):
    """A database that is down for the first `failures` events."""

    def __init__(self, failures: int) -> None:
        super().__init__(":memory:")
        self.left = failures
        self.failed = 0

    def store_outcome(self, event: dict) -> bool:
        if self.left:
            self.left -= 1
            self.failed += 1
            raise Down
        return super().store_outcome(event)


@pytest.fixture
def subscribe(deployed: Deployed) -> Iterator[Callable[..., tuple[FailingOutcomes, str, str]]]:
    """Starts a receiver and subscribes it. Returns its database, its dead-letter queue and its address."""
    ends, sns = ExitStack(), deployed.stack.client("sns")
    topic = deployed.outputs["NotificationsTopic"]

    def fetch(url: str) -> bytes:
        """SNS's host, in this run: a certificate in the emulator's state directory, and the emulator's own address."""
        if url.endswith(".pem"):
            return (deployed.stack.state_dir / "data" / "sns-certificate.pem").read_bytes()
        with urllib.request.urlopen(f"{deployed.stack.endpoint}/?{urlsplit(url).query}") as answer:
            return answer.read()

    def subscribe(prefix: str, failures: int, retries: int) -> tuple[FailingOutcomes, str, str]:
        outcomes = FailingOutcomes(failures)
        server = ends.enter_context(webhook.serve(webhook.Receiver(topic, outcomes, fetch), 0))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ends.callback(server.shutdown)
        queue, arn = deployed.queue_for_sns(prefix.strip("/").replace("/", "-"))
        attributes = {
            "FilterPolicy": {"imageId": [{"prefix": prefix}]},
            "DeliveryPolicy": {
                "healthyRetryPolicy": {"numRetries": retries, "minDelayTarget": 5, "maxDelayTarget": 300}
            },
            "RedrivePolicy": {"deadLetterTargetArn": arn},
        }
        url = f"http://127.0.0.1:{server.server_port}/"
        sns.subscribe(
            TopicArn=topic,
            Protocol="http",
            Endpoint=url,
            Attributes={name: json.dumps(value) for name, value in attributes.items()},
        )
        ends.callback(sns.unsubscribe, SubscriptionArn=deployed.eventually(lambda: confirmed(url)))
        return outcomes, queue, url

    def confirmed(url: str) -> str | None:
        listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        [arn] = [found["SubscriptionArn"] for found in listed if found["Endpoint"] == url]
        if arn == "PendingConfirmation":
            return None
        attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        return arn if attributes["PendingConfirmation"] == "false" else None

    with ends:
        yield subscribe


def test_a_receiver_that_fails_first_receives_every_outcome(deployed: Deployed, subscribe, photo: bytes):
    outcomes, queue, _ = subscribe("uploads/hooked/", failures=5, retries=12)

    records = [
        deployed.process("uploads/hooked/photo.jpg", photo),
        deployed.process("uploads/hooked/invoice.png", b"%PDF-1.7\n" + b"0" * 5000),
        deployed.process("uploads/hooked/photo.jpg", photo),
    ]

    latest = {record["ImageKey"]: record["CompletedAt"] for record in records}
    received = {}

    def complete() -> bool:
        received.update({key: (outcomes.outcome(key) or {"Record": {}})["Record"].get("CompletedAt") for key in latest})
        return received == latest

    deployed.eventually(complete)
    assert outcomes.failed == 5
    assert "Messages" not in deployed.queues.receive_message(QueueUrl=queue)


def test_an_event_that_no_receiver_accepted_can_be_delivered_again(deployed: Deployed, subscribe, photo: bytes):
    outcomes, queue, url = subscribe("uploads/unhooked/", failures=3, retries=2)

    record = deployed.process("uploads/unhooked/photo.jpg", photo)

    [letter] = deployed.eventually(lambda: deployed.queues.receive_message(QueueUrl=queue).get("Messages"))
    assert outcomes.outcome(record["ImageKey"]) is None
    with urllib.request.urlopen(url, letter["Body"].encode()) as answer:
        assert answer.status == 204
    assert outcomes.outcome(record["ImageKey"])["Record"]["CompletedAt"] == record["CompletedAt"]

"""SNS: mails, and deliveries to HTTP endpoints."""

import asyncio
import base64
import json
import os
import threading
import urllib.error
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from ministack.core.responses import get_region
from ministack.services import sns

from local import inbox
from local.emulator.upstream import patch

STATE_DIR = Path(os.environ["STATE_DIR"]).parent
CERTIFICATE = STATE_DIR / "sns-certificate.pem"
# SNS's retries of an HTTP endpoint by default.
DEFAULT_RETRIES = {"numRetries": 3, "minDelayTarget": 20, "maxDelayTarget": 20}
TOO_MANY_REQUESTS = 429

_writing = threading.Lock()


@patch(
    sns,
    "_fanout(topic_arn, msg_id, message, subject, message_structure, message_attributes, message_group_id, "
    "message_dedup_id)",
)
def deliver_mails(
    original: Callable,
    topic_arn: str,
    msg_id: str,
    message: str,
    subject: str,
    message_structure: str = "",
    message_attributes: dict | None = None,
    **fifo: str,
) -> None:
    """A subscription with the protocol `email` receives mails. Those to the inbox are kept in a file."""
    original(topic_arn, msg_id, message, subject, message_structure, message_attributes, **fifo)
    text = sns._resolve_message_for_protocol(message, message_structure, "email")
    attributes = message_attributes or {}
    for subscription in sns._topic_by_arn_any_scope(topic_arn)["subscriptions"]:
        if subscription["endpoint"] == inbox.ADDRESS and sns._matches_filter_policy(subscription, attributes, text):
            mail = sns._build_envelope(topic_arn, msg_id, text, subject, attributes, raw=False)
            with _writing, (STATE_DIR / inbox.FILE).open("a") as file:
                file.write(f"{mail}\n")


# ------------------------------------------------------------------------------------------------------- HTTP endpoints


@patch(sns, "_deliver_to_http(endpoint, payload)")
async def retry_and_use_the_dead_letter_queue(_original: Callable, endpoint: str, payload: str) -> None:
    """SNS retries an endpoint that fails, as its subscription's DeliveryPolicy says.

    After the last attempt, or a client error, the message goes to the dead-letter queue of the subscription's
    RedrivePolicy. Raw messages, which do not name their topic, are not supported.
    """
    topic = json.loads(payload)["TopicArn"]
    subscription = next(
        subscription
        for subscription in sns._topic_by_arn_any_scope(topic)["subscriptions"]
        if subscription["endpoint"] == endpoint
    )
    for delay in retry_delays(subscription["attributes"]):
        await asyncio.sleep(delay * float(os.environ.get("SFN_WAIT_SCALE", "1")))
        try:
            await asyncio.to_thread(sns._http_post_sync, endpoint, payload, "Notification")
        except urllib.error.HTTPError as error:
            if 400 <= error.code < 500 and error.code != TOO_MANY_REQUESTS:
                break
        except OSError:
            continue
        else:
            return
    if redrive := json.loads(subscription["attributes"].get("RedrivePolicy") or "{}"):
        letter = signed(payload)
        sns._deliver_to_sqs(redrive["deadLetterTargetArn"], letter, raw=False, raw_message=letter, topic_arn=topic)


def retry_delays(attributes: dict) -> Iterator[float]:
    """Seconds before each attempt, growing exponentially between the policy's least and greatest delay."""
    policy = json.loads(attributes.get("DeliveryPolicy") or "{}")
    retries = DEFAULT_RETRIES | policy.get("healthyRetryPolicy", {})
    least, greatest, count = retries["minDelayTarget"], retries["maxDelayTarget"], retries["numRetries"]
    yield 0
    for number in range(count):
        yield least * (greatest / least) ** (number / max(count - 1, 1))


@patch(sns, "_http_post_sync(endpoint, payload, sns_message_type)")
def sign(original: Callable, endpoint: str, payload: str, sns_message_type: str) -> int:
    """SNS signs what it sends to HTTP endpoints, and its SubscribeURL is at the host of the certificate.

    Nothing answers there in this run. The certificate is in the emulator's state directory.
    """
    return original(endpoint, signed(payload), sns_message_type)


def signed(payload: str) -> str:
    """A message as SNS would sign it."""
    message = json.loads(payload)
    if "SubscribeURL" in message:
        address = urlsplit(message["SubscribeURL"])
        message["SubscribeURL"] = address._replace(scheme="https", netloc=f"sns.{get_region()}.amazonaws.com").geturl()
    message["Signature"] = signature(message)
    return json.dumps(message)


def signature(message: dict) -> str:
    """Signature version 1: RSA with SHA-1 over the names and values of certain fields, one a line."""
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    signed = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    return base64.b64encode(_key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA1())).decode()  # noqa: S303 (as SNS)


@cache
def _key() -> rsa.RSAPrivateKey:
    """This run's key, whose certificate is written when it is first used."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    CERTIFICATE.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key

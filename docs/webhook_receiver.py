"""A webhook for the pipeline's events: verifies SNS's signature, confirms the subscription, handles each event once.

    pip install cryptography
    python webhook_receiver.py --topic arn:aws:sns:us-east-1:123456789012:image-pipeline-NotificationsTopic-1A2B3C

It listens for plain HTTP on 127.0.0.1:8080; put a web server with TLS in front of it. docs/events.md describes the
events. `store_outcome` is the part to replace.
"""

import argparse
import base64
import json
import re
import sqlite3
import threading
import urllib.request
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

MAX_BODY_BYTES = 1024 * 1024  # SNS sends at most 256 KiB, which JSON may escape
# SNS's hosts in all partitions, such as sns.us-east-1.amazonaws.com and sns.cn-north-1.amazonaws.com.cn.
SNS_HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
# SHA-1 is the default of a topic. Set its attribute SignatureVersion to 2 for SHA-256.
HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}
# The fields that SNS signs, in this order. A field that the message does not have is left out.
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class NotFromSns(Exception):
    """The message is not one that SNS signed for the expected topic."""


# ------------------------------------------------------------------------------------------------------------ signature


def fetch(url: str) -> bytes:
    """The content of an HTTPS address of SNS, whose certificate is verified. Redirects are errors."""
    with _opener.open(url, timeout=5) as answer:
        return answer.read()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to a host that is not SNS's."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def require_sns_url(url: str) -> None:
    """Raises NotFromSns unless the address is one of SNS's own, so that nobody can name a certificate of their own."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not SNS_HOST.fullmatch(parts.netloc):
        raise NotFromSns(f"{url} is not an address of SNS")


def verify(message: dict[str, str], topic_arn: str, fetch: Callable[[str], bytes]) -> None:
    """Raises NotFromSns unless SNS signed the message, and for this topic.

    The signature proves that SNS sent the message, but SNS signs for every account. Only the topic's ARN proves whose
    it is.
    """
    try:
        names = SIGNED[message["Type"]]
        algorithm = HASHES[message["SignatureVersion"]]()
        signature = base64.b64decode(message["Signature"], validate=True)
        certificate_url = message["SigningCertURL"]
        signed = "".join(f"{name}\n{message[name]}\n" for name in names if name != "Subject" or name in message)
    except (KeyError, TypeError, ValueError) as error:
        raise NotFromSns(f"not a message of SNS: {error!r}") from error
    if message["TopicArn"] != topic_arn:
        raise NotFromSns(f"a message of another topic: {message['TopicArn']}")
    require_sns_url(certificate_url)
    key = x509.load_pem_x509_certificate(fetch(certificate_url)).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotFromSns("the certificate has no RSA key")
    try:
        key.verify(signature, signed.encode(), padding.PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise NotFromSns("the signature is wrong") from error


# --------------------------------------------------------------------------------------------------------------- events


class Outcomes:
    """The latest outcome of each image, in SQLite."""

    def __init__(self, file: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS outcomes "
            "(image_key TEXT PRIMARY KEY, sequencer TEXT, completed_at TEXT, event TEXT)"
        )

    def store_outcome(self, event: dict) -> bool:
        """Stores an event unless it is a duplicate or older than the stored one. Returns whether it was stored.

        Comparing and writing are one statement, so that two deliveries at the same time cannot both succeed. Work that
        must happen once for each outcome belongs into the same transaction.
        """
        record = event["Record"]
        with self._lock, self._database:
            changed = self._database.execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?) ON CONFLICT (image_key) DO UPDATE SET "
                "sequencer = excluded.sequencer, completed_at = excluded.completed_at, event = excluded.event "
                "WHERE (excluded.sequencer, excluded.completed_at) > (sequencer, completed_at)",
                (record["ImageKey"], record["Sequencer"], record["CompletedAt"], json.dumps(event)),
            )
        return changed.rowcount > 0

    def outcome(self, image_key: str) -> dict | None:
        """The stored event of an image."""
        with self._lock:
            row = self._database.execute("SELECT event FROM outcomes WHERE image_key = ?", [image_key]).fetchone()
        return json.loads(row[0]) if row else None


class Receiver:
    """Handles the requests of SNS."""

    def __init__(self, topic_arn: str, outcomes: Outcomes, fetch: Callable[[str], bytes] = fetch) -> None:
        self._topic_arn = topic_arn
        self._outcomes = outcomes
        self._fetch = fetch
        self._fetch_certificate = lru_cache(maxsize=16)(fetch)

    def handle(self, body: bytes) -> None:
        """Raises NotFromSns; any other error makes SNS try again."""
        try:
            message = json.loads(body)
        except ValueError as error:
            raise NotFromSns("not JSON") from error
        if not isinstance(message, dict):
            raise NotFromSns("not a JSON object")
        verify(message, self._topic_arn, self._fetch_certificate)
        if message["Type"] == "SubscriptionConfirmation":
            require_sns_url(message["SubscribeURL"])
            self._fetch(message["SubscribeURL"])
        elif message["Type"] == "Notification":
            event = json.loads(message["Message"])
            if event["SchemaVersion"] == 1:  # a later version may mean something else
                self._outcomes.store_outcome(event)


def serve(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    """A server for the receiver. Call `serve_forever` on it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 15  # seconds, after which SNS gives up, too

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 <= length <= MAX_BODY_BYTES:
                self.send_error(413)
                return
            try:
                receiver.handle(self.rfile.read(length))
            except NotFromSns as problem:
                self.log_error("refused: %s", problem)
                self.send_error(403)  # final: SNS does not try again
            except Exception as problem:  # noqa: BLE001 (whatever failed may succeed later)
                self.log_error("failed: %r", problem)
                self.send_error(500)  # SNS tries again
            else:
                self.send_response(204)
                self.end_headers()

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--topic", required=True, help="the stack's output NotificationsTopic")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--database", default="outcomes.sqlite3")
    options = parser.parse_args()
    serve(Receiver(options.topic, Outcomes(options.database)), options.port).serve_forever()

"""The stack's notifications, through a temporary queue that is subscribed to its topic."""

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cli.stack import Client

_SETTLE = 2.0  # seconds in which a second notification would arrive


@dataclass(frozen=True, slots=True)
class Notice:
    """One publication; SNS may deliver it more than once."""

    message_id: str
    status: str  # the attribute processing_status: "SUCCESS", "HELD" or "FAILURE"


class Notices:
    """The notifications of the keys under one prefix. A context manager, which creates and removes the queue."""

    def __init__(self, sqs: Client, sns: Client, topic: str, name: str, prefix: str) -> None:
        """`topic` is an ARN, `name` is that of the queue, and `prefix` one of image keys."""
        self._sqs = sqs
        self._sns = sns
        self._topic = topic
        self.name = name
        self._prefix = prefix
        self._queue = ""  # its URL
        self._subscription = ""  # its ARN
        self._notices: dict[str, dict[str, Notice]] = defaultdict(dict)  # by key and message id
        self.repeated = 0  # deliveries of a publication beyond its first

    def __enter__(self) -> Self:
        try:
            self._subscribe()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Both calls that create something are idempotent. After an interruption they say what there is to remove.
        try:
            if not self._subscription:
                self._subscribe()
            self._sns.unsubscribe(SubscriptionArn=self._subscription)
        finally:
            if self._queue:
                self._sqs.delete_queue(QueueUrl=self._queue)

    def of(self, key: str) -> list[Notice]:
        """The notifications of a key that have been read so far."""
        return list(self._notices[key].values())

    def wait_for(self, expected: Mapping[str, int], timeout: float) -> None:
        """Read until each key has at least the `expected` number of notifications, and then a little longer.

        Returns without them after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while any(len(self._notices[key]) < count for key, count in expected.items()):
            if time.monotonic() >= deadline:
                return
            self._read(min(1, timeout))
        settled = time.monotonic() + min(_SETTLE, timeout)
        while time.monotonic() < settled:
            self._read(1)

    def _subscribe(self) -> None:
        queue_arn = f"{self._topic.rpartition(':')[0]}:{self.name}".replace(":sns:", ":sqs:", 1)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": self._topic}},
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        # With the queue, because a policy that is set later takes up to a minute to become effective.
        created = self._sqs.create_queue(QueueName=self.name, Attributes={"Policy": json.dumps(policy)})
        self._queue = created["QueueUrl"]
        subscribed = self._sns.subscribe(
            TopicArn=self._topic,
            Protocol="sqs",
            Endpoint=queue_arn,
            Attributes={"FilterPolicy": json.dumps({"imageId": [{"prefix": self._prefix}]})},
            ReturnSubscriptionArn=True,
        )
        self._subscription = subscribed["SubscriptionArn"]

    def _read(self, seconds: float) -> None:
        """Take what is in the queue, waiting for a first message."""
        answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=int(seconds))
        for message in answer.get("Messages", ()):
            envelope = json.loads(message["Body"])
            attributes = envelope.get("MessageAttributes", {})
            key = attributes.get("imageId", {}).get("Value", "")
            notice = Notice(envelope["MessageId"], attributes.get("processing_status", {}).get("Value", "none"))
            self.repeated += notice.message_id in self._notices[key]
            self._notices[key][notice.message_id] = notice
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])

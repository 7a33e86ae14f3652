"""The notifications topic's mails: a queue that the emulator puts them into, and a file that keeps what was read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

QUEUE_NAME = "image-pipeline-mails"
MAIL_DOMAIN = "queue.localhost"  # the emulator puts a mail to NAME@queue.localhost into the queue NAME


@dataclass(frozen=True, slots=True)
class Mail:
    """One notification, as a person receives it."""

    subject: str
    body: str
    attributes: dict[str, str]
    sent_at: str  # ISO 8601, UTC

    @classmethod
    def from_envelope(cls, envelope: dict) -> "Mail":
        """The notification in the JSON document that the emulator delivers to a queue."""
        return cls(
            subject=envelope.get("Subject", ""),
            body=envelope["Message"],
            attributes={name: value["Value"] for name, value in envelope.get("MessageAttributes", {}).items()},
            sent_at=envelope["Timestamp"],
        )

    def __str__(self) -> str:
        """Headers, an empty line, and the body."""
        headers = {"Date": self.sent_at, "Subject": self.subject, **self.attributes}
        return "\n".join([*(f"{name}: {value}" for name, value in headers.items()), "", self.body])


class Inbox:
    """All notifications since the queue was subscribed. Reading moves them from the queue to the file."""

    def __init__(self, sqs, sns, file: Path) -> None:
        self._sqs = sqs
        self._sns = sns
        self._file = file

    def subscribe(self, topic_arn: str) -> None:
        """Subscribe the queue's mail address to the topic. Idempotent."""
        allow_topic = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": self._queue_arn(),
                    "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
                }
            ],
        }
        self._sqs.set_queue_attributes(QueueUrl=self._queue_url(), Attributes={"Policy": json.dumps(allow_topic)})
        self._sns.subscribe(TopicArn=topic_arn, Protocol="email", Endpoint=f"{QUEUE_NAME}@{MAIL_DOMAIN}")

    def read(self) -> list[Mail]:
        """Every notification so far, oldest first."""
        queue_url = self._queue_url()
        while messages := self._sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            with self._file.open("a") as file:
                file.writelines(json.dumps(asdict(Mail.from_envelope(json.loads(m["Body"])))) + "\n" for m in messages)
            for message in messages:
                self._sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        if not self._file.exists():
            return []
        return sorted((Mail(**json.loads(line)) for line in self._file.open()), key=lambda mail: mail.sent_at)

    def _queue_url(self) -> str:
        return self._sqs.create_queue(QueueName=QUEUE_NAME)["QueueUrl"]

    def _queue_arn(self) -> str:
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue_url(), AttributeNames=["QueueArn"])
        return attributes["Attributes"]["QueueArn"]

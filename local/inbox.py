"""The notifications topic's mails, which the emulator writes into a file."""

import json
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "inbox@localhost"  # whose mails the emulator keeps
FILE = "inbox.jsonl"  # in the emulator's state directory, one envelope a line


@dataclass(frozen=True, slots=True)
class Mail:
    """One notification, as a person receives it."""

    subject: str
    body: str
    attributes: dict[str, str]
    sent_at: str  # ISO 8601, UTC

    @classmethod
    def from_envelope(cls, envelope: dict) -> "Mail":
        """The notification in the JSON document that SNS makes of a message."""
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


def read(state_dir: Path) -> list[Mail]:
    """Every notification so far, oldest first."""
    file = state_dir / FILE
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [Mail.from_envelope(json.loads(line)) for line in lines]

"""The lists of the index table, and which of them an image is in. Standard library only.

A list is all entries with the same `ListName`: all images, those with a label, those that need attention. Within a
list, `Position` orders them by the time of the upload.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from imagepipeline.models import JsonObject

ALL = "all"
ATTENTION = "attention"
MAX_LABEL_LENGTH = 255  # characters; longer names than Rekognition's have no list


class Entry(NamedTuple):
    """One image in one list."""

    list_name: str
    position: str
    image_key: str
    confidence: float | None = None  # percent, of a label

    @property
    def key(self) -> JsonObject:
        """The entry's key in the index table."""
        return {"ListName": {"S": self.list_name}, "Position": {"S": self.position}}

    @property
    def item(self) -> JsonObject:
        """The entry as the index table stores it."""
        confidence = {} if self.confidence is None else {"Confidence": {"N": str(self.confidence)}}
        return {**self.key, "ImageKey": {"S": self.image_key}, **confidence}


def label_list(label: str) -> str:
    """The list of the images with a label, in whatever letter case."""
    return f"label#{label.casefold()}"


def position(received_at: str, image_key: str) -> str:
    """Where an image is in each of its lists. The key itself would exceed the 1,024 bytes of a sort key."""
    return f"{received_at}#{hashlib.sha256(image_key.encode()).hexdigest()[:32]}"


def lists_of(record: JsonObject) -> dict[str, float | None]:
    """The lists that a record belongs to, each with the confidence of its label."""
    names: dict[str, float | None] = {ALL: None}
    if needs_attention(record):
        names[ATTENTION] = None
    for label in record.get("Labels", ()):
        if 1 <= len(label["Name"]) <= MAX_LABEL_LENGTH:
            name = label_list(label["Name"])
            names[name] = max(label["Confidence"], names.get(name) or 0)
    return names


def needs_attention(record: JsonObject) -> bool:
    """Whether something may be wrong that the status does not tell: no notification, or a step that was left out."""
    if record["Status"] == "REJECTED":
        return "AnnouncedAt" not in record
    return record["Status"] == "COMPLETED" and any(name.endswith("Error") for name in record)


def entries(record: JsonObject | None) -> set[Entry]:
    """The entries that the index table should have for a record."""
    if record is None or "ReceivedAt" not in record:  # somebody wrote it by hand
        return set()
    at = position(record["ReceivedAt"], record["ImageKey"])
    return {Entry(name, at, record["ImageKey"], confidence) for name, confidence in lists_of(record).items()}


def changes(earlier: Iterable[JsonObject], current: JsonObject | None) -> tuple[set[Entry], set[Entry]]:
    """The entries to write and to remove for a record that had these earlier states, one for each place at most."""
    wanted = entries(current)
    places = {(entry.list_name, entry.position) for entry in wanted}
    # Two states may have had a label with different confidences, and DynamoDB refuses to delete one item twice.
    had = {(entry.list_name, entry.position): entry for state in earlier for entry in entries(state)}
    return wanted, {entry for place, entry in had.items() if place not in places}

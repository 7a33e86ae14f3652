"""What a listing asks for, and the cursors that continue it. Pure, standard library only."""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from imagepipeline.api.http import Refused
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.lists import ALL, MAX_LABEL_LENGTH, label_list, lists_of
from imagepipeline.models import JsonObject, timestamp

PARAMETERS = frozenset({"status", "label", "min_confidence", "prefix", "from", "to", "limit", "cursor"})
STATUSES = ("COMPLETED", "HELD", "PROCESSING", "REJECTED", "FAILED")
MAX_LIMIT = 100  # as many as one BatchGetItem reads
DEFAULT_LIMIT = 20

_EARLIEST, _LATEST = "0000", "9999"  # every ReceivedAt is between them
_CHECKSUM_BYTES = 8
_PERCENT = re.compile(r"(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)", re.ASCII)


class Position(NamedTuple):
    """Where an image is in a listing: by time; DynamoDB orders those of the same time."""

    received_at: str
    image_key: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Which images are asked for, the newest upload first."""

    status: str  # empty: whatever their status is
    label: str  # in whatever letter case; empty: whatever their labels are
    min_confidence: float  # percent, of the label
    prefix: str  # of keys
    earliest: str  # bounds of ReceivedAt, as strings: both included
    latest: str
    limit: int
    after: Position | None = None  # where the page before ended

    @classmethod
    def from_query(cls, query: dict[str, str]) -> "Listing":
        """The listing that a query asks for. Raises Refused, which names the parameter and its limits."""
        status = query.get("status", "")
        if "status" in query and status not in STATUSES:
            raise Refused(400, f"status must be one of {', '.join(STATUSES)}")
        label = query.get("label", "")
        if "label" in query and not (1 <= len(label) <= MAX_LABEL_LENGTH and label.isprintable()):
            raise Refused(400, f"label must have 1 to {MAX_LABEL_LENGTH} printable characters")
        prefix = query.get("prefix", UPLOADS_PREFIX)  # which all keys begin with
        if not prefix.startswith(UPLOADS_PREFIX) or len(prefix.encode()) > MAX_KEY_BYTES:
            raise Refused(400, f"prefix must begin with {UPLOADS_PREFIX} and have at most {MAX_KEY_BYTES} bytes")
        earliest, latest = _EARLIEST, _LATEST
        if "from" in query:
            # A time with a fraction of a second is greater than the same second without "Z", and less than with it.
            earliest = timestamp(_moment("from", query["from"]), "seconds").removesuffix("Z")
        if "to" in query:
            latest = _before(_moment("to", query["to"]))
        if earliest > latest:
            raise Refused(400, "from must be earlier than to")
        listing = cls(
            status,
            label.casefold(),
            _confidence(query),
            prefix,
            earliest,
            latest,
            _limit(query.get("limit", str(DEFAULT_LIMIT))),
        )
        return replace(listing, after=listing._position(query["cursor"])) if "cursor" in query else listing

    @property
    def list_name(self) -> str:
        """The list of the index table that has these images; empty if the images table's index by status has them."""
        if self.label:
            return label_list(self.label)
        return "" if self.status else ALL

    @property
    def is_selective(self) -> bool:
        """Whether some entries of the index may not be asked for."""
        return self.prefix != UPLOADS_PREFIX or self.min_confidence > 0

    def shows(self, record: JsonObject) -> bool:
        """Whether a record has the status and the label that are asked for."""
        if self.status and record["Status"] != self.status:
            return False
        if not self.label:
            return True
        confidence = lists_of(record).get(label_list(self.label))
        return confidence is not None and confidence >= self.min_confidence

    def cursor(self, position: Position) -> str:
        """The cursor of a position in this listing: opaque to clients, and invalid for other listings."""
        text = json.dumps(position).encode()
        return base64.urlsafe_b64encode(self._checksum(text) + text).decode().rstrip("=")

    def _position(self, cursor: str) -> Position:
        unknown = Refused(400, "cursor must be the NextCursor of a page of the same listing")
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise unknown from None
        checksum, text = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
        if checksum != self._checksum(text):
            raise unknown
        return Position(*json.loads(text))

    def _checksum(self, text: bytes) -> bytes:
        # No signature is needed: a forged cursor leads to nothing that its caller may not list anyway.
        asked = json.dumps(
            [self.status, self.label, self.min_confidence, self.prefix, self.earliest, self.latest]
        ).encode()
        return hashlib.sha256(asked + b"\n" + text).digest()[:_CHECKSUM_BYTES]


def _confidence(query: dict[str, str]) -> float:
    if "min_confidence" not in query:
        return 0
    if "label" not in query:
        raise Refused(400, "min_confidence needs a label, whose confidence it is")
    if not _PERCENT.fullmatch(query["min_confidence"]):
        raise Refused(400, "min_confidence must be a number from 0 to 100, with at most three decimals")
    return float(query["min_confidence"])


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise Refused(400, f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _moment(name: str, text: str) -> datetime:
    try:
        if len(text) == len("2026-11-25"):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Refused(400, f"{name} must be a date such as 2026-11-25, or a time such as 2026-11-25T14:30:00Z, in UTC")


def _before(moment: datetime) -> str:
    """The greatest ReceivedAt before a moment. S3's events have whole seconds."""
    try:
        last = moment - timedelta(seconds=1)
    except OverflowError:
        raise Refused(400, "to must be later than the first second of the year 1") from None
    return timestamp(last, "seconds")

"""What the status endpoint tells people who have proved nothing about themselves."""

from imagepipeline.models import JsonObject
from imagepipeline.quarantine import HELD

_PUBLIC = (
    *("ImageKey", "Status", "ReceivedAt", "StartedAt", "CompletedAt", "Bytes", "Format", "Width", "Height"),
    *("Labels", "Renditions"),
)


def public(record: JsonObject) -> JsonObject:
    """The part of a record that anyone who knows the upload's name may see.

    The reason of a rejection is about the file, and its uploader's to know. The message of a failure may quote AWS,
    with ARNs and request ids, so a failure has only its error's name. What is in an image that is held, its moderator
    decides about.
    """
    told = {name: record[name] for name in _PUBLIC if name in record}
    if record["Status"] == HELD:
        return {name: value for name, value in told.items() if name not in ("Labels", "Renditions")}
    if record["Status"] == "REJECTED":
        told["Error"] = record["Error"]
    if record["Status"] == "FAILED":
        told["Error"] = {"Name": record["Error"]["Name"]}
    return told

"""What the status endpoint shows to callers whom it does not authorize."""

from imagepipeline.models import JsonObject
from imagepipeline.quarantine import HELD

_PUBLIC = (
    *("ImageKey", "Status", "ReceivedAt", "StartedAt", "CompletedAt", "Bytes", "Format", "Width", "Height"),
    *("Labels", "Renditions"),
)


def public(record: JsonObject) -> JsonObject:
    """The part of a record that anyone who knows the upload's name may see.

    The reason of a rejection is about the file, and its uploader needs it. The message of a failure may quote AWS, with
    ARNs and request ids, so of a failure only the error's name is shown. Of a held image, labels and renditions are not
    shown before a moderator decides.
    """
    shown = {name: record[name] for name in _PUBLIC if name in record}
    if record["Status"] == HELD:
        return {name: value for name, value in shown.items() if name not in ("Labels", "Renditions")}
    if record["Status"] == "REJECTED":
        shown["Error"] = record["Error"]
    if record["Status"] == "FAILED":
        shown["Error"] = {"Name": record["Error"]["Name"]}
    return shown

"""The text of the notification of an image that is completed or held.

The text for a failure is in the state machine, because it must not depend on a function that may have failed.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

from imagepipeline.analysis import in_words
from imagepipeline.models import JsonObject
from imagepipeline.printable import printable

_MAX_FACT = 4096  # characters; more than the longest key has once it is printable or part of a URL

# An HTTP API decodes a path twice and cuts it at a question mark; browsers and proxies normalise slashes and dots. Only
# names without any of that arrive as they are.
_SURVIVES_IN_A_PATH = re.compile(r"(?:(?!\.\.?/)[\w. -]+/)*(?!\.\.?$)[\w. -]+")


def success(record: JsonObject, api: str) -> str:
    """The text of a COMPLETED record's notification; `api` is the status endpoint's base URL."""
    facts = {
        "Image": record["ImageKey"],
        "Picture": f"{record['Width']} x {record['Height']} {record['Format']}, {size(record['Bytes'])}",
        "Taken": record.get("Exif", {}).get("TakenAt"),
        "Camera": record.get("Exif", {}).get("Camera"),
        "Renditions": ", ".join(
            f"{name} {rendition['Width']} x {rendition['Height']}" for name, rendition in record["Renditions"].items()
        ),
        "Labels": _answer(record, "Labels", _labels),
        "Faces": _answer(record, "Faces", _faces),
        "Moderation": _answer(record, "Moderation", _moderation),
        "Status": status_url(api, record["ImageKey"]),
    }
    return _text("An image is ready.", facts)


def held(record: JsonObject, api: str) -> str:
    """The text of a HELD record's notification."""
    facts = {
        "Image": record["ImageKey"],
        "Picture": f"{record['Width']} x {record['Height']} {record['Format']}, {size(record['Bytes'])}",
        "Reason": record["HeldBecause"]["Message"],
        "Decide": "image-pipeline release, or image-pipeline reject, with the key",
        "Status": status_url(api, record["ImageKey"]),
    }
    return _text("An image is held for review.", facts)


def _text(sentence: str, facts: dict[str, str | None]) -> str:
    lines = [f"  {name:<11} {printable(value, _MAX_FACT)}" for name, value in facts.items() if value]
    return "\n".join([sentence, "", *lines, ""])


def status_url(api: str, image_key: str) -> str:
    """The URL of the image's status: with the key in the path where that is exact, otherwise in the query."""
    if _SURVIVES_IN_A_PATH.fullmatch(image_key):
        return f"{api}/images/{quote(image_key)}/status"
    return f"{api}/images/status?key={quote(image_key)}"


def size(count: int) -> str:
    """A number of bytes in a readable decimal unit, as cameras and file managers show it."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= divisor:
            return f"{count / divisor:.1f} {unit}"
    return f"{count} bytes"


def _answer(record: JsonObject, name: str, text: Callable[[JsonObject], str | None]) -> str | None:
    """What Rekognition answered, or why it did not; None if it was not asked."""
    if reason := record.get(f"{name}Error") or record.get(f"{name}Skipped"):
        return f"none: {reason['Message']}"
    return text(record)


def _labels(record: JsonObject) -> str:
    return in_words(record.get("Labels", [])) or "none found"


def _faces(record: JsonObject) -> str | None:
    if "Faces" not in record:
        return None
    return str(len(record["Faces"]) or "none found")


def _moderation(record: JsonObject) -> str | None:
    if "ModerationLabels" not in record:
        return None
    return in_words(record["ModerationLabels"]) or "nothing found"

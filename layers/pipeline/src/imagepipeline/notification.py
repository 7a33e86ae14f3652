"""The text of the notification of a completed image.

The text for a failure is in the state machine, because it must not depend on a function that may have failed.
"""

from urllib.parse import quote

from imagepipeline.models import JsonObject

MOST_LABELS = 5


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
        "Labels": _labels(record),
        "Status": status_url(api, record["ImageKey"]),
    }
    lines = [f"  {name:<11} {value}" for name, value in facts.items() if value]
    return "\n".join(["An image is ready.", "", *lines, ""])


def status_url(api: str, image_key: str) -> str:
    """The URL of the image's status."""
    return f"{api}/images/{quote(image_key)}/status"


def size(count: int) -> str:
    """A number of bytes in a readable decimal unit, as cameras and file managers show it."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= divisor:
            return f"{count / divisor:.1f} {unit}"
    return f"{count} bytes"


def _labels(record: JsonObject) -> str:
    if reason := record.get("LabelsError") or record.get("LabelsSkipped"):
        return f"none: {reason['Message']}"
    labels = record.get("Labels", [])
    if not labels:
        return "none found"
    return ", ".join(f"{label['Name']} {label['Confidence']:.0f} %" for label in labels[:MOST_LABELS])

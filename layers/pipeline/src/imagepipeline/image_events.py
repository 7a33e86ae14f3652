"""The JSON document that programs receive when an image is completed or held. docs/events.md describes it.

The document of a failure is built in the state machine, like its text: it must not depend on a function that may be
what failed.
"""

import json

from imagepipeline.models import JsonObject
from imagepipeline.quarantine import without_held_renditions

SCHEMA_VERSION = 1
_INTERNAL = ("ExecutionArn",)


def stored(record: JsonObject, uploads_bucket: str, thumbnails_bucket: str) -> str:
    """The event of a COMPLETED or HELD record."""
    event = {
        "SchemaVersion": SCHEMA_VERSION,
        "Outcome": record["Status"],
        "UploadsBucket": uploads_bucket,
        "ThumbnailsBucket": thumbnails_bucket,
        "Record": {name: value for name, value in without_held_renditions(record).items() if name not in _INTERNAL},
    }
    return json.dumps(event)  # in ASCII: SNS refuses some characters that keys can contain

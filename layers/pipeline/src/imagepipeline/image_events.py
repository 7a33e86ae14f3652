"""The JSON document that programs receive when an image is completed. docs/events.md describes it.

The document of a failure is built in the state machine, like its text: it must not depend on a function that may be
what failed.
"""

import json

from imagepipeline.models import JsonObject

SCHEMA_VERSION = 1
_INTERNAL = ("ExecutionArn",)


def completed(record: JsonObject, uploads_bucket: str, thumbnails_bucket: str) -> str:
    """The event of a COMPLETED record."""
    event = {
        "SchemaVersion": SCHEMA_VERSION,
        "Outcome": "COMPLETED",
        "UploadsBucket": uploads_bucket,
        "ThumbnailsBucket": thumbnails_bucket,
        "Record": {name: value for name, value in record.items() if name not in _INTERNAL},
    }
    return json.dumps(event)  # in ASCII: SNS refuses some characters that keys can contain

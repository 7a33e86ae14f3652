"""Keys of uploads and renditions, and the order of S3's sequencers. Standard library only."""

import hashlib
import re
from datetime import datetime

UPLOADS_PREFIX = "uploads/"
MAX_KEY_BYTES = 1024  # S3's limit on a key, in UTF-8 bytes
# S3 documents no maximum; observed sequencers have 16 to 18 digits. The padded length only has to exceed all of them.
SEQUENCER_LENGTH = 64

_HEX = re.compile(r"[0-9A-Fa-f]+")
_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif"}


def is_folder_marker(key: str, size: int) -> bool:
    """Whether an object is what the S3 console creates for a folder: empty, with a key that ends in a slash."""
    return size == 0 and key.endswith("/")


def comparable(sequencer: str) -> str:
    """The sequencer of an S3 event, padded so that two sequencers of the same key compare as strings.

    S3 prescribes padding with zeros on the right and a lexicographical comparison; both letter cases occur.
    Raises ValueError for anything that is not hexadecimal.
    """
    if not _HEX.fullmatch(sequencer):
        raise ValueError(f"{sequencer!r} is not a hexadecimal sequencer")
    return sequencer.upper().ljust(SEQUENCER_LENGTH, "0")


def just_after(sequencer: str) -> str:
    """A comparable sequencer that is later than this one, and earlier than every later one of S3."""
    return f"{int(sequencer, 16) + 1:0{SEQUENCER_LENGTH}X}"


def before_every_event(modified: datetime) -> str:
    """A comparable sequencer for an object without a record, modified at this time: its own event may still come.

    It is earlier than any that S3 sends, whose first digits are a time. It depends on the object's time, so that
    another object under the same key gets other rendition keys.
    """
    return f"{int(modified.timestamp()):0{SEQUENCER_LENGTH}X}"


def renditions_prefix(image_key: str) -> str:
    """The prefix of all renditions of all versions of one upload; it ends with a slash.

    It is 128 bits of the SHA-256 of the whole key. A collision is expected only among 2**64 uploads, and no character
    of the upload's key has to be escaped in a URL.
    """
    return hashlib.sha256(image_key.encode()).hexdigest()[:32] + "/"


def version_prefix(image_key: str, sequencer: str, execution_arn: str) -> str:
    """The prefix of the renditions that one execution creates of one version of an upload; it ends with a slash.

    A replaced upload has a new sequencer and therefore new keys, so the object under a key never changes. Two
    executions for the same event have different keys, so one that was superseded cannot remove what the other writes.
    """
    execution = hashlib.sha256(execution_arn.encode()).hexdigest()[:8]
    return f"{renditions_prefix(image_key)}{sequencer.rstrip('0') or '0'}-{execution}/"


def rendition_key(image_key: str, sequencer: str, execution_arn: str, name: str, format_name: str) -> str:
    """The key of one rendition: `<hash of the upload's key>/<sequencer>-<hash of execution>/<name>.<extension>`."""
    return f"{version_prefix(image_key, sequencer, execution_arn)}{name}.{_EXTENSIONS[format_name]}"


def answers_key(rendition: str) -> str:
    """The key of the answers that an execution keeps beside its renditions, from the key of one of these."""
    return f"{rendition.rpartition('/')[0]}/answers.json"

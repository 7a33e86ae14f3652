"""What uploads are accepted, under which keys and in which parts. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from imagepipeline.api.http import Refused
from imagepipeline.errors import UnsupportedFormat
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.models import JsonObject
from imagepipeline.printable import printable
from imagepipeline.probing.formats import START_BYTES, recognise

MEMBERS = frozenset({"Filename", "ContentType", "Bytes", "Overwrite", "Multipart"})
# An AVIF and a HEIC share a container, and cameras and browsers confuse their types.
_HEIF_TYPES = frozenset({"image/heic", "image/heif", "image/avif"})
CONTENT_TYPES = {
    "JPEG": frozenset({"image/jpeg"}),
    "PNG": frozenset({"image/png"}),
    "GIF": frozenset({"image/gif"}),
    "WEBP": frozenset({"image/webp"}),
    "TIFF": frozenset({"image/tiff"}),
    "BMP": frozenset({"image/bmp"}),
    "AVIF": _HEIF_TYPES,
    "HEIC": _HEIF_TYPES,
}
ACCEPTED_TYPES = tuple(sorted(frozenset().union(*CONTENT_TYPES.values())))

# Lambda takes 6 MB of JSON, in which base64 makes 4 MiB 5.6 MB; headers and the rest of the event need room, too.
DIRECT_BYTES = 4 * 2**20
MULTIPART_FROM = 100 * 2**20  # above, S3 recommends parts
PART_BYTES = 8 * 2**20  # S3 wants at least 5 MiB, and at most 10,000 parts

_UPLOAD_ID = re.compile(r"[A-Za-z0-9._~+/=-]{1,1024}")
_UNIQUE_BYTES = 33  # 32 hexadecimal digits, which make a key unique, and a slash
MAX_FILENAME_BYTES = MAX_KEY_BYTES - len(UPLOADS_PREFIX) - _UNIQUE_BYTES


@dataclass(frozen=True, slots=True)
class Announced:
    """An upload that a client is about to send."""

    key: str
    content_type: str
    size: int  # bytes: exactly for a multipart upload, otherwise at most
    multipart: bool

    @classmethod
    def from_json(cls, body: JsonObject, unique: str, max_bytes: int) -> "Announced":
        """The upload that the body of POST /uploads describes. Raises Refused, which names a member's limits."""
        content_type, size = body.get("ContentType"), body.get("Bytes")
        if content_type not in ACCEPTED_TYPES:
            raise Refused(400, f"ContentType must be one of {', '.join(ACCEPTED_TYPES)}")
        if type(size) is not int or size < 1:
            raise Refused(400, f"Bytes must be a whole number from 1 to {max_bytes}")
        multipart = _switch(body, "Multipart") or size > MULTIPART_FROM
        key = new_key(body.get("Filename"), unique, _switch(body, "Overwrite"))
        if size > max_bytes:
            raise Refused(413, f"Bytes must be at most {max_bytes}, the largest file that this pipeline accepts")
        return cls(key, content_type, size, multipart)


def _switch(body: JsonObject, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refused(400, f"{name} must be true or false")
    return value


def new_key(filename: object, unique: str, overwrite: bool) -> str:
    """A key of the new upload's own, or just the file's name if overwriting is asked for. Raises Refused."""
    if not isinstance(filename, str) or not filename or not _encodes(filename):
        raise Refused(400, f"Filename must be a text of 1 to {MAX_FILENAME_BYTES} bytes in UTF-8")
    if len(filename.encode()) > MAX_FILENAME_BYTES:
        raise Refused(400, f"Filename must have at most {MAX_FILENAME_BYTES} bytes in UTF-8")
    if printable(filename) != filename:
        raise Refused(400, "Filename must not contain control, formatting or other unprintable characters")
    if any(part in ("", ".", "..") for part in filename.split("/")):
        raise Refused(
            400, 'Filename must not begin or end with a slash, nor contain an empty part, "." or ".." between slashes'
        )
    if "${filename}" in filename:  # S3 puts the name of the form's file in its place, wherever the policy has it
        raise Refused(400, "Filename must not contain S3's variable for the name of a form's file")
    return f"{UPLOADS_PREFIX}{filename}" if overwrite else f"{UPLOADS_PREFIX}{unique}/{filename}"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_direct(data: bytes, content_type: str | None, max_bytes: int) -> str:
    """The media type of an image that came in the body of a request, which may have claimed one. Raises Refused."""
    limit = min(DIRECT_BYTES, max_bytes)
    if len(data) > limit:
        raise Refused(413, f"the image must have at most {limit} bytes; upload a larger one by POST /uploads")
    if not data:
        raise Refused(400, "the image must have at least one byte")
    try:
        found = CONTENT_TYPES[recognise(data[:START_BYTES])]
    except UnsupportedFormat as error:
        raise Refused(415, str(error)) from None
    if content_type is None:
        return sorted(found)[0]
    if content_type not in found:
        raise Refused(415, f"Content-Type must be that of the content, which is {' or '.join(sorted(found))}")
    return content_type


# ----------------------------------------------------------------------------------------------------------- multipart


def part_sizes(size: int) -> dict[int, int]:
    """The bytes of each part of a multipart upload, by its number."""
    return {number: min(PART_BYTES, size - start) for number, start in enumerate(range(0, size, PART_BYTES), start=1)}


def upload_id(path: dict[str, str]) -> str:
    """S3's id of a multipart upload, from the path. Raises Refused."""
    found = path.get("id", "")
    if not _UPLOAD_ID.fullmatch(found):
        raise Refused(400, "the path must have the UploadId that POST /uploads returned")
    return found


def total_bytes(text: str, max_bytes: int) -> int:
    """The parameter `bytes`. Raises Refused."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and 1 <= int(text) <= max_bytes):
        raise Refused(400, f"bytes must be the Bytes that POST /uploads was asked for, from 1 to {max_bytes}")
    return int(text)


def status_url(api: str, key: str) -> str:
    """Where the processing status of an upload can be read: encoded so that clients can sign it as it is."""
    return f"{api}/images/status?key={quote(key, safe='')}"

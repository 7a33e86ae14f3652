"""Finding out which files are stored already, so that an upload that was interrupted can be continued."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from cli.files import Item
from cli.stack import Stack

PART_BYTES = 8 << 20  # of a multipart upload: boto3's threshold and part size
_FILES_AT_A_TIME = 1000  # as many as one listing returns


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing describes it."""

    etag: str
    size: int  # bytes
    modified: datetime


def with_stored(stack: Stack, items: Iterable[Item]) -> Iterator[tuple[Item, Stored | None]]:
    """Each item with the object that is stored under its key. One listing serves up to a thousand files."""
    for batch in batched(items, _FILES_AT_A_TIME, strict=False):
        stored = _stored(stack, [item.key for item in batch])
        yield from ((item, stored.get(item.key)) for item in batch)


def _stored(stack: Stack, keys: Iterable[str]) -> dict[str, Stored]:
    """The objects under these keys. Lists from key to key, and leaves out what is stored far between them."""
    wanted = sorted(keys, key=str.encode)  # S3 orders keys by their bytes
    found: dict[str, Stored] = {}
    listed_to = ""
    position = 0
    while position < len(wanted):
        # Every key after this one is listed, the wanted one included.
        after = max(wanted[position][:-1], listed_to, key=str.encode)
        page = stack.s3.list_objects_v2(Bucket=stack.uploads_bucket, StartAfter=after)
        objects = {entry["Key"]: entry for entry in page.get("Contents", [])}
        if not page["IsTruncated"]:
            listed_to, end = "", len(wanted)
        else:
            listed_to = max(objects, key=str.encode)
            end = position
            while end < len(wanted) and wanted[end].encode() <= listed_to.encode():
                end += 1
        for key in wanted[position:end]:
            if key in objects:
                entry = objects[key]
                found[key] = Stored(entry["ETag"].strip('"'), entry["Size"], entry["LastModified"])
        position = end
    return found


def is_unchanged(item: Item, stored: Stored) -> bool:
    """Whether the object has the bytes of the file: the ETag is an MD5, unless the object is encrypted with KMS.

    Raises OSError.
    """
    return item.size == stored.size and stored.etag == _etag(item, in_parts="-" in stored.etag)


def _etag(item: Item, *, in_parts: bool) -> str:
    """The ETag that S3 gives an object with the file's bytes."""
    digests = []
    with item.path.open("rb") as content:
        if not in_parts:
            return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        while part := content.read(PART_BYTES):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"

"""Which files are stored already, by few listings."""

import math
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.files import Item
from cli.unchanged import Stored, is_unchanged, with_stored

NOW = datetime.now(UTC)
KEYS = st.sets(st.text("ab/.é😀\ud7ff", min_size=1, max_size=5), max_size=30)


class Bucket:
    """Lists three objects at a time."""

    def __init__(self, keys: set[str]) -> None:
        self._keys = sorted(keys, key=str.encode)
        self.listings = 0

    def list_objects_v2(self, **request: str) -> dict:
        self.listings += 1
        found = [key for key in self._keys if key.encode() > request["StartAfter"].encode()]
        entries = [{"Key": key, "ETag": f'"{key}"', "Size": len(key), "LastModified": NOW} for key in found[:3]]
        return {"Contents": entries, "IsTruncated": len(found) > 3}


def stored_of(keys: list[str], bucket: Bucket) -> dict[str, Stored | None]:
    items = [Item(Path(key), key, 0) for key in keys]
    stack = SimpleNamespace(s3=bucket, uploads_bucket="uploads")
    return {item.key: stored for item, stored in with_stored(stack, items)}


@given(KEYS, KEYS)
def test_exactly_the_stored_keys_are_found(wanted: set[str], stored: set[str]):
    bucket = Bucket(stored)

    found = stored_of(sorted(wanted), bucket)

    assert {key for key, one in found.items() if one} == wanted & stored
    assert bucket.listings <= len(wanted) + math.ceil(len(stored) / 3)


@pytest.mark.parametrize(("size", "parts"), [(0, False), (5, False), (9 << 20, True), (16 << 20, True)])
def test_the_etag_of_an_upload_is_recognized(stack, tmp_path: Path, size: int, parts: bool):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"x" * size)
    stack.s3.upload_file(str(file), stack.uploads_bucket, "uploads/photo.jpg")
    etag = stack.s3.head_object(Bucket=stack.uploads_bucket, Key="uploads/photo.jpg")["ETag"].strip('"')

    assert ("-" in etag) is parts
    assert is_unchanged(Item(file, "uploads/photo.jpg", size), Stored(etag, size, NOW))
    file.write_bytes(b"y" * size)
    assert is_unchanged(Item(file, "uploads/photo.jpg", size), Stored(etag, size, NOW)) is (size == 0)

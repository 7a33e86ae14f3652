"""Images are found by label and by what needs attention, whatever becomes of them: the index function, deployed."""

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import PHOTOS

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture(scope="module")
def reader(deployed) -> Client:
    return deployed.api_client("GET/images")


@pytest.fixture
def cat() -> bytes:
    return (PHOTOS / "cat.png").read_bytes()


def listed(reader: Client, prefix: str, **query: object) -> list[str]:
    """The names of the images of a listing, without their prefix."""
    found = reader.call("GET /images", {"prefix": prefix, **query}).json["Images"]
    return [image["ImageKey"].removeprefix(prefix) for image in found]


def test_labels_find_an_image_until_it_is_replaced_or_deleted(deployed, reader, prefix, cat, photo):
    deployed.process(f"{prefix}cat.png", cat)
    deployed.process(f"{prefix}other.png", cat)
    deployed.indexed(prefix)
    both = listed(reader, prefix, label="cat", min_confidence=50)

    deployed.process(f"{prefix}cat.png", photo)
    deployed.delete(f"{prefix}other.png")
    deployed.eventually(lambda: deployed.record(f"{prefix}other.png") is None)
    deployed.indexed(prefix)

    assert both == ["other.png", "cat.png"]
    assert listed(reader, prefix, label="cat") == []
    assert listed(reader, prefix) == ["cat.png"]


def test_the_index_function_makes_up_for_what_failed(deployed, faults, reader, prefix, cat):
    for fault in ("crash", "crash-late", "timeout", "throttle"):
        faults.ask("lambda:*IndexFunction*", fault, 1)

    deployed.process(f"{prefix}cat.png", cat)
    deployed.process(f"{prefix}bad.png", b"no image")

    deployed.indexed(prefix)
    assert listed(reader, prefix, label="CAT") == ["cat.png"]


def test_a_lost_index_is_derived_again(deployed, reader, prefix, cat, command):
    deployed.process(f"{prefix}cat.png", cat)
    deployed.indexed(prefix)
    table = deployed.outputs["IndexTable"]
    for item in deployed.table.scan(TableName=table)["Items"]:
        if item["ImageKey"]["S"].startswith(prefix):
            key = {name: item[name] for name in ("ListName", "Position")}
            deployed.table.delete_item(TableName=table, Key=key)
    unfounded = {"ListName": {"S": "label#dog"}, "Position": {"S": "2020"}, "ImageKey": {"S": f"{prefix}gone.png"}}
    deployed.table.put_item(TableName=table, Item=unfounded)

    status, _ = command("reindex")

    assert status == 0
    deployed.indexed(prefix)
    assert listed(reader, prefix, label="Cat") == ["cat.png"]

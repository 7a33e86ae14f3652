"""Images are found by label and by what needs attention, whatever becomes of them: the index function, deployed."""

from uuid import uuid4

import pytest

from cli.main import main
from tests.integration.clients import Client
from tests.integration.conftest import PHOTOS
from tests.integration.test_products import access_key

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture(scope="module")
def reader(deployed) -> Client:
    return Client(deployed.outputs["ImageStatusApiEndpoint"], access_key(deployed, "lister", "GET/images"))


@pytest.fixture
def prefix() -> str:
    return f"uploads/{uuid4().hex}/"


@pytest.fixture
def cat() -> bytes:
    return (PHOTOS / "cat.png").read_bytes()


def listed(reader: Client, prefix: str, **query: object) -> list[str]:
    """The names of the images of a listing, without their prefix."""
    found = reader.call("GET /images", {"prefix": prefix, **query}).json["Images"]
    return [image["ImageKey"].removeprefix(prefix) for image in found]


def test_an_image_is_found_by_its_labels_until_it_is_replaced_or_deleted(deployed, reader, prefix, cat, photo):
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


def test_a_lost_index_is_derived_again(deployed, reader, prefix, cat, monkeypatch):
    deployed.process(f"{prefix}cat.png", cat)
    deployed.indexed(prefix)
    table = deployed.outputs["IndexTable"]
    for item in deployed.table.scan(TableName=table)["Items"]:
        if item["ImageKey"]["S"].startswith(prefix):
            key = {name: item[name] for name in ("ListName", "Position")}
            deployed.table.delete_item(TableName=table, Key=key)
    unfounded = {"ListName": {"S": "label#dog"}, "Position": {"S": "2020"}, "ImageKey": {"S": f"{prefix}gone.png"}}
    deployed.table.put_item(TableName=table, Item=unfounded)
    for name, value in deployed.stack.environment.items():
        monkeypatch.setenv(name, value)

    assert main(["reindex"]) == 0

    deployed.indexed(prefix)
    assert listed(reader, prefix, label="Cat") == ["cat.png"]

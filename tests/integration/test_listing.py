"""Listings of many images on the deployed stack, through the API, while others arrive."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from imagepipeline import lists
from imagepipeline.items import to_item
from tests.integration.clients import Client

pytestmark = [pytest.mark.xdist_group("deployed"), pytest.mark.slow, pytest.mark.timeout(600)]


BEFORE, DAY, LATER = "2020-04-30", "2020-05-01", "2020-05-02"
COUNT, LABELS = 10_000, 10


@pytest.fixture(scope="module")
def client(deployed) -> Client:
    """Someone who may list images, once there are many."""
    put_records(deployed, range(COUNT), DAY)
    put_records(deployed, range(1), BEFORE)
    last = lists.Entry(lists.ALL, lists.position(f"{BEFORE}T00:00:00Z", f"uploads/{BEFORE}/00000.jpg"), "")
    # The emulator's stream has one shard, so the last record is indexed last.
    index = {"TableName": deployed.outputs["IndexTable"], "Key": last.key}
    deployed.eventually(lambda: "Item" in deployed.table.get_item(**index), patience=400)
    return deployed.api_client("GET/images")


def put_records(deployed, numbers: range, day: str) -> None:
    """Write records of completed images directly into the table."""
    table = deployed.outputs["ImagesTable"]

    def record(number: int) -> dict:
        seconds = number // 10  # ten of each second
        return {
            "ImageKey": f"uploads/{day}/{number:05}.jpg",
            "Status": "COMPLETED",
            "ReceivedAt": f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z",
            "CompletedAt": f"{day}T23:59:59.000Z",
            "Labels": [{"Name": f"Label {number // 3 % LABELS}", "Confidence": 70 + 5 * (number % 7)}],
        }

    def write(start: int) -> None:
        requests = [{"PutRequest": {"Item": to_item(record(n))}} for n in numbers[start : start + 25]]
        deployed.table.batch_write_item(RequestItems={table: requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, len(numbers), 25)))


def listed(deployed, client: Client, **asked: object) -> list[int]:
    """The numbers of the images of that day, in the order of the pages, while others arrive."""
    found, query, pages = [], {"limit": 100, **asked}, 0
    while True:
        page = deployed.eventually(partial(page_of, client, query))
        found += [image["ImageKey"] for image in page["Images"]]
        pages += 1
        if pages % 5 == 0:
            put_records(deployed, range(10 * pages, 10 * pages + 20), LATER)
        if "NextCursor" not in page:
            break
        query["cursor"] = page["NextCursor"]
    assert len(found) == len(set(found))
    numbers = [int(key[-9:-4]) for key in found if key.startswith(f"uploads/{DAY}/")]
    seconds = [number // 10 for number in numbers]
    assert seconds == sorted(seconds, reverse=True)
    return numbers


def page_of(client: Client, query: dict) -> dict | None:
    """A page, or None: the emulator's table is slow when it is large, and the API then asks to try again."""
    answer = client.call("GET /images", query)
    assert answer.status in (200, 503), answer
    return answer.json if answer.status == 200 else None


def test_each_of_ten_thousand_images_is_listed_once_by_its_label(deployed, client):
    found = [number for label in range(LABELS) for number in listed(deployed, client, label=f"label {label}")]

    assert len(found) == COUNT
    assert set(found) == set(range(COUNT))


def test_the_confident_of_ten_thousand_are_listed_once(deployed, client):
    found = listed(deployed, client, label="Label 7", min_confidence=95)

    assert sorted(found) == [n for n in range(COUNT) if n // 3 % LABELS == 7 and n % 7 >= 5]


def test_the_newest_of_ten_thousand_are_listed_once(deployed, client):
    found = listed(deployed, client, **{"from": f"{DAY}T00:16:10Z"})

    assert sorted(found) == list(range(COUNT - 300, COUNT))

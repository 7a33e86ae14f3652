"""Listings of many images on the deployed stack, through the API, while others arrive."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from imagepipeline import lists
from imagepipeline.records import to_item
from tests.integration.clients import Client
from tests.integration.test_products import access_key

pytestmark = [pytest.mark.xdist_group("deployed"), pytest.mark.slow, pytest.mark.timeout(600)]


BEFORE, DAY, LATER = "2020-04-30", "2020-05-01", "2020-05-02"
COUNT = 10_000


@pytest.fixture(scope="module")
def client(deployed) -> Client:
    """Someone who may list images, once there are many."""
    put_records(deployed, range(COUNT), DAY)
    put_records(deployed, range(1), BEFORE)
    last = lists.Entry(lists.ALL, lists.position(f"{BEFORE}T00:00:00Z", f"uploads/{BEFORE}/00000.jpg"), "")
    # The emulator's stream has one shard, so the last record is indexed last.
    index = {"TableName": deployed.outputs["IndexTable"], "Key": last.key}
    deployed.eventually(lambda: "Item" in deployed.table.get_item(**index), patience=300)
    return Client(deployed.outputs["ImageStatusApiEndpoint"], access_key(deployed, "reader", "GET/images"))


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
            "Labels": [{"Name": "Cat", "Confidence": 70 + number % 30}],
        }

    def write(start: int) -> None:
        requests = [{"PutRequest": {"Item": to_item(record(n))}} for n in numbers[start : start + 25]]
        deployed.table.batch_write_item(RequestItems={table: requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, len(numbers), 25)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"label": "cat", "from": DAY}, COUNT),
        ({"label": "Cat", "from": DAY, "min_confidence": 97}, 999),
        ({"status": "COMPLETED", "from": f"{DAY}T00:15:00Z"}, 1000),
    ],
    ids=str,
)
def test_each_of_ten_thousand_images_is_listed_once_while_others_arrive(deployed, client, asked, expected):
    found, query, pages = [], {"limit": 100, **asked}, 0

    while True:
        page = deployed.eventually(partial(page_of, client, query))
        found += [image["ImageKey"] for image in page["Images"]]
        pages += 1
        if pages % 10 == 0:
            put_records(deployed, range(2 * pages - 20, 2 * pages), LATER)
        if "NextCursor" not in page:
            break
        query["cursor"] = page["NextCursor"]

    old = [key for key in found if key.startswith(f"uploads/{DAY}/")]
    assert len(old) == len(set(old)) == expected
    assert len(found) == len(set(found))
    newest_first = [int(key[-9:-4]) // 10 for key in old]
    assert newest_first == sorted(newest_first, reverse=True)


def page_of(client: Client, query: dict) -> dict | None:
    """A page, or None: the emulator's table is slow when it is large, and the API then asks to try again."""
    answer = client.call("GET /images", query)
    assert answer.status in (200, 503), answer
    return answer.json if answer.status == 200 else None

"""Listings of many images on the deployed stack, through the API, while others arrive."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from imagepipeline.records import to_item
from tests.integration.clients import Client
from tests.integration.test_products import access_key

pytestmark = [pytest.mark.xdist_group("deployed"), pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def client(deployed) -> Client:
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
        }

    def write(start: int) -> None:
        requests = [{"PutRequest": {"Item": to_item(record(n))}} for n in numbers[start : start + 25]]
        deployed.table.batch_write_item(RequestItems={table: requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, len(numbers), 25)))


def test_ten_thousand_images_are_listed_once_each_while_others_arrive(deployed, client):
    put_records(deployed, range(10_000), "2020-05-01")
    found, query, pages = [], {"from": "2020-05-01", "limit": 100}, 0
    newest = 0

    while True:
        page = client.call("GET /images", query).json
        found += [image["ImageKey"] for image in page["Images"]]
        pages += 1
        if pages % 10 == 0:
            put_records(deployed, range(newest, newest + 20), "2020-05-02")
            newest += 20
        if "NextCursor" not in page:
            break
        query["cursor"] = page["NextCursor"]

    old = [key for key in found if key.startswith("uploads/2020-05-01/")]
    assert len(old) == len(set(old)) == 10_000
    assert len(found) == len(set(found))
    newest_first = [int(key[-9:-4]) // 10 for key in old]
    assert newest_first == sorted(newest_first, reverse=True)

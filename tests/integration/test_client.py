"""The typed client against the deployed stack, with permission to call the API and no other."""

import boto3
import pytest

from cli.api import Api, Rejected, signed
from tests.integration.clients import Client

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture(scope="module")
def client(deployed) -> Client:
    return deployed.api_client("*")


@pytest.fixture(scope="module")
def api(client) -> Api:
    """The typed client of the same user."""
    return Api(client.endpoint, signed(boto3.Session(*client.access_key, region_name="us-east-1")))


def test_the_client_uploads_lists_fetches_and_deletes(deployed, client, api, photo, tmp_path):
    file = tmp_path / "a b+c.jpg"
    file.write_bytes(photo)

    accepted = api.upload(file)
    record = deployed.processed(client, accepted["StatusUrl"])

    assert api.image(accepted["Key"])["ETag"] == record["ETag"]
    deployed.indexed(accepted["Key"])
    assert accepted["Key"] in [image["ImageKey"] for image in api.images(limit="1", **{"from": "2021-01-01"})]
    assert len(api.rendition(accepted["Key"], "small")) == record["Renditions"]["small"]["Bytes"]
    assert api.delete(accepted["Key"])["Key"] == accepted["Key"]
    deployed.eventually(lambda: deployed.record(accepted["Key"]) is None)


def test_the_client_sends_a_large_file_in_parts(deployed, client, api, photo, tmp_path):
    file = tmp_path / "large.jpg"
    file.write_bytes(photo + bytes(17 * 2**20))

    accepted = api.upload(file, "renamed.jpg", overwrite=True)

    assert accepted["Key"] == "uploads/renamed.jpg"
    assert deployed.processed(client, accepted["StatusUrl"])["Bytes"] == file.stat().st_size


def test_the_client_raises_what_the_api_says(api, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")

    with pytest.raises(Rejected, match="400: ContentType must be one of"):
        api.upload(tmp_path / "notes.txt")
    with pytest.raises(Rejected, match="404: there is no image with this key"):
        api.image("uploads/nothing.jpg")

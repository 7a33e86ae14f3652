"""The status endpoint as a stranger reaches it: by links in notifications and by addresses of their own."""

import re
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from imagepipeline.printable import printable
from local.deployment import stack_name
from tests.integration.conftest import named

pytestmark = pytest.mark.xdist_group("deployed")

KEYS = {
    "plain": "uploads/linked/photo-1.jpg",
    "spaces": "uploads/a linked name.jpg",
    "emoji": "uploads/😀 👩\u200d🚀.jpg",
    "plus": "uploads/linked+photo.jpg",
    "percent": "uploads/linked 100%.jpg",
    "encoded percent": "uploads/linked 100%25.jpg",
    "question mark": "uploads/linked?size=2.jpg",
    "number sign": "uploads/linked#2.jpg",
    "trailing slash": "uploads/linked/",
    "dots": "uploads/linked/../photo.jpg",
    "line break": "uploads/linked\n  Status  http://example.com.jpg",
    "tab": "uploads/linked\tphoto.jpg",
    "direction": "uploads/linked\u202egpj.exe",
    "line separator": "uploads/linked\u2028photo.jpg",
    "quotes": "uploads/deep/er/quote'\"&<>;=@.jpg",
    "longest": "uploads/" + "n" * 1012 + ".jpg",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_notification_of_any_key_links_to_its_status(deployed, photo, key):
    record = deployed.process(key, photo)

    [mail] = deployed.mails(printable(key))
    [name] = re.findall("(?m)^  Image       (.+)$", mail.body)
    [link] = re.findall("(?m)^  Status      (.+)$", mail.body)
    status, body = deployed.status(link.removeprefix(f"{deployed.outputs['ImageStatusApiEndpoint']}/"))
    assert name == mail.attributes["imageId"] == printable(key)
    assert (status, body["ImageKey"], body["Status"]) == (200, key, "COMPLETED")
    assert deployed.renditions_of(key) == named(record)


def test_a_query_is_exact_where_a_path_is_decoded_twice(deployed, photo):
    key = "uploads/100%25 of it?.jpg"
    deployed.process(key, photo)

    assert deployed.status(f"images/{quote(key)}/status")[0] == 400
    assert deployed.status(f"images/{quote(quote(key))}/status")[1]["ImageKey"] == key
    assert deployed.status(f"images/status?key={quote(key)}")[1]["ImageKey"] == key


def test_the_open_endpoint_identifies_neither_account_nor_photographer(deployed, photo):
    record = deployed.process("uploads/private-facts.jpg", photo)

    _, body = deployed.status_of("uploads/private-facts.jpg")

    assert {"ExecutionArn", "ETag", "Sequencer", "Sha256", "DHash", "ThumbHash", "Attempts"} <= record.keys() - body
    assert body["Renditions"] == record["Renditions"]
    assert "000000000000" not in str(body)


def test_cloudformation_refuses_locations_behind_an_open_endpoint(deployed):
    client = deployed.stack.client("cloudformation")
    current = client.describe_stacks(StackName=stack_name())["Stacks"][0]["Parameters"]
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in current}
    parameters |= {"RecordLocation": "true"}

    with pytest.raises(ClientError, match="RecordLocation=true requires ApiAuthorization=AWS_IAM"):
        client.create_change_set(
            StackName=stack_name(),
            ChangeSetName="locations",
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )

"""With Moderation=quarantine: what is held, who sees it, and what a moderator decides."""

import json
from collections.abc import Iterator

import pytest

from cli.api import Api, Rejected, signed
from imagepipeline import quarantine
from imagepipeline.keys import renditions_prefix
from imagepipeline.quarantine import Action
from tests.event_schema import require_valid
from tests.integration.clients import Client, send
from tests.integration.conftest import Deployed
from tests.integration.faults import FOR_GOOD, flagged_photo, small_photo

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture(scope="module", autouse=True)
def quarantine_is_on(deployed: Deployed) -> Iterator[None]:
    """The stack has Moderation=record, which differs in this setting alone (tests/template/test_parameters.py)."""
    with deployed.function_setting("StoreFunction", MODERATION="quarantine"):
        yield


@pytest.fixture
def client(deployed) -> Client:
    return Client(deployed.outputs["ImageStatusApiEndpoint"], ("test", "test"))


FLAGGED, CLEAN = flagged_photo(), small_photo()


def announced(deployed: Deployed, key: str) -> list[str]:
    """The outcomes of the key's events, in order."""
    found = deployed.events(key)
    for event in found:
        require_valid(event)
        assert ("Renditions" in event["Record"]) == (event["Outcome"] == "COMPLETED")
    return [event["Outcome"] for event in found]


def decide(deployed: Deployed, decision: dict) -> None:
    """Start the execution of a decision, however late, and wait for its end."""
    deployed.executions.start_execution(stateMachineArn=deployed.outputs["ImagePipeline"], input=json.dumps(decision))
    deployed.settled(decision["detail"]["object"]["key"])


def test_no_route_shows_a_flagged_image_until_it_is_released(deployed, client, key):
    held = deployed.process(key, FLAGGED)

    assert (held["Status"], held["HeldBecause"]["Name"]) == ("HELD", "Flagged")
    assert announced(deployed, key) == ["HELD"]
    [mail] = deployed.mails(key)
    assert mail.attributes["processing_status"] == "HELD"
    answers = [
        client.call("GET /images/status", {"key": key}),
        client.call("GET /images", {"key": key}),
        client.call("GET /images", {"status": "HELD"}),
        client.call("GET /images", {"prefix": key}),
        client.call("GET /renditions", {"key": key, "name": "large"}),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 409]
    for answer in answers:
        assert renditions_prefix(key).encode() not in answer.body
        assert "Location" not in answer.headers

    api = Api(client.endpoint, signed(deployed.stack.session))
    assert api.decide(api.image(key), "release")["Key"] == key

    deployed.eventually(lambda: announced(deployed, key) == ["HELD", "COMPLETED"])
    shown = client.call("GET /images", {"key": key}).json
    assert shown["Decision"] == {"Action": "RELEASE"}
    assert send("GET", shown["Renditions"]["large"]["Url"]).status == 200
    with pytest.raises(Rejected, match="409: the image is not held: its status is COMPLETED"):
        api.decide(shown, "reject")


def test_an_image_that_was_not_examined_is_completed_by_a_redrive(deployed, faults, key, command):
    faults.ask("rekognition:DetectModerationLabels", "denied", FOR_GOOD)
    held = deployed.process(key, CLEAN)
    faults.clear()
    assert (held["Status"], held["HeldBecause"]["Name"]) == ("HELD", "RekognitionFailed")

    before = deployed.requests()

    status, [result] = command("redrive", key)

    assert (status, result["Status"]) == (0, "COMPLETED")
    calls = deployed.requests() - before
    assert {action: count for action, count in calls.items() if action.startswith("rekognition:")} == {
        "rekognition:DetectModerationLabels": 1
    }
    assert announced(deployed, key) == ["HELD", "COMPLETED"]


def test_a_rejected_image_loses_its_renditions(deployed, key, command):
    held = deployed.process(key, FLAGGED)
    assert deployed.renditions_of(key)

    status, [result] = command("reject", key)
    assert (status, result["Status"], result["Error"]["Name"]) == (0, "REJECTED", "RejectedByModerator")
    status, [result] = command("reject", key)
    assert (status, result["Status"]) == (1, "NOT_HELD")
    decide(deployed, quarantine.decision(deployed.outputs["UploadsBucket"], held, Action.RELEASE))  # too late

    assert deployed.record(key)["Status"] == "REJECTED"
    assert deployed.renditions_of(key) == set()
    assert announced(deployed, key) == ["HELD", "REJECTED"]

"""Whatever fails, the record is terminal, announced once and agrees with its renditions, and no step runs away.

The quick part of the matrix in `faults`; tests.torture runs all of it.
"""

import json

import pytest

from local.faults import Faults
from tests.integration import faults as matrix
from tests.integration.conftest import Deployed
from tests.integration.faults import FOR_GOOD, Case, runaways, small_photo, violations

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.mark.parametrize("case", [case for case in matrix.matrix() if case.quick], ids=str)
@pytest.mark.usefixtures("faults")
def test_every_upload_reaches_its_outcome_whatever_fails(deployed: Deployed, key: str, case: Case):
    assert matrix.run(deployed, case, key) == []


def test_an_answer_of_rekognition_is_not_asked_for_again(deployed: Deployed, faults: Faults, key: str):
    faults.ask("rekognition:DetectFaces", "throttle", 4)  # botocore calls three times
    before = deployed.requests()

    record = deployed.process(key, small_photo())

    calls = deployed.requests() - before
    operations = ("DetectLabels", "DetectModerationLabels", "DetectFaces")
    assert [calls[f"rekognition:{operation}"] for operation in operations] == [1, 1, 5]
    assert record["Faces"] == record["ModerationLabels"] == []
    assert not {key for key in deployed.rendition_keys() if key.endswith("answers.json")}


def test_an_upload_that_cannot_be_recorded_is_announced_once(deployed: Deployed, faults: Faults, key: str):
    faults.ask("dynamodb:PutItem", "error", FOR_GOOD)

    deployed.put(key, small_photo())
    executions = deployed.settled(key)

    [mail] = deployed.mails(key)
    assert mail.attributes["processing_status"] == "FAILURE"
    assert "BeginRecord" in mail.body
    assert [problem for execution in executions for problem in runaways(deployed, execution)] == []


@pytest.mark.parametrize("fault", ["throttle", "denied"])
def test_an_event_that_can_start_nothing_is_kept(deployed: Deployed, faults: Faults, key: str, fault: str):
    faults.ask("states:StartExecution", fault)

    deployed.put(key, small_photo())

    kept = deployed.eventually(lambda: undelivered(deployed, key))
    assert kept["detail-type"] == "Object Created"
    assert deployed.record(key) is None


def test_a_deletion_that_can_start_nothing_is_kept(deployed: Deployed, faults: Faults, key: str):
    deployed.process(key, small_photo())
    faults.ask("states:StartExecution", "throttle")

    deployed.delete(key)

    kept = deployed.eventually(lambda: undelivered(deployed, key))
    assert kept["detail-type"] == "Object Deleted"


def undelivered(deployed: Deployed, key: str) -> dict | None:
    """The event of an upload in the dead-letter queue, which then has it no longer."""
    sqs, queue = deployed.stack.client("sqs"), {"QueueUrl": deployed.outputs["UndeliveredEventsQueue"]}
    for message in sqs.receive_message(**queue, MaxNumberOfMessages=10).get("Messages", []):
        event = json.loads(message["Body"])
        if event["detail"]["object"]["key"] == key:
            sqs.delete_message(**queue, ReceiptHandle=message["ReceiptHandle"])
            return event
    return None


def test_housekeeping_removes_renditions_that_the_pipeline_could_not(deployed: Deployed, faults: Faults, key: str):
    replaced = deployed.process(key, small_photo())
    faults.ask("s3:DeleteObject", "denied", 3)

    deployed.put(key, small_photo(shade=9))
    deployed.eventually(lambda: deployed.record(key)["ETag"] != replaced["ETag"])
    deployed.settled(key)

    assert len(deployed.executions_of(key, "Housekeeping")) == 1
    assert deployed.record(key)["Status"] == "COMPLETED"
    assert violations(deployed, key, mails=2) == []

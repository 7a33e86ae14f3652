"""What failed is listed and processed again by the command, and then no longer listed."""

import json

import pytest

from tests.integration.conftest import Command, named
from tests.integration.faults import FOR_GOOD

pytestmark = pytest.mark.xdist_group("deployed")


def listed(command: Command, key: str, *options: str) -> list[dict]:
    return [failure for failure in command("failures", *options)[1] if failure["ImageKey"] == key]


def test_a_failed_image_is_listed_until_it_is_redriven(deployed, photo, key, command):
    with deployed.function_setting("ThumbnailsFunction", RENDITIONS="small=100"):
        failed = deployed.process(key, photo)
    [failure] = listed(command, key)

    status, [result] = command("redrive", key)

    assert (failure["Kind"], failure["Error"]) == ("FAILED", failed["Error"])
    assert failure["FailedStep"] == "CreateThumbnails"
    assert failure["Advice"] == "correct the setting, deploy, then redrive it"
    assert (status, result["Status"]) == (0, "COMPLETED")
    record = deployed.record(key)
    assert (record["Status"], record["ETag"], record["Bytes"]) == ("COMPLETED", failed["ETag"], len(photo))
    assert deployed.renditions_of(key) == named(record)
    assert [mail.attributes["processing_status"] for mail in deployed.mails(key)] == ["FAILURE", "SUCCESS"]
    assert listed(command, key) == []


def test_a_record_without_its_object_is_removed_with_its_renditions(deployed, photo, key, command):
    record = deployed.process(key, photo)
    with deployed.without_events("DeletionsRule"):
        deployed.delete(key)
    assert deployed.record(key) == record

    status, [result] = command("redrive", key)

    assert (status, result["Status"]) == (0, "REMOVED")
    assert deployed.record(key) is None
    assert deployed.renditions_of(key) == set()


def test_an_upload_without_an_event_is_processed(deployed, photo, key, command):
    with deployed.without_events("UploadsRule"):
        deployed.put(key, photo)

    status, [result] = command("redrive", key)
    after = deployed.process(key, photo)

    assert (status, result["Status"]) == (0, "COMPLETED")
    assert after["Sequencer"] > result["Sequencer"]


def test_an_undelivered_event_is_listed_until_it_is_redriven(deployed, faults, photo, key, command):
    faults.ask("states:StartExecution", "denied")
    deployed.put(key, photo)
    [failure] = deployed.eventually(lambda: listed(command, key))
    again = listed(command, key)

    status, results = command("redrive", "--all")

    assert failure["Kind"] == "UNDELIVERED"
    assert again == [failure]
    assert status == 0
    assert ("COMPLETED", key) in [(result["Status"], result["ImageKey"]) for result in results]
    assert deployed.record(key)["ETag"]
    assert listed(command, key) == []
    assert len(deployed.mails(key)) == 1
    [execution] = deployed.executions_of(key)
    assert "Redrive" not in execution["input"]


def test_a_redrive_adds_labels_when_rekognition_is_back(deployed, faults, photo, key, command):
    faults.ask("rekognition:DetectLabels", "denied", FOR_GOOD)
    before = deployed.process(key, photo)
    faults.clear()
    [failure] = listed(command, key)

    status, results = command("redrive", "--labels")

    assert (before["Status"], failure["Kind"], failure["Error"]) == ("COMPLETED", "UNLABELLED", before["LabelsError"])
    assert status == 0
    assert key in [result["ImageKey"] for result in results]
    record = deployed.record(key)
    assert "LabelsError" not in record
    assert "Labels" in record
    redriven = json.loads(deployed.executions_of(key)[-1]["input"])
    assert redriven["Answers"].items() >= {"Faces": [], "ModerationLabels": []}.items()
    assert deployed.renditions_of(key) == named(record)


def test_a_failed_housekeeping_is_listed_until_it_is_redriven(deployed, faults, photo, key, command):
    deployed.process(key, photo)
    faults.ask("lambda:*ResolveCurrentVersionFunction*", "denied", FOR_GOOD)
    deployed.delete(key)
    deployed.eventually(lambda: deployed.executions_of(key, "Housekeeping"))
    _, execution = deployed.settled(key)
    faults.clear()
    [failure] = listed(command, key)

    status, results = command("redrive", "--all")

    assert execution["status"] == "FAILED"
    assert failure["Kind"] == "NOT_REMOVED"
    assert status == 0
    assert ("REMOVED", key) in [(result["Status"], result["ImageKey"]) for result in results]
    assert deployed.renditions_of(key) == set()
    assert listed(command, key) == []

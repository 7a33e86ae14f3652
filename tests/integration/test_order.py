"""Replaced, repeated, deleted, aborted: a key's newest object has its record, its notification and its renditions."""

import pytest

from tests.integration.conftest import PHOTOS, named

pytestmark = pytest.mark.xdist_group("deployed")


def test_a_photo_replaced_by_a_bad_file_is_a_rejection(deployed, photo, key):
    deployed.process(key, photo)

    second = deployed.process(key, b"not a picture")
    deployed.settled(key)

    assert second["Status"] == "REJECTED"
    assert deployed.renditions_of(key) == set()


def test_an_event_delivered_ten_times_is_processed_once(deployed, photo, key):
    record = deployed.process(key, photo)
    [execution] = deployed.executions_of(key)

    for _ in range(9):
        deployed.executions.start_execution(stateMachineArn=deployed.outputs["ImagePipeline"], input=execution["input"])
    executions = deployed.settled(key)

    assert len(executions) == 10
    assert [deployed.history(e["executionArn"])[-1] for e in executions[1:]] == ["RejectedOrSuperseded"] * 9
    assert deployed.record(key) == record
    assert len(deployed.mails(key)) == 1


def test_of_many_uploads_in_a_row_the_last_one_stands(deployed, photo, key):
    cat = (PHOTOS / "cat.png").read_bytes()

    for body in (photo, cat, b"garbage", photo, cat):
        deployed.put(key, body)
    deployed.eventually(lambda: len(deployed.executions_of(key)) == 5)
    deployed.settled(key)

    record, mail = deployed.record(key), deployed.mails(key)[-1]
    assert (record["Status"], record["Format"]) == ("COMPLETED", "PNG")
    assert deployed.renditions_of(key) == named(record)
    assert mail.attributes["processing_status"] == "SUCCESS"
    assert "PNG" in mail.body


def test_a_photo_deleted_while_it_is_processed_leaves_nothing(deployed, faults, photo, key):
    faults.ask("rekognition:DetectLabels", "slow")
    deployed.put(key, photo)
    deployed.eventually(lambda: deployed.record(key))

    deployed.delete(key)
    deployed.eventually(lambda: deployed.executions_of(key, "Housekeeping"))
    deployed.settled(key)

    assert deployed.record(key) is None
    assert deployed.renditions_of(key) == set()


def test_an_upload_event_after_the_deletion_brings_nothing_back(deployed, photo, key):
    deployed.process(key, photo)
    [execution] = deployed.executions_of(key)
    deployed.delete(key)
    deployed.eventually(lambda: deployed.record(key) is None)

    deployed.executions.start_execution(stateMachineArn=deployed.outputs["ImagePipeline"], input=execution["input"])
    deployed.settled(key)

    assert deployed.record(key) is None
    assert len(deployed.mails(key)) == 1


def test_an_aborted_execution_is_recorded_and_announced_as_failed(deployed, faults, photo, key):
    faults.ask("rekognition:DetectLabels", "slow")
    deployed.put(key, photo)
    record = deployed.eventually(lambda: deployed.record(key))

    deployed.executions.stop_execution(executionArn=record["ExecutionArn"])
    record = deployed.eventually(lambda: (found := deployed.record(key)) and "AnnouncedAt" in found and found)
    deployed.settled(key)

    assert (record["Status"], record["Error"]["Name"]) == ("FAILED", "Execution.ABORTED")
    [mail] = deployed.mails(key)
    assert mail.attributes["processing_status"] == "FAILURE"
    assert deployed.renditions_of(key) == set()


def test_a_restored_version_is_processed_without_an_upload_event(deployed, photo, key):
    bucket = deployed.outputs["UploadsBucket"]
    deployed.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = deployed.process(key, photo)
    deployed.delete(key)
    deployed.eventually(lambda: deployed.record(key) is None)
    [marker] = deployed.s3.list_object_versions(Bucket=bucket, Prefix=key)["DeleteMarkers"]

    deployed.s3.delete_object(Bucket=bucket, Key=key, VersionId=marker["VersionId"])

    record = deployed.eventually(lambda: (found := deployed.record(key)) and "CompletedAt" in found and found)
    deployed.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert record["Status"] == "COMPLETED"
    assert record["VersionId"] == first["VersionId"] != "null"

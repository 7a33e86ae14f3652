"""Images in the bucket are processed again, a bounded number at a time, and never instead of newer ones."""

from functools import partial

import pytest

from tests.integration.conftest import PHOTOS, Command, named
from tests.integration.faults import VALIDATE

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture
def reprocess(command: Command) -> Command:
    return partial(command, "reprocess")


def outcomes(run: dict) -> dict[str, int]:
    return {name: run[name] for name in ("Completed", "Rejected", "Failed", "Superseded") if run.get(name)}


def test_objects_from_before_the_stack_get_their_records(deployed, faults, photo, prefix, reprocess):
    recorded = deployed.process(f"{prefix}recorded.jpg", photo)
    with deployed.without_events("UploadsRule"):
        for number in range(3):
            deployed.put(f"{prefix}{number}.jpg", photo)
        deployed.put(f"{prefix}text.jpg", b"not a picture")
        deployed.put(f"{prefix}folder/", b"")
    faults.ask(VALIDATE, "denied", 3)  # all attempts of the first image

    status, [failure, run] = reprocess(prefix, "--unrecorded", "--yes", "--at-once", "1", "--tolerate", "50")

    assert (status, run["Status"], run["LookedAt"]) == (1, "SUCCEEDED", 6)
    assert outcomes(run) == {"Completed": 2, "Rejected": 1, "Failed": 1}
    assert (failure["ImageKey"], failure["Kind"]) == (f"{prefix}0.jpg", "FAILED")
    assert failure["Error"]["Name"] == "Lambda.AccessDeniedException"
    assert [deployed.record(f"{prefix}{number}.jpg")["Status"] for number in (1, 2)] == ["COMPLETED"] * 2
    assert deployed.record(f"{prefix}recorded.jpg") == recorded
    assert deployed.record(f"{prefix}folder/") is None
    assert len(deployed.mails(f"{prefix}1.jpg")) == 1


def test_an_image_that_lacks_a_rendition_gets_it(deployed, photo, prefix, reprocess):
    complete, incomplete = (deployed.process(f"{prefix}{name}.jpg", photo) for name in ("complete", "incomplete"))
    deployed.table.update_item(
        TableName=deployed.outputs["ImagesTable"],
        Key={"ImageKey": {"S": incomplete["ImageKey"]}},
        UpdateExpression="REMOVE Renditions.#large",
        ExpressionAttributeNames={"#large": "large"},
    )

    status, [run] = reprocess(prefix, "--missing-renditions", "--yes")

    assert (status, outcomes(run)) == (0, {"Completed": 1})
    assert deployed.record(complete["ImageKey"]) == complete
    after = deployed.record(incomplete["ImageKey"])
    assert after["Renditions"].keys() == complete["Renditions"].keys()
    assert after["Sequencer"] > incomplete["Sequencer"]
    assert deployed.renditions_of(after["ImageKey"]) == named(after)


def test_a_stopped_run_is_resumed_without_what_is_done(deployed, photo, prefix, reprocess):
    keys = [f"{prefix}{number:02}.jpg" for number in range(16)]
    with deployed.without_events("UploadsRule"):
        for key in keys:
            deployed.put(key, photo)

    _, [run] = reprocess(prefix, "--yes", "--no-follow", "--at-once", "2")
    deployed.eventually(lambda: sum(deployed.record(key) is not None for key in keys) >= 4)
    replaced = deployed.process(keys[-1], (PHOTOS / "cat.png").read_bytes())
    _, stopped = reprocess("--stop")
    begun = [key for key in keys if deployed.record(key)]
    for execution in (execution for key in begun for execution in deployed.settled(key)):
        assert execution["status"] == "SUCCEEDED"  # none was stopped
    done = {key: record for key in begun if key != keys[-1] and (record := deployed.record(key))}
    status, [resumed] = reprocess("--resume", run["Run"])

    assert stopped[-1]["Status"] == "ABORTED"
    assert 0 < len(done) < len(keys)
    assert (status, resumed["Run"], resumed["Status"]) == (0, run["Run"], "SUCCEEDED")
    assert resumed["Execution"] == f"{run['Run']}_2"
    assert reprocess("--status", run["Run"]) == (0, [resumed])
    records = {key: deployed.record(key) for key in keys}
    assert {record["Status"] for record in records.values()} == {"COMPLETED"}
    # What was done before the stop, and the newer upload, were left alone.
    assert {key: records[key] for key in done} == done
    assert records[keys[-1]]["ETag"] == replaced["ETag"]
    assert all(len(deployed.executions_of(key)) == 1 for key in done)


def test_a_failed_run_is_resumed_with_what_failed(deployed, faults, photo, prefix, reprocess):
    with deployed.without_events("UploadsRule"):
        for number in range(3):
            deployed.put(f"{prefix}{number}.jpg", photo)
    faults.ask(VALIDATE, "denied", 3)  # all attempts of the first image

    _, [*_, failed] = reprocess(prefix, "--unrecorded", "--yes", "--at-once", "1")
    before = {number: deployed.record(f"{prefix}{number}.jpg") for number in range(3)}
    status, [resumed] = reprocess("--resume")
    again, _ = reprocess("--resume")

    assert (failed["Status"], before[0]["Status"]) == ("FAILED", "FAILED")
    assert (status, resumed["Run"], resumed["Status"]) == (0, failed["Run"], "SUCCEEDED")
    assert outcomes(resumed) == {"Completed": 1}
    assert deployed.record(f"{prefix}0.jpg")["Status"] == "COMPLETED"
    assert {number: deployed.record(f"{prefix}{number}.jpg") for number in (1, 2)} == {1: before[1], 2: before[2]}
    assert again == 2  # nothing is left

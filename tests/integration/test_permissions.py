"""What the deployed pipeline can only do with its permissions. tests.permissions takes them away, one by one."""

import json

import pytest

from imagepipeline.items import to_item
from tests.integration.conftest import Deployed, named

pytestmark = pytest.mark.xdist_group("deployed")


def succeeded(deployed: Deployed, key: str, count: int) -> bool:
    """Whether the key's events started so many executions, of both state machines, and all of them succeeded."""

    def ended() -> list[str] | None:
        found = [*deployed.executions_of(key), *deployed.executions_of(key, "Housekeeping")]
        statuses = [execution["status"] for execution in found]
        return statuses if len(statuses) >= count and "RUNNING" not in statuses else None

    return deployed.eventually(ended) == ["SUCCEEDED"] * count


def test_a_replaced_photo_loses_its_old_renditions_at_once(deployed, photo, key):
    first = deployed.process(key, photo)
    second = deployed.process(key, photo)

    assert succeeded(deployed, key, 2)
    assert second["Sequencer"] > first["Sequencer"]
    assert deployed.renditions_of(key) == named(second)
    assert len(deployed.mails(key)) == 2


def test_a_folder_marker_is_discarded(deployed, key):
    deployed.put(f"{key}/", b"")

    assert succeeded(deployed, f"{key}/", 1)
    assert deployed.record(f"{key}/") is None
    assert deployed.mails(f"{key}/") == []


def test_a_deletion_removes_the_record_and_the_renditions(deployed, photo, key):
    deployed.process(key, photo)

    deployed.delete(key)

    assert succeeded(deployed, key, 2)
    assert deployed.record(key) is None
    assert deployed.renditions_of(key) == set()
    assert deployed.status_of(key)[0] == 404


def test_an_execution_that_ended_early_is_resumed(deployed, photo, key):
    deployed.process(key, photo)
    event = json.loads(deployed.executions_of(key)[0]["input"])
    abandoned = {"ExecutionArn": deployed.record(key)["ExecutionArn"], "Resumptions": 0}

    # Housekeeping gets the event of the early end, as EventBridge delivers it.
    detail = {"executionArn": abandoned["ExecutionArn"], "status": "ABORTED", "input": json.dumps(event)}
    deployed.executions.start_execution(
        stateMachineArn=deployed.outputs["Housekeeping"],
        input=json.dumps({"detail-type": "Step Functions Execution Status Change", "detail": detail}),
    )

    assert succeeded(deployed, key, 3)
    assert len(deployed.mails(key)) == 2


def test_a_sweep_finds_an_upload_that_nothing_completes(deployed, key):
    found_before = deployed.sweep()["Stuck"]
    executions = deployed.outputs["ImagePipeline"].replace(":stateMachine:", ":execution:")
    record = {"ImageKey": key, "Status": "PROCESSING", "ReceivedAt": "2026-01-01T00:00:00Z"}
    item = to_item(record | {"ExecutionArn": f"{executions}:of-90-days-ago"})
    deployed.table.put_item(TableName=deployed.outputs["ImagesTable"], Item=item)

    found = deployed.sweep()["Stuck"]

    deployed.table.delete_item(TableName=deployed.outputs["ImagesTable"], Key={"ImageKey": {"S": key}})
    assert found == found_before + 1


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        ("ValidateFunction", ("errorType", "UploadGone")),
        ("ThumbnailsFunction", ("errorType", "UploadGone")),
        ("ResolveCurrentVersionFunction", ("Action", "REMOVE")),
    ],
)
def test_a_function_knows_a_deleted_upload_from_a_forbidden_one(deployed, photo, key, function, outcome):
    deployed.process(key, photo)
    event = json.loads(deployed.executions_of(key)[0]["input"])
    deployed.delete(key)
    assert succeeded(deployed, key, 2)
    header = {"Format": "JPEG", "Width": 9, "Height": 9, "Frames": 1, "BitDepth": 8, "ColorMode": "RGB"}
    payload = {
        "Event": event,
        "Execution": {"Arn": "arn", "StartedAt": event["time"]},
        "Header": header | {"Progressive": False, "Orientation": 1},
    }

    answer = deployed.invoke(function, payload)

    attribute, value = outcome
    assert answer.get(attribute) == value, answer

"""ImagePipeline as an Express workflow keeps its promises, although nothing says how its executions end."""

from collections.abc import Iterator

import pytest

from local.stack import LocalStack
from tests.integration.conftest import Deployed, command_for
from tests.integration.faults import EXPRESS_ENDS, settled_express, violations

WAIT_SCALE = 0.1  # five minutes are 30 seconds, in which an image is processed even on a busy machine
PATIENCE = 300  # seconds

pytestmark = pytest.mark.xdist_group("express")  # deployed once


@pytest.fixture(scope="module")
def express(tmp_path_factory) -> Iterator[Deployed]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SFN_WAIT_SCALE", str(WAIT_SCALE))
        with LocalStack(tmp_path_factory.mktemp("express"), parameters={"WorkflowType": "EXPRESS"}) as stack:
            yield Deployed(stack, WAIT_SCALE)


def test_an_image_survives_the_end_of_its_execution_at_any_step(express: Deployed, photo: bytes):
    faults = express.stack.faults
    express.put("uploads/undisturbed.jpg", photo)
    settled_express(express, "uploads/undisturbed.jpg")
    assert violations(express, "uploads/undisturbed.jpg") == []

    for number, (call, fault, _) in enumerate(EXPRESS_ENDS):
        faults.ask(f"express:{call}", fault)
        express.put(f"uploads/ended-{number}.jpg", photo)
        # Without a sweep, because an execution that is started in place of another would meet the next fault.
        express.eventually(lambda: not faults.left(), PATIENCE)
    for number in range(len(EXPRESS_ENDS)):
        settled_express(express, f"uploads/ended-{number}.jpg")

    for number, (call, fault, perhaps_announced) in enumerate(EXPRESS_ENDS):
        key = f"uploads/ended-{number}.jpg"
        assert express.record(key)["Status"] == "COMPLETED", (call, fault)
        assert violations(express, key, mails=2 if perhaps_announced else 1) == [], (call, fault)


def test_objects_from_before_the_stack_are_processed(express: Deployed, photo: bytes, monkeypatch, capsys):
    command = command_for(express, monkeypatch, capsys)
    with express.without_events("UploadsRule"):
        for number in range(3):
            express.put(f"uploads/archive/{number}.jpg", photo)
        express.put("uploads/archive/text.jpg", b"not a picture")

    # On a busy machine an execution may reach its shortened limit. That counts as failed, and is resumed.
    _, [*_, run] = command("reprocess", "uploads/archive/", "--unrecorded", "--tolerate", "100", "--yes")

    assert run["Status"] == "SUCCEEDED", run
    assert run["Completed"] + run["Rejected"] + run["Failed"] == 4, run
    assert run["Completed"], run
    for number in range(3):
        settled_express(express, f"uploads/archive/{number}.jpg")
        assert express.record(f"uploads/archive/{number}.jpg")["Status"] == "COMPLETED"

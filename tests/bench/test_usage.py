"""The measured usage that prices are multiplied with agrees with the template, the state machines and the code."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import botocore.session
import pytest

from bench import quotas, usage
from bench.quotas import Machine
from cli import costs
from imagepipeline import aws
from tests.functions import deployed
from tests.functions.conftest import deployed as in_memory
from tests.functions.deployed import invoke, sample
from tests.template.stack import source

__all__ = ["in_memory"]  # the fixture

MEASURED = costs.usage()
UPLOAD = MEASURED["Upload"]
AGAIN = "measure again: .venv/bin/python -m bench.usage"
DERIVE = "read it again: .venv/bin/python -m bench.usage --derive && .venv/bin/python -m docs.costs"


def test_transitions_are_those_of_the_state_machine():
    definition = quotas.read_definition()

    assert UPLOAD["Transitions"] == Machine.from_asl(definition).transitions, AGAIN


def test_tasks_are_those_of_the_state_machine():
    definition = quotas.read_definition()
    states = definition["States"]
    path = quotas._walk(states, definition["StartAt"])
    resources = Counter(states[name]["Resource"].rsplit(":", 2)[-2] for name in path if states[name]["Type"] == "Task")

    assert {action.split(":")[0]: count for action, count in UPLOAD["Tasks"].items()} == resources, AGAIN


def test_what_follows_from_the_template_is_up_to_date():
    again = usage.derived(json.loads(json.dumps(MEASURED)))

    assert again == MEASURED, DERIVE


def test_the_alarms_of_a_deployment_depend_on_its_parameters():
    alarms = usage.idle()["Alarms"]

    assert usage.idle(LatencyAlarmSeconds="0")["Alarms"] == alarms - 1
    assert usage.idle(WebhookUrl="https://example.com/images")["Alarms"] == alarms + 1
    assert usage.idle(WorkflowType="EXPRESS")["Alarms"] == alarms


def test_labels_do_not_make_a_record_cost_another_unit():
    labels = MEASURED["Assumed"]["LabelsAnImage"] * MEASURED["Assumed"]["LabelBytes"]

    assert -(-(UPLOAD["RecordBytes"] + labels) // 1024) == -(-UPLOAD["RecordBytes"] // 1024)


@pytest.mark.parametrize("name", [*UPLOAD["Functions"], *MEASURED["Deletion"]["Functions"]])
def test_memory_leaves_a_margin_over_the_measured_peak(name: str):
    function = {**UPLOAD["Functions"], **MEASURED["Deletion"]["Functions"]}[name]

    assert function["PeakMb"] <= 0.6 * source()["Resources"][name]["Properties"]["MemorySize"]


# ------------------------------------------------------------------------------------------------ requests of functions


@contextmanager
def counted() -> Iterator[Counter]:
    """Counts the requests that the functions' clients send, by the names of their actions."""
    requests: Counter = Counter()
    # Not the session that all tests share: after a handler, it would have no more clients from the pool.
    session = botocore.session.get_session()

    def count(model, **_: object) -> None:
        name = {"ListObjectsV2": "ListBucket", "DeleteObjects": "DeleteObject"}.get(model.name, model.name)
        requests[f"{model.service_model.service_name}:{name}"] += 1

    session.register("before-call", count)
    aws.client.cache_clear()
    with patch.object(aws, "_session", lambda: session):
        yield requests
    aws.client.cache_clear()


@pytest.mark.usefixtures("in_memory")
def test_functions_send_as_many_requests_as_were_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DETECT_LABELS", "false")
    event = deployed.upload(deployed.PHOTO)
    execution = sample("store")["Execution"]
    found: dict[str, Counter] = {}

    def run(function: str, call: Callable[[], dict]) -> dict:
        with counted() as found[function]:
            return call()

    header = run("ValidateFunction", lambda: invoke(deployed.validate, {"Event": event}))
    made = run(
        "ThumbnailsFunction",
        lambda: invoke(deployed.thumbnails, {"Event": event, "Execution": execution, "Header": header}),
    )
    metadata = run("MetadataFunction", lambda: invoke(deployed.metadata, {"Event": event, **made}))
    aws.client("dynamodb").put_item(
        TableName=deployed.IMAGES_TABLE,
        Item={
            "ImageKey": {"S": event["detail"]["object"]["key"]},
            "Status": {"S": "PROCESSING"},
            "ReceivedAt": {"S": event["time"]},
            "ExecutionArn": {"S": execution["Arn"]},
        },
    )
    stored = {"Metadata": metadata, "Renditions": made["Renditions"], "Attempts": {}}
    run("StoreFunction", lambda: invoke(deployed.store, {"Event": event, "Execution": execution, **stored}))

    assert found == {name: UPLOAD["Functions"][name]["Requests"] for name in found}, AGAIN


def test_dynamodb_units_follow_from_requests_and_record_size():
    records = 1 + -(-UPLOAD["RecordBytes"] // 1024)  # as it begins, and as it is completed
    by_status = 1 + 2  # an entry is deleted and written again when the status changes
    lists = 2  # the entry in the list of all images, by the index function, at each change

    assert UPLOAD["WriteUnits"] == pytest.approx(records + by_status + lists, abs=0.2), AGAIN

"""Uploads wait while the pipeline is paused, and none is lost, whatever interrupts a resumption."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Command, Deployed

pytestmark = pytest.mark.xdist_group("deployed")


KILLED_AT_THE_SEVENTH_EVENT = """
import itertools, os, signal
import cli.pausing
from cli.main import main
upload_in, numbers = cli.pausing._upload_in, itertools.count(1)
cli.pausing._upload_in = lambda text: upload_in(text) if next(numbers) < 7 else os.kill(os.getpid(), signal.SIGKILL)
cli.pausing._HIDDEN_SECONDS = 2
main(["resume"])
"""


@pytest.fixture
def resumed_at_the_end(command: Command) -> Iterator[None]:
    yield
    assert command("resume", "--settling", "0.1")[0] == 0


def waiting(deployed: Deployed) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = deployed.outputs["PausedUploadsQueue"]
    attributes = deployed.queues.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, attributes.values()))


def is_paused(deployed: Deployed) -> bool:
    rule = deployed.outputs["UploadsRule"]
    [target] = deployed.stack.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return ":sqs:" in target["Arn"]


def require_completed_once(deployed: Deployed, key: str) -> None:
    deployed.eventually(lambda: (deployed.record(key) or {}).get("Status") == "COMPLETED" and deployed.events(key))
    deployed.settled(key)
    assert [event["Outcome"] for event in deployed.events(key)] == ["COMPLETED"]
    assert len(deployed.renditions(deployed.record(key))) == 3


@pytest.mark.usefixtures("resumed_at_the_end")
def test_a_spent_budget_has_uploads_wait_until_somebody_resumes(deployed: Deployed, photo, prefix, command):
    kept, replaced, deleted, new = (f"{prefix}{name}.jpg" for name in ("kept", "replaced", "deleted", "new"))
    deployed.process(deleted, photo)
    alarms = deployed.subscribed_queue("alarms", "AlarmsTopic")

    deployed.stack.client("sns").publish(TopicArn=deployed.outputs["BudgetTopic"], Message="the budget is spent")
    deployed.eventually(lambda: is_paused(deployed))
    deployed.put(replaced, b"replaced before it was processed")
    for key in (kept, replaced):
        deployed.put(key, photo)
    deployed.delete(deleted)
    deployed.eventually(lambda: waiting(deployed) == 3 and deployed.record(deleted) is None)

    assert [deployed.executions_of(key) for key in (kept, replaced)] == [[], []]
    [announced] = deployed.eventually(lambda: deployed.queues.receive_message(QueueUrl=alarms).get("Messages"))
    assert "image-pipeline resume" in announced["Body"]

    assert command("resume", "--settling", "0.1")[0] == 0

    assert waiting(deployed) == 0
    deployed.put(new, photo)
    for key in (kept, replaced, new):
        require_completed_once(deployed, key)


@pytest.mark.usefixtures("resumed_at_the_end")
def test_a_killed_resumption_loses_and_repeats_nothing(deployed: Deployed, photo, prefix, command):
    keys = [f"{prefix}{number:02}.jpg" for number in range(24)]
    assert command("pause")[0] == 0
    for key in keys:
        deployed.put(key, photo)
    deployed.eventually(lambda: waiting(deployed) == len(keys))

    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_SEVENTH_EVENT])
    assert killed.returncode == -signal.SIGKILL
    assert waiting(deployed)

    assert command("resume", "--settling", "4")[0] == 0

    assert waiting(deployed) == 0
    for key in keys:
        require_completed_once(deployed, key)

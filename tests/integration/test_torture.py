"""Short runs of tests.torture, whose scripts nothing else would run before somebody needs them.

They show that the scripts work. To find what is wrong with the pipeline takes longer runs: `make torture`.
"""

import io
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from rich.console import Console

from tests.integration import faults
from tests.integration.conftest import Deployed
from tests.torture.__main__ import Torture
from tests.torture.day import Day

pytestmark = pytest.mark.xdist_group("deployed")


@pytest.fixture
def torture(deployed: Deployed) -> Iterator[Torture]:
    """A run that must find nothing wrong."""
    deployed.idle()
    torture = Torture(Console(file=io.StringIO()), seed=1)
    yield torture
    assert torture.wrong == 0, torture.console.file.getvalue()


def test_two_faults_of_the_matrix(deployed: Deployed, torture: Torture):
    cases = [case for case in faults.matrix() if case.fault == "malformed" and not case.quick]
    assert len(cases) == 2

    torture.matrix(deployed, cases)


def test_a_small_burst(deployed: Deployed, torture: Torture):
    torture.burst(deployed, 12)


def test_a_short_day_of_moderators_and_versions(deployed: Deployed, torture: Torture):
    with ExitStack() as ends:
        suspended = {"Bucket": deployed.outputs["UploadsBucket"], "VersioningConfiguration": {"Status": "Suspended"}}
        ends.callback(deployed.s3.put_bucket_versioning, **suspended)
        ends.enter_context(deployed.function_setting("StoreFunction", MODERATION="quarantine"))
        torture.day(deployed, range(30), versioned=True, moderated=True, quiet_seconds=3)


def test_a_day_shows_what_was_lost_and_orphaned(deployed: Deployed, photo: bytes):
    day, key = Day(deployed, random.Random(1), quiet_seconds=1), "uploads/day/00.jpg"
    deployed.process(key, photo)
    day.end()
    assert not any(day.problems().values())

    deployed.table.delete_item(TableName=deployed.outputs["ImagesTable"], Key={"ImageKey": {"S": key}})

    wrong = {what for what, problems in day.problems().items() if problems}
    assert wrong >= {"lost", "orphaned renditions"}

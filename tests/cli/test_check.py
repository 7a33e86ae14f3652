"""The acceptance run: what it checks, what it removes, and how it ends."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from cli import check, notices
from cli.stack import Stack
from cli.status_api import StatusApi
from tests.cli.stand_in import REGION
from tests.cli.working_pipeline import WorkingPipeline

AWS_QUESTIONS = Path(__file__).parents[2] / "docs" / "aws.md"
STARTS = "An upload starts the pipeline"
GONE = "Nothing remains after the deletion of every upload"

# What a pipeline does wrong, and the promises that it breaks.
FAULTS = {
    "no events": {STARTS},
    "photos are rejected": {"Photos are completed, and have a record", "Labels are detected"},
    "a rendition is missing": {
        "Renditions exist, with the right size and type",
        "A photo taken sideways is stored upright",
        "Renditions contain no metadata",
    },
    "sizes": {"Renditions exist, with the right size and type"},
    "types": {"Renditions exist, with the right size and type"},
    "photos stay sideways": {
        "Photos are completed, and have a record",
        "A photo taken sideways is stored upright",
    },
    "photos are turned the wrong way": {"A photo taken sideways is stored upright"},
    "metadata is kept": {"Renditions contain no metadata"},
    "labels fail": {"Labels are detected"},
    "documents": {"A PDF called .png is rejected"},
    "empty files": {"An empty file is rejected"},
    "damaged files": {"A photo that is cut off is rejected"},
    "multipart uploads are rejected": {"A multipart upload is processed", "Each upload is announced once"},
    "a notification is missing": {"Each upload is announced once"},
    "a notification is sent twice": {"Each upload is announced once"},
    "folder markers are recorded": {"A folder marker leaves no record and no notification"},
    "status 500": {
        "The status API answers for every upload",
        "The status API answers 404 for an unknown image",
        "A deleted photo loses its record and renditions",
    },
    "unknown images are found": {
        "The status API answers 404 for an unknown image",
        "A deleted photo loses its record and renditions",
    },
    "a duplicate event is announced": {"A duplicate event changes nothing"},
    "a duplicate event fails": {"A duplicate event changes nothing"},
    "old renditions stay": {
        "The same bytes uploaded again are processed again",
        "A replaced photo loses its old renditions",
    },
    "deletions are ignored": {"A deleted photo loses its record and renditions", GONE},
    "rejections outlive their files": {GONE},
}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits as short as moto's answers."""
    monkeypatch.setattr(check, "_SOON", 1.0)
    monkeypatch.setattr(check, "_PAUSE", 0.05)
    monkeypatch.setattr(check, "_EVENT_PATIENCE", 0.3)
    monkeypatch.setattr(check, "_MULTIPART_SECONDS", 0)
    monkeypatch.setattr(notices, "_SETTLE", 0.1)


@pytest.fixture
def working(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkingPipeline]:
    with WorkingPipeline(stack) as pipeline:
        monkeypatch.setattr(StatusApi, "get", lambda _api, target, **options: pipeline.answer(target, **options))
        yield pipeline


def run(stack: Stack, *, timeout: float = 5, keep: bool = False) -> list[check.Promise | check.Answer]:
    session = boto3.Session(region_name=REGION)
    return list(check.run(stack, session, check.new_name(), timeout=timeout, keep=keep))


def promises(lines: list[check.Promise | check.Answer]) -> dict[str, check.Promise]:
    return {line.name: line for line in lines if isinstance(line, check.Promise)}


def broken(lines: list[check.Promise | check.Answer]) -> dict[str, str]:
    return {line.name: line.seen for line in promises(lines).values() if line.outcome == check.BROKEN}


def test_a_pipeline_that_works_keeps_every_promise(stack: Stack, working: WorkingPipeline) -> None:
    lines = run(stack)

    assert broken(lines) == {}
    skipped = [line.name for line in promises(lines).values() if line.outcome == check.SKIPPED]
    assert skipped == ["The status API refuses unsigned requests"]
    assert working.left_behind() == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_breaks_its_promise(stack: Stack, working: WorkingPipeline, fault: str) -> None:
    working.faults.add(fault)

    lines = run(stack, timeout=1.5)

    assert broken(lines).keys() == FAULTS[fault], broken(lines)
    assert working.left_behind() == []


def test_every_promise_has_a_fault_that_breaks_it(stack: Stack, working: WorkingPipeline) -> None:
    elsewhere = {"Any file name works", "The status API refuses unsigned requests"}

    assert promises(run(stack)).keys() == set.union(*FAULTS.values()) | elsewhere

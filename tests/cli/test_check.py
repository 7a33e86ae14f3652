"""The acceptance run: what it checks, what it removes, and how it ends."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from cli import check, notices, samples
from cli.files import select
from cli.main import main
from cli.stack import Stack
from cli.status_api import StatusApi
from tests.cli.stand_in import REGION
from tests.cli.working_pipeline import WorkingPipeline

pytestmark = pytest.mark.slow

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
        "The same bytes uploaded again are processed again",
        "A replaced photo loses its old renditions",
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


def runs() -> list[list[str]]:
    """The faults, in few runs: those of one run break different promises. Without events a run ends at once."""
    found: list[list[str]] = []
    for fault in [fault for fault in FAULTS if fault != "no events"]:
        fits = (faults for faults in found if all(FAULTS[fault].isdisjoint(FAULTS[other]) for other in faults))
        if faults := next(fits, None):
            faults.append(fault)
        else:
            found.append([fault])
    return [["no events"], *found]


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
        # main() finds the stack itself, with other clients than those that the pipeline follows.
        monkeypatch.setattr(Stack, "find", lambda *_: stack)
        monkeypatch.setattr(StatusApi, "get", lambda _api, target, **options: pipeline.answer(target, **options))
        yield pipeline


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "mine.png"
    path.write_bytes(samples.png(120, 90))
    return path


def run(stack: Stack, *, timeout: float = 5, keep: bool = False) -> list[check.Promise | check.Answer]:
    return list(check.run(stack, check.new_name(), timeout=timeout, keep=keep))


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


@pytest.mark.parametrize("faults", runs(), ids=", ".join)
def test_each_fault_breaks_its_promises(stack: Stack, working: WorkingPipeline, faults: list[str]) -> None:
    working.faults.update(faults)

    lines = run(stack, timeout=1.5)

    assert broken(lines).keys() == set.union(*(FAULTS[fault] for fault in faults)), broken(lines)
    assert working.left_behind() == []


def test_a_photo_that_is_held_is_announced_as_held(stack: Stack, working: WorkingPipeline) -> None:
    working.faults.add("photos are held")

    seen = broken(run(stack, timeout=1.5))

    assert seen.keys() == {"Photos are completed, and have a record", "Labels are detected"}
    assert "HELD (Flagged: Violence 99 %)" in seen["Photos are completed, and have a record"]


def test_a_key_that_is_decoded_breaks_its_promise(stack: Stack, working: WorkingPipeline) -> None:
    working.faults.add("plus is decoded")

    seen = broken(run(stack, timeout=1.5))

    assert seen["Any file name works"].startswith("a+plus.jpg is UNFINISHED")


def test_an_unsigned_request_that_is_answered_breaks_its_promise(stack: Stack, working: WorkingPipeline) -> None:
    iam = replace(stack, parameters={**stack.parameters, "ApiAuthorization": "AWS_IAM"})
    name = "The status API refuses unsigned requests"
    kept = promises(run(iam))[name]

    working.faults.add("unsigned requests are answered")

    assert (kept.outcome, kept.seen) == (check.KEPT, "HTTP 403")
    assert broken(run(iam)) == {name: "HTTP 200"}


def test_every_promise_has_a_fault_that_breaks_it(stack: Stack, working: WorkingPipeline) -> None:
    elsewhere = {"Any file name works", "The status API refuses unsigned requests"}

    assert promises(run(stack)).keys() == set.union(*FAULTS.values()) | elsewhere


def test_uploads_before_the_first_event_are_repeated(stack: Stack, working: WorkingPipeline) -> None:
    working.ignored_uploads = 2

    lines = run(stack)

    [answer] = [line.answer for line in lines if isinstance(line, check.Answer) and "new bucket" in line.question]
    assert broken(lines) == {}
    assert answer.startswith("a record of upload 3 ")


def test_without_labels_there_is_no_promise_of_them(stack: Stack, working: WorkingPipeline) -> None:
    without = replace(stack, parameters={**stack.parameters, "DetectLabels": "false"})

    seen = promises(run(without))["Labels are detected"]

    assert (seen.outcome, seen.seen) == (check.SKIPPED, "DetectLabels is false")


def test_a_stack_without_a_query_form_is_asked_by_path_where_the_path_can_say_it(
    stack: Stack, working: WorkingPipeline
) -> None:
    working.faults.add("no query")

    seen = promises(run(stack))["The status API answers for every upload"]

    assert seen.outcome == check.KEPT
    assert "question?mark.jpg" in seen.seen
    assert "100%25 percent%.jpg" in seen.seen
    assert "a+plus.jpg" not in seen.seen


def test_each_answer_names_its_row_of_docs_aws(stack: Stack, working: WorkingPipeline, photo: Path) -> None:
    name = check.new_name()
    photos = select([photo], f"{name}/yours").items
    rows = [line.removeprefix("| ").split(" | ")[0] for line in AWS_QUESTIONS.read_text().splitlines()]

    lines = list(check.run(stack, name, photos, timeout=5))

    questions = [line.question for line in lines if isinstance(line, check.Answer)]
    assert broken(lines) == {}
    assert len(set(questions)) == 7
    assert set(questions) <= set(rows)


@pytest.mark.parametrize(
    "moment", [STARTS, "Photos are completed, and have a record", "A duplicate event changes nothing", GONE]
)
def test_an_interrupted_run_removes_everything(stack: Stack, working: WorkingPipeline, moment: str) -> None:
    def interrupt(name: str) -> None:
        if name == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(check.run(stack, check.new_name(), timeout=5, on_start=interrupt))

    assert working.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_uploads_removes_everything(
    stack: Stack, working: WorkingPipeline, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    working.on_upload = lambda key: signal.raise_signal(number) if key.endswith("empty.jpg") else None

    status = main(["check", "--stack", "photos"])

    assert status == 130
    assert "interrupted" in capsys.readouterr().err
    assert working.left_behind() == []


def test_a_clean_up_that_fails_says_what_is_left(
    stack: Stack, working: WorkingPipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_trial: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(check._Trial, "clean_up", interrupted)

    status = main(["check", "--stack", "photos"])

    assert status == 130
    assert f"delete s3://{stack.uploads_bucket}/uploads/image-pipeline-check-" in capsys.readouterr().err
    assert "QueueUrls" not in stack.sqs.list_queues(QueueNamePrefix="image-pipeline-check")


def test_a_subscription_that_is_refused_leaves_no_queue(stack: Stack, working: WorkingPipeline) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AuthorizationError", "Message": "no"}}, "Subscribe")

    session = boto3.Session(region_name=REGION)
    session.events.register("before-call.sns.Subscribe", refuse)

    with pytest.raises(ClientError):
        list(check.run(replace(stack, session=session), check.new_name(), timeout=5))

    assert working.left_behind() == []


def test_keep_leaves_the_uploads_and_no_queue(stack: Stack, working: WorkingPipeline) -> None:
    lines = run(stack, keep=True)

    left = working.left_behind()
    assert promises(lines)[GONE].outcome == check.SKIPPED
    assert any(key.endswith("/photo.png") for key in left)
    assert not [name for name in left if "://" in name or name.startswith("arn:")]


def test_exit_0_if_every_promise_is_kept(
    stack: Stack, working: WorkingPipeline, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["check", str(photo), "--stack", "photos", "--json"])

    printed = capsys.readouterr()
    documents = [json.loads(line) for line in printed.out.splitlines()]
    assert status == 0
    assert documents[0].keys() == {"Promise", "Outcome", "Seen", "Seconds"}
    assert documents[-1].keys() == {"Question", "Answer"}
    assert "yours/mine.png 120×90 PNG" in documents[1]["Seen"]
    assert printed.err.splitlines()[-1] == "image-pipeline: 21 promises: 20 kept, 1 skipped"


def test_exit_1_if_a_promise_is_broken(
    stack: Stack, working: WorkingPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    working.faults.add("labels fail")

    status = main(["check", "--stack", "photos"])

    printed = capsys.readouterr()
    [red] = [line for line in printed.out.splitlines() if line.startswith("FAIL")]
    assert status == 1
    assert red.split("\t")[1:3] == [
        "Labels are detected",
        "photo.png: none (RekognitionFailed: AccessDenied); that is a colour gradient; pass a photo to see its labels",
    ]
    assert printed.err.splitlines()[-1] == "image-pipeline: 21 promises: 19 kept, 1 broken, 1 skipped"

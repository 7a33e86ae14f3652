"""Which objects a run processes again, and in which order their events are."""

from datetime import UTC, datetime

import pytest

from imagepipeline import reprocessing
from imagepipeline.keys import comparable
from imagepipeline.models import Upload
from imagepipeline.renditions import parse
from imagepipeline.reprocessing import Decision, Selection, decide, execution_name, lacks_renditions
from tests.unit import samples
from tests.unit.photos import rendered

RUN = "reprocess-1"
KEY = "uploads/cat.jpg"
SPECS = parse("small=100x100 card=40x40:cover:webp")
RENDITIONS = {
    "small": {"Width": 100, "Height": 75, "Format": "JPEG"},
    "card": {"Width": 40, "Height": 40, "Format": "WEBP"},
}
ALL, MISSING, UNRECORDED = [Selection.ALL], [Selection.MISSING_RENDITIONS], [Selection.UNRECORDED]


def record(status: str = "COMPLETED", execution: str = "another", **attributes: object) -> dict:
    described = {"Width": 400, "Height": 300, "Renditions": RENDITIONS} if status in ("COMPLETED", "HELD") else {}
    arn = f"arn:aws:states:us-east-1:111122223333:execution:ImagePipeline:{execution}"
    return {"ImageKey": KEY, "Status": status, "ExecutionArn": arn} | described | attributes


@pytest.mark.parametrize(
    ("existing", "all_of_them", "missing", "unrecorded"),
    [
        (None, "PROCESS", "NOT_SELECTED", "PROCESS"),
        (record(), "PROCESS", "NOT_SELECTED", "NOT_SELECTED"),
        (record(Renditions={}), "PROCESS", "PROCESS", "NOT_SELECTED"),
        (record("FAILED"), "PROCESS", "PROCESS", "NOT_SELECTED"),
        (record("REJECTED"), "PROCESS", "NOT_SELECTED", "NOT_SELECTED"),
        (record("REJECTED", Error={"Name": "RejectedByModerator"}), "NOT_SELECTED", "NOT_SELECTED", "NOT_SELECTED"),
        (record("HELD"), "PROCESS", "NOT_SELECTED", "NOT_SELECTED"),
        (record("HELD", Renditions={}), "PROCESS", "PROCESS", "NOT_SELECTED"),
        (record("PROCESSING"), "IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS"),
        (record(execution=f"{RUN}-0a1b"), "DONE", "DONE", "DONE"),
        (record("FAILED", f"{RUN}-0a1b"), "PROCESS", "PROCESS", "PROCESS"),
    ],
    ids=[
        *("none", "complete", "incomplete", "failed", "rejected", "rejected by a moderator", "held", "held incomplete"),
        *("in progress", "done", "failed in this run"),
    ],
)
def test_a_selection_decides_by_the_record(existing, all_of_them: str, missing: str, unrecorded: str):
    decisions = [decide(KEY, 5, existing, selections, SPECS, RUN) for selections in (ALL, MISSING, UNRECORDED)]

    assert decisions == [all_of_them, missing, unrecorded]


def test_selections_add_up():
    assert decide(KEY, 5, None, MISSING + UNRECORDED, SPECS) is Decision.PROCESS
    assert decide(KEY, 5, record(Renditions={}), MISSING + UNRECORDED, SPECS) is Decision.PROCESS


def test_a_folder_marker_is_never_processed():
    assert decide("uploads/trip/", 0, None, ALL, SPECS) is Decision.FOLDER_MARKER


@pytest.mark.parametrize(
    ("renditions", "lacks"),
    [
        ("small=100x100", False),
        ("small=100x100 card=40x40:cover:webp", False),
        ("small=100x100 large=1280x1280", True),
        ("small=100x100:webp", True),
        ("small=200x200", True),
        ("card=80x40:cover:webp", True),
    ],
)
def test_a_record_lacks_renditions_of_another_name_format_or_size(renditions: str, lacks: bool):
    assert lacks_renditions(record(), parse(renditions)) is lacks


@pytest.mark.parametrize("size", [(201, 134), (134, 201), (3, 4000)])
def test_what_was_just_rendered_lacks_nothing(size: tuple[int, int]):
    wanted = "small=33x33 card=40x40:cover:webp large=4000x4000:png"
    made = rendered(samples.encoded("JPEG", size=size), wanted)

    renditions = {
        name: {"Width": each.width, "Height": each.height, "Format": each.format}
        for name, each in made.renditions.items()
    }

    described = record(Width=made.picture.width, Height=made.picture.height, Renditions=renditions)
    assert not lacks_renditions(described, parse(wanted))


def event(existing: dict | None, modified: datetime = datetime(2026, 11, 21, tzinfo=UTC)) -> Upload:
    current = {"ETag": "e1", "Bytes": 5, "VersionId": "v1", "LastModified": modified}
    return Upload.from_event(reprocessing.event("uploads", KEY, current, existing))


def test_an_event_comes_after_the_record_and_before_later_uploads():
    before, after = comparable("00691FBA1C8D2E7F40"), comparable("00691FBA1C8D2E7F41")

    made = event(record(Sequencer=before))

    assert before < made.sequencer < after
    assert (made.key, made.etag, made.size, made.version_id) == (KEY, "e1", 5, "v1")


@pytest.mark.parametrize(("etag", "stands"), [("a", True), ("b", False)])
def test_a_release_stands_for_the_object_that_a_moderator_has_seen(etag: str, stands: bool):
    current = {"Bytes": 5, "ETag": etag, "VersionId": "null", "LastModified": datetime(2026, 3, 1, tzinfo=UTC)}
    existing = record(Sequencer=comparable("0A"), ETag="a", VersionId="null", Decision={"Action": "RELEASE"})

    event = reprocessing.event("bucket", KEY, current, existing)

    assert event.get("Decision") == ({"Action": "RELEASE"} if stands else None)


def test_an_event_without_a_record_comes_before_every_upload():
    assert event(None).sequencer < comparable("00691FBA1C8D2E7F40")


def test_an_execution_has_one_name_for_each_run_and_event():
    names = {
        execution_name(run, key, sequencer)
        for run in ("one", "two")
        for key in ("uploads/a", "uploads/b")
        for sequencer in ("01", "02")
    }

    assert len(names) == 8
    assert all(len(name) <= 80 for name in names)
    assert reprocessing.belongs_to("one", record(execution=execution_name("one", KEY, "01")))
    assert not reprocessing.belongs_to("on", record(execution=execution_name("one", KEY, "01")))

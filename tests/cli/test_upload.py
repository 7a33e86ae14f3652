"""Uploading files, and recognizing the record of each upload."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import boto3
import pytest
from botocore.exceptions import ClientError

from cli import upload
from cli.files import Item
from cli.following import Result
from cli.stack import Stack
from cli.upload import upload_and_follow
from tests.cli.stand_in import REGION, RENDITIONS, PipelineStandIn, completed, silence, wait_until

Photos = Callable[..., list[Item]]

EMPTY = {"Name": "EmptyFile", "Message": "the file is empty (0 bytes)"}


def statuses(results: list[Result]) -> dict[str, str]:
    return {result.key: result.status for result in results}


def test_each_file_is_followed_to_a_terminal_state(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/bad.jpg"] = lambda: [{"Status": "REJECTED", "Error": EMPTY}]
    pipeline.answers["uploads/ill.jpg"] = lambda: [{"Status": "FAILED"}]

    results = list(upload_and_follow(stack, photos(good=b"good", bad=b"", ill=b"ill"), timeout=20))

    by_key = {result.key: result for result in results}
    assert statuses(results) == {
        "uploads/good.jpg": "COMPLETED",
        "uploads/bad.jpg": "REJECTED",
        "uploads/ill.jpg": "FAILED",
    }
    assert by_key["uploads/good.jpg"].record["Renditions"] == RENDITIONS
    assert by_key["uploads/bad.jpg"].error == EMPTY


def test_a_file_is_uploaded_with_its_content_type(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    list(upload_and_follow(stack, photos(cat=b"the cat's bytes"), timeout=20))

    stored = stack.s3.get_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"the cat's bytes", "image/jpeg")


def test_a_multipart_upload_is_followed_and_counted_in_full(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    sent = []

    [result] = upload_and_follow(stack, photos(big=bytes(9 << 20), small=b"")[:1], sent.append, timeout=20)

    assert result.status == "COMPLETED"
    assert result.record["ETag"].endswith("-2")  # S3's mark of an upload in two parts
    assert sum(sent) == 9 << 20


def test_more_files_than_one_read_returns_are_followed(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("stack", "upload"):
        monkeypatch.setattr(f"cli.{module}.KEYS_PER_READ", 10)
    items = photos(**{f"photo{number}": b"%d" % number for number in range(25)})

    results = list(upload_and_follow(stack, items, timeout=60))

    assert statuses(results) == {item.key: "COMPLETED" for item in items}
    assert len(results) == 25


def test_an_image_still_processing_is_unfinished(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/cat.jpg"] = lambda: [{"Status": "PROCESSING"}]

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=0.1)

    assert result.status == "UNFINISHED"
    assert result.error["Message"] == "not finished after 0.1 s: the status of its record is PROCESSING"


def test_an_image_without_a_record_is_unfinished(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=0.1)

    assert result.status == "UNFINISHED"
    assert result.error["Message"] == (
        "not finished after 0.1 s: "
        "there is no record of it yet; a new bucket sends no events for about five minutes "
        '(see reprocess --unrecorded), and if uploads are paused, "image-pipeline resume" processes it'
    )


def test_the_record_of_an_earlier_identical_upload_is_ignored(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    items = photos(cat=b"cat")
    [before] = upload_and_follow(stack, items, timeout=20)
    pipeline.answers["uploads/cat.jpg"] = silence

    [again] = upload_and_follow(stack, items, timeout=0.1)

    assert before.status == "COMPLETED"
    assert again.status == "UNFINISHED"


def test_the_record_of_a_concurrent_earlier_upload_is_ignored(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    earlier = {"ETag": "e" * 32, "Sequencer": "0F", "Status": "FAILED"}  # was being processed when ours was sent
    pipeline.answers["uploads/cat.jpg"] = lambda: [earlier]

    def record_ours(parsed: dict, **_: object) -> None:
        pipeline.write("uploads/cat.jpg", ETag=parsed["ETag"].strip('"'), Sequencer="10", Status="REJECTED")

    stack.s3.meta.events.register("after-call.s3.HeadObject", record_ours)

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=20)

    assert result.status == "REJECTED"


def test_an_upload_that_was_replaced_is_reported(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    def replaced_by_a_dog() -> list[dict]:
        pipeline.answers["uploads/cat.jpg"] = completed
        someone_else = boto3.client("s3", region_name=REGION)
        someone_else.put_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg", Body=b"dog")
        return []

    pipeline.answers["uploads/cat.jpg"] = replaced_by_a_dog

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=20)

    assert result.status == "REPLACED"
    assert result.record == {}


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    items = photos(gone=b"gone", cat=b"cat")
    items[0].path.unlink()

    results = list(upload_and_follow(stack, items, timeout=20))

    assert statuses(results) == {"uploads/gone.jpg": "NOT_UPLOADED", "uploads/cat.jpg": "COMPLETED"}
    assert results[0].error["Name"] == "FileNotFoundError"


def test_an_upload_that_is_not_followed_is_not_waited_for(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    [result] = upload_and_follow(stack, photos(cat=b"cat"), follow=False)

    assert result.status == "UPLOADED"


def test_after_a_stop_only_uploaded_files_are_reported(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/silent.jpg"] = silence
    stop = threading.Event()
    [silent, more] = photos(silent=b"s", more=b"m")
    far_more_than_are_sent_before_the_first_result = 20_000
    items = chain(
        [silent], (replace(more, key=f"uploads/{n}.jpg") for n in range(far_more_than_are_sent_before_the_first_result))
    )
    seen = []

    for result in upload_and_follow(stack, items, timeout=60, stop=stop):
        seen.append(result)
        stop.set()

    stored = pipeline.stored_keys()
    assert {result.key for result in seen} == stored
    assert "UNFINISHED" in {result.status for result in seen}
    assert next(items, None) is not None


def test_a_stop_cancels_an_upload_in_progress(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    stop = threading.Event()
    progress = []

    def stop_at_once(sent: int) -> None:
        progress.append(sent)
        stop.set()
        dropped.wait(5)  # holds the upload until the stop was noticed

    dropped = threading.Event()
    threading.Timer(0.1, dropped.set).start()
    results = list(upload_and_follow(stack, photos(big=bytes(20 << 20)), stop_at_once, timeout=60, stop=stop))

    assert results == []
    assert sum(progress) < 20 << 20
    assert pipeline.stored_keys() == set()
    assert "Uploads" not in stack.s3.list_multipart_uploads(Bucket=stack.uploads_bucket)


def test_uploaded_files_are_reported_before_a_fatal_error(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    def lose_the_table() -> list[dict]:
        stack.dynamodb.delete_table(TableName=stack.outputs["ImagesTable"])
        return []

    pipeline.answers["uploads/cat.jpg"] = lose_the_table
    results = []

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        results.extend(upload_and_follow(stack, photos(cat=b"cat"), timeout=20))

    assert statuses(results) == {"uploads/cat.jpg": "UNFINISHED"}


def test_a_fatal_error_is_not_repeated_for_each_file(stack: Stack, photos: Photos) -> None:
    stack.s3.delete_bucket(Bucket=stack.uploads_bucket)

    with pytest.raises(ClientError, match="NoSuchBucket"):
        next(upload_and_follow(stack, photos(cat=b"cat", dog=b"dog"), timeout=20))


def test_an_unchanged_file_is_not_sent_again(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    items = photos(small=b"small", large=bytes(9 << 20), empty=b"")
    list(upload_and_follow(stack, items, timeout=20))

    results = list(upload_and_follow(stack, items, timeout=20, skip_unchanged=True))

    assert set(statuses(results).values()) == {"UNCHANGED"}
    assert all(result.record for result in results)
    assert versions(stack) == 3


def test_a_changed_file_is_sent_again(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    list(upload_and_follow(stack, photos(cat=b"cat", dog=b"dog"), timeout=20))

    results = list(upload_and_follow(stack, photos(cat=b"cow", dog=b"doge"), timeout=20, skip_unchanged=True))

    assert set(statuses(results).values()) == {"COMPLETED"}
    assert versions(stack) == 4


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize(("status", "attribute"), [("REJECTED", "Error"), ("HELD", "HeldBecause")])
def test_an_unchanged_file_has_the_outcome_of_its_record(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos, follow: bool, status: str, attribute: str
) -> None:
    pipeline.answers["uploads/bad.jpg"] = lambda: [{"Status": status, attribute: EMPTY}]
    items = photos(bad=b"bad")
    list(upload_and_follow(stack, items, timeout=20))

    [result] = upload_and_follow(stack, items, timeout=20, follow=follow, skip_unchanged=True)

    # Without following, no record is read.
    assert (result.status, result.error) == ((status, EMPTY) if follow else ("UNCHANGED", None))
    assert versions(stack) == 1


def test_an_unchanged_file_that_is_being_processed_is_followed(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    pipeline.answers["uploads/cat.jpg"] = lambda: [{"Status": "PROCESSING"}]
    items = photos(cat=b"cat")
    list(upload_and_follow(stack, items, follow=False))
    wait_until(lambda: stack.records(["uploads/cat.jpg"]))
    record = stack.records(["uploads/cat.jpg"])["uploads/cat.jpg"]
    ending = threading.Timer(0.1, pipeline.write, ["uploads/cat.jpg"], {**record, "Status": "COMPLETED"})
    ending.start()

    [result] = upload_and_follow(stack, items, timeout=20, skip_unchanged=True)

    ending.join()
    assert result.status == "COMPLETED"
    assert versions(stack) == 1


def test_an_unchanged_file_whose_event_was_lost_is_no_success(
    stack: Stack, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = photos(cat=b"cat")
    list(upload_and_follow(stack, items, timeout=0.1))  # no pipeline
    monkeypatch.setattr(upload, "_EVENT_AFTER", timedelta(0))

    [result] = upload_and_follow(stack, items, timeout=20, skip_unchanged=True)

    assert (result.status, result.error["Name"]) == ("UNFINISHED", "Unrecorded")
    assert versions(stack) == 1


@pytest.mark.parametrize("earlier", [False, True])
def test_an_unchanged_file_whose_event_is_late_is_followed(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos, earlier: bool
) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence
    items = photos(cat=b"cat")
    if earlier:  # a record of an object that this one has replaced
        pipeline.write("uploads/cat.jpg", ETag="another", Sequencer="01")
    list(upload_and_follow(stack, items, timeout=0.1))
    etag = stack.head("uploads/cat.jpg")["ETag"].strip('"')
    ending = threading.Timer(0.1, pipeline.write, ["uploads/cat.jpg"], {"ETag": etag, "Sequencer": "0A"})
    ending.start()

    [result] = upload_and_follow(stack, items, timeout=20, skip_unchanged=True)

    ending.join()
    assert result.status == "COMPLETED"


def versions(stack: Stack) -> int:
    """How many objects were ever stored."""
    return len(stack.s3.list_object_versions(Bucket=stack.uploads_bucket)["Versions"])

"""Uploading, and telling one's own end from every other record."""

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest
from botocore.exceptions import ClientError

from cli.files import Item
from cli.following import Result
from cli.stack import Stack
from cli.upload import upload_and_follow
from tests.cli.stand_in import RENDITIONS, PipelineStandIn, completed, silence

Photos = Callable[..., list[Item]]

EMPTY = {"Name": "EmptyFile", "Message": "the file is empty (0 bytes)"}


def ends(results: list[Result]) -> dict[str, str]:
    return {result.key: result.status for result in results}


def test_each_file_is_followed_to_its_end(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/bad.jpg"] = lambda: [{"Status": "REJECTED", "Error": EMPTY}]
    pipeline.answers["uploads/ill.jpg"] = lambda: [{"Status": "FAILED"}]

    results = list(upload_and_follow(stack, photos(good=b"good", bad=b"", ill=b"ill"), timeout=20))

    by_key = {result.key: result for result in results}
    assert ends(results) == {
        "uploads/good.jpg": "COMPLETED",
        "uploads/bad.jpg": "REJECTED",
        "uploads/ill.jpg": "FAILED",
    }
    assert by_key["uploads/good.jpg"].record["Renditions"] == RENDITIONS
    assert by_key["uploads/bad.jpg"].error == EMPTY


def test_the_bytes_arrive_with_the_type_of_their_name(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    list(upload_and_follow(stack, photos(cat=b"the cat's bytes"), timeout=20))

    stored = stack.s3.get_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"the cat's bytes", "image/jpeg")


def test_a_file_of_several_parts_is_followed_and_counted_in_full(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    sent = []

    [result] = upload_and_follow(stack, photos(big=bytes(9 << 20), small=b"")[:1], sent.append, timeout=20)

    assert result.status == "COMPLETED"
    assert result.record["ETag"].endswith("-2")  # S3's mark of an upload in two parts
    assert sum(sent) == 9 << 20


def test_many_files_are_all_followed(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    items = photos(**{f"photo{number}": b"%d" % number for number in range(230)})

    results = list(upload_and_follow(stack, items, timeout=60))

    assert ends(results) == {item.key: "COMPLETED" for item in items}
    assert len(results) == 230


def test_processing_is_no_end(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/cat.jpg"] = lambda: [{"Status": "PROCESSING"}]

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=1)

    assert result.status == "UNFINISHED"
    assert result.error["Message"] == "not finished after 1 s: the status of its record is PROCESSING"


def test_a_pipeline_that_never_answers_is_told_from_a_slow_one(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=1)

    assert result.status == "UNFINISHED"
    assert result.error["Message"] == "not finished after 1 s: there is no record of it yet"


def test_the_record_of_the_same_bytes_sent_before_is_no_answer(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    items = photos(cat=b"cat")
    [before] = upload_and_follow(stack, items, timeout=20)
    pipeline.answers["uploads/cat.jpg"] = silence

    [again] = upload_and_follow(stack, items, timeout=1)

    assert before.status == "COMPLETED"
    assert again.status == "UNFINISHED"


def test_the_end_of_an_upload_that_came_just_before_is_no_answer(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    earlier = {"ETag": "e" * 32, "Sequencer": "0F", "Status": "FAILED"}  # was on its way as ours was sent
    pipeline.answers["uploads/cat.jpg"] = lambda: [earlier]

    def record_ours(parsed: dict, **_: object) -> None:
        pipeline.write("uploads/cat.jpg", ETag=parsed["ETag"].strip('"'), Sequencer="10", Status="REJECTED")

    stack.s3.meta.events.register("after-call.s3.HeadObject", record_ours)

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=20)

    assert result.status == "REJECTED"


def test_an_upload_that_another_one_replaced_says_so(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    def replaced_by_a_dog() -> list[dict]:
        pipeline.answers["uploads/cat.jpg"] = completed
        stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg", Body=b"dog")
        return []

    pipeline.answers["uploads/cat.jpg"] = replaced_by_a_dog

    [result] = upload_and_follow(stack, photos(cat=b"cat"), timeout=20)

    assert result.status == "REPLACED"
    assert result.record == {}


def test_a_file_that_can_not_be_sent_does_not_stop_the_others(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    items = photos(gone=b"gone", cat=b"cat")
    items[0].path.unlink()

    results = list(upload_and_follow(stack, items, timeout=20))

    assert ends(results) == {"uploads/gone.jpg": "NOT_UPLOADED", "uploads/cat.jpg": "COMPLETED"}
    assert results[0].error["Name"] == "FileNotFoundError"


def test_without_following_nothing_is_waited_for(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    [result] = upload_and_follow(stack, photos(cat=b"cat"), follow=False)

    assert result.status == "UPLOADED"


def test_after_a_stop_what_was_uploaded_is_named_and_the_rest_is_left(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    pipeline.answers["uploads/silent.jpg"] = silence
    stop = threading.Event()
    [silent, more] = photos(silent=b"s", more=b"m")
    far_more_than_are_sent_until_the_first_end = 20_000
    items = chain(
        [silent], (replace(more, key=f"uploads/{n}.jpg") for n in range(far_more_than_are_sent_until_the_first_end))
    )
    seen = []

    for result in upload_and_follow(stack, items, timeout=60, stop=stop):
        seen.append(result)
        stop.set()

    stored = pipeline.stored_keys()
    assert {result.key for result in seen} == stored
    assert "UNFINISHED" in {result.status for result in seen}
    assert next(items, None) is not None


def test_a_stop_drops_a_long_upload_halfway(pipeline: PipelineStandIn, stack: Stack, photos: Photos) -> None:
    stop = threading.Event()
    progress = []

    def stop_at_once(sent: int) -> None:
        progress.append(sent)
        stop.set()
        dropped.wait(5)  # keeps the upload where it is until the stop has been seen

    dropped = threading.Event()
    threading.Timer(1, dropped.set).start()
    results = list(upload_and_follow(stack, photos(big=bytes(20 << 20)), stop_at_once, timeout=60, stop=stop))

    assert results == []
    assert sum(progress) < 20 << 20
    assert pipeline.stored_keys() == set()
    assert "Uploads" not in stack.s3.list_multipart_uploads(Bucket=stack.uploads_bucket)


def test_where_nothing_can_be_read_any_more_the_uploaded_are_named_before_the_error(
    pipeline: PipelineStandIn, stack: Stack, photos: Photos
) -> None:
    def lose_the_table() -> list[dict]:
        stack.dynamodb.delete_table(TableName=stack.outputs["ImagesTable"])
        return []

    pipeline.answers["uploads/cat.jpg"] = lose_the_table
    results = []

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        results.extend(upload_and_follow(stack, photos(cat=b"cat"), timeout=20))

    assert ends(results) == {"uploads/cat.jpg": "UNFINISHED"}


def test_where_nothing_can_be_uploaded_the_error_is_not_repeated_for_each_file(stack: Stack, photos: Photos) -> None:
    stack.s3.delete_bucket(Bucket=stack.uploads_bucket)

    with pytest.raises(ClientError, match="NoSuchBucket"):
        next(upload_and_follow(stack, photos(cat=b"cat", dog=b"dog"), timeout=20))

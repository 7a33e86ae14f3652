"""The command line, run in this process: its output and its exit statuses."""

import json
import re
from pathlib import Path

import boto3
import pytest

from cli.main import main
from cli.stack import Stack
from tests.cli.stand_in import (
    NOW,
    REGION,
    STACK_TEMPLATE,
    PipelineStandIn,
    StateMachinesStandIn,
    silence,
    write,
)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"cat")
    return path


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    path = tmp_path / "dog.jpg"
    path.write_bytes(b"dog")
    return path


def run(*arguments: str | Path) -> int:
    return main([*map(str, arguments), "--stack", "photos"])


def test_exit_0_if_every_image_is_completed(
    pipeline: PipelineStandIn, cat: Path, dog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run("upload", cat, dog)

    printed = capsys.readouterr()
    assert status == 0
    assert sorted(line.split("\t")[1] for line in printed.out.splitlines()) == ["uploads/cat.jpg", "uploads/dog.jpg"]
    assert printed.err == "image-pipeline: 2 files: 2 completed\n"


@pytest.mark.parametrize("end", ["REJECTED", "FAILED"])
def test_exit_1_if_an_image_is_not_completed(pipeline: PipelineStandIn, cat: Path, dog: Path, end: str) -> None:
    pipeline.answers["uploads/dog.jpg"] = lambda: [{"Status": end, "Error": {"Name": "Why", "Message": "words"}}]

    assert run("upload", cat, dog) == 1


def test_exit_1_if_an_image_is_not_finished_in_time(
    pipeline: PipelineStandIn, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    assert run("upload", cat, "--timeout", "0.1") == 1
    assert capsys.readouterr().out.startswith("UNFINISHED\tuploads/cat.jpg\t")


def test_exit_0_if_images_are_not_followed(pipeline: PipelineStandIn, cat: Path) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    assert run("upload", cat, "--no-follow") == 0


def test_only_json_is_printed_on_stdout(
    pipeline: PipelineStandIn, tmp_path: Path, cat: Path, dog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".hidden").touch()

    run("upload", tmp_path, "--prefix", "june", "--json")

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(document["ImageKey"], document["Status"]) for document in documents} == {
        (f"uploads/june/{tmp_path.name}/cat.jpg", "COMPLETED"),
        (f"uploads/june/{tmp_path.name}/dog.jpg", "COMPLETED"),
    }


def test_exit_2_before_any_upload_if_a_file_is_missing(
    pipeline: PipelineStandIn, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run("upload", cat, "nowhere.jpg")

    assert status == 2
    assert capsys.readouterr().err.splitlines() == [
        "image-pipeline: nowhere.jpg: no such file",
        "image-pipeline: nothing was uploaded",
    ]
    assert pipeline.stored_keys() == set()


def test_the_number_of_skipped_hidden_files_is_printed(
    pipeline: PipelineStandIn, tmp_path: Path, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".DS_Store").touch()

    run("upload", tmp_path)

    assert "skipped 1 hidden entry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["upload", ""], "a path is empty"),
        (["upload", "cat.jpg", "--prefix", "a/../b"], "contains an empty part"),
        (["upload", "cat.jpg", "--timeout", "soon"], "'soon' is not a positive number of seconds"),
        (["upload", "cat.jpg", "--timeout", "-1"], "'-1' is not a positive number of seconds"),
        (["redrive", "--all", "--labels"], "not allowed with argument --all"),
        (["redrive", "cat.jpg"], "did you mean uploads/cat.jpg?"),
        (["status", "cat.jpg"], "did you mean uploads/cat.jpg?"),
        (["status", "s3://photos/uploads/trip/cat.jpg"], "did you mean uploads/trip/cat.jpg?"),
        (["reprocess", "uploads"], "did you mean uploads/?"),
        (["status", "uploads/" + "x" * 1017], "longer than 1,024 bytes"),
    ],
)
def test_exit_2_if_an_argument_is_invalid(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_exit_2_with_one_line_if_the_stack_does_not_exist(
    stack: Stack, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["upload", str(cat), "--stack", "nowhere"])

    assert status == 2
    [complaint] = capsys.readouterr().err.splitlines()
    assert complaint.startswith('image-pipeline: stack "nowhere" does not exist')


def test_exit_2_lists_unfinished_images_if_the_table_disappears(
    pipeline: PipelineStandIn, stack: Stack, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_the_table() -> list[dict]:
        stack.dynamodb.delete_table(TableName=stack.outputs["ImagesTable"])
        return []

    pipeline.answers["uploads/cat.jpg"] = lose_the_table

    status = run("upload", cat)

    printed = capsys.readouterr()
    assert status == 2
    assert printed.out.startswith("UNFINISHED\tuploads/cat.jpg\t")
    assert printed.err.splitlines()[0] == "image-pipeline: 1 file: 1 unfinished"
    assert "deploy the stack again" in printed.err.splitlines()[1]


def test_status_exits_1_if_an_image_is_not_completed(
    pipeline: PipelineStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"ReceivedAt": "2024-06-01T10:00:00Z", "CompletedAt": "2024-06-01T10:00:02.500+00:00"}
    pipeline.write("uploads/cat.jpg", Bytes=2_100_000, **times)
    pipeline.write("uploads/dog.jpg", Bytes=1, Status="PROCESSING")

    status = run("status", "uploads/dog.jpg", "uploads/cat.jpg", "uploads/none.jpg", "uploads/cat.jpg")

    assert status == 1
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["PROCESSING", "uploads/dog.jpg", "1 byte", "", "", "", ""],
        ["COMPLETED", "uploads/cat.jpg", "2.1 MB", "", "", "2.5", ""],
        ["NOT_FOUND", "uploads/none.jpg", "", "", "", "", "NotFound: there is no record of this key"],
    ]


def test_status_as_json_exits_0_if_all_are_completed(
    pipeline: PipelineStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.write("uploads/cat.jpg", Bytes=12)

    assert run("status", "uploads/cat.jpg", "--json") == 0
    expected = {"ImageKey": "uploads/cat.jpg", "Status": "COMPLETED", "ReceivedAt": NOW, "Bytes": 12}
    assert json.loads(capsys.readouterr().out) == expected


FAILED = {
    "Status": "FAILED",
    "Sequencer": "0A",
    "Error": {"Name": "ServiceUnavailable", "Message": "S3 is unavailable"},
    "FailedStep": "CreateThumbnails",
    "StartedAt": "2026-06-01T09:59:58.000Z",
    "CompletedAt": NOW,
    "AnnouncedAt": NOW,
    "ExecutionArn": "arn:old",
}


def test_failures_prints_one_line_each_and_exits_1(machines: StateMachinesStandIn, stack: Stack, capsys) -> None:
    write(stack, "uploads/cat.jpg", **FAILED)
    stack.sqs.send_message(QueueUrl=stack.outputs["UndeliveredEventsQueue"], MessageBody="hello")

    status = run("failures")

    printed = capsys.readouterr()
    first, second = (line.split("\t") for line in printed.out.splitlines())
    assert status == 1
    assert first == [
        "FAILED",
        "uploads/cat.jpg",
        NOW,
        "ServiceUnavailable: S3 is unavailable (in CreateThumbnails)",
        "redrive it",
    ]
    assert (second[0], second[1], second[4]) == ("UNDELIVERED", "", "inspect it in the queue, and delete it there")
    assert printed.err.startswith("image-pipeline: 1 failed, 1 undelivered; the undelivered events are visible")


def test_failures_as_json_include_the_failed_step(machines: StateMachinesStandIn, stack: Stack, capsys) -> None:
    write(stack, "uploads/cat.jpg", **FAILED)

    run("failures", "--json")

    assert json.loads(capsys.readouterr().out) == {
        "ImageKey": "uploads/cat.jpg",
        "Kind": "FAILED",
        "Error": FAILED["Error"],
        "Since": NOW,
        "Advice": "redrive it",
        "FailedStep": "CreateThumbnails",
        "ExecutionArn": "arn:old",
    }


def test_failures_exits_0_if_nothing_failed(machines: StateMachinesStandIn, stack: Stack, capsys) -> None:
    write(stack, "uploads/cat.jpg", AnnouncedAt=NOW, CompletedAt=NOW)

    assert run("failures") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "image-pipeline: nothing failed\n")


def test_redrive_all_counts_and_redrives_every_failure(machines: StateMachinesStandIn, stack: Stack, capsys) -> None:
    for name in ("cat", "dog"):
        stack.s3.put_object(Bucket=stack.uploads_bucket, Key=f"uploads/{name}.jpg", Body=b"photo")
        write(stack, f"uploads/{name}.jpg", **FAILED)
    write(stack, "uploads/good.jpg", AnnouncedAt=NOW, CompletedAt=NOW)
    write(stack, "uploads/nude.jpg", Status="HELD", HeldBecause=FAILED["Error"], CompletedAt=NOW)

    status = run("redrive", "--all")

    printed = capsys.readouterr()
    assert status == 0
    assert sorted(line.split("\t")[:2] for line in printed.out.splitlines()) == [
        ["COMPLETED", "uploads/cat.jpg"],
        ["COMPLETED", "uploads/dog.jpg"],
    ]
    assert printed.err == "image-pipeline: redriving 2 images: 2 failed\nimage-pipeline: 2 images: 2 completed\n"


def test_redrive_all_starts_nothing_if_nothing_failed(machines: StateMachinesStandIn, stack: Stack, capsys) -> None:
    write(stack, "uploads/cat.jpg", AnnouncedAt=NOW, CompletedAt=NOW)

    assert run("redrive", "--all") == 0
    assert capsys.readouterr().err == "image-pipeline: nothing to redrive: nothing failed\n"
    assert machines.started() == []


def test_redrive_labels_redrives_only_images_without_labels(machines: StateMachinesStandIn, stack: Stack) -> None:
    deletion = {"detail-type": "Object Deleted", "detail": {"object": {"key": "uploads/x.jpg", "sequencer": "01"}}}
    over = machines.start("Housekeeping", deletion)
    for name in ("failed", "plain", "untold"):
        stack.s3.put_object(Bucket=stack.uploads_bucket, Key=f"uploads/{name}.jpg", Body=b"photo")
    why = {"Name": "RekognitionThrottled", "Message": "Rekognition is throttling"}
    write(stack, "uploads/failed.jpg", **FAILED)
    write(stack, "uploads/plain.jpg", **FAILED | {"Status": "COMPLETED", "LabelsError": why})
    untold = {name: value for name, value in FAILED.items() if name != "AnnouncedAt"}
    write(stack, "uploads/untold.jpg", **untold | {"Status": "COMPLETED", "LabelsError": why, "ExecutionArn": over})

    status = run("redrive", "--labels")

    started = {event["detail"]["object"]["key"] for event in machines.started()}
    assert (status, started) == (0, {"uploads/plain.jpg", "uploads/untold.jpg"})


def test_a_key_is_redriven_whatever_its_status(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg", Body=b"photo")
    write(stack, "uploads/cat.jpg", Sequencer="0A", AnnouncedAt=NOW, CompletedAt=NOW)

    assert run("redrive", "uploads/cat.jpg") == 0
    assert len(machines.started()) == 1


def test_exit_1_if_a_redriven_image_fails_again(machines: StateMachinesStandIn, stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/cat.jpg", Body=b"photo")
    machines.answers["uploads/cat.jpg"] = {"Status": "FAILED", "Error": FAILED["Error"]}

    assert run("redrive", "uploads/cat.jpg") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nothing selected to redrive"),
        (["uploads/cat.jpg", "--all"], "keys and --all or --labels were given"),
        (["uploads/cat.jpg", "--labels"], "keys and --all or --labels were given"),
    ],
)
def test_exit_2_unless_one_thing_is_selected_to_redrive(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("redrive", *arguments) == 2
    assert f"{problem}: give either keys, or --all, or --labels" in capsys.readouterr().err


def test_a_stack_without_state_machine_outputs_only_takes_uploads(
    stack: Stack, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = re.sub(r"  (ImagePipeline|Housekeeping): .*\n", "", STACK_TEMPLATE)
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="older", TemplateBody=template)

    assert main(["failures", "--stack", "older"]) == 2
    assert "has no output ImagePipeline and no Housekeeping" in capsys.readouterr().err
    assert main(["upload", str(cat), "--stack", "older", "--no-follow"]) == 0

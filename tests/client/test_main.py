"""The command line in this process: what it prints, and its exit statuses."""

import json
from pathlib import Path

import pytest

from client.main import main
from client.stack import Stack
from tests.client.stand_in import PipelineStandIn, silence


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


def test_zero_when_every_image_is_completed(
    pipeline: PipelineStandIn, cat: Path, dog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run("upload", cat, dog)

    printed = capsys.readouterr()
    assert status == 0
    assert sorted(line.split("\t")[1] for line in printed.out.splitlines()) == ["uploads/cat.jpg", "uploads/dog.jpg"]
    assert printed.err == "image-pipeline: 2 files: 2 completed\n"


@pytest.mark.parametrize("end", ["REJECTED", "FAILED"])
def test_one_when_an_image_is_not_completed(pipeline: PipelineStandIn, cat: Path, dog: Path, end: str) -> None:
    pipeline.answers["uploads/dog.jpg"] = lambda: [{"Status": end, "Error": {"Name": "Why", "Message": "words"}}]

    assert run("upload", cat, dog) == 1


def test_one_when_an_image_is_not_finished_in_time(
    pipeline: PipelineStandIn, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    assert run("upload", cat, "--timeout", "0.5") == 1
    assert capsys.readouterr().out.startswith("UNFINISHED\tuploads/cat.jpg\t")


def test_zero_when_following_was_not_asked_for(pipeline: PipelineStandIn, cat: Path) -> None:
    pipeline.answers["uploads/cat.jpg"] = silence

    assert run("upload", cat, "--no-follow") == 0


def test_json_is_all_that_is_on_stdout(
    pipeline: PipelineStandIn, tmp_path: Path, cat: Path, dog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".hidden").touch()

    run("upload", tmp_path, "--prefix", "june", "--json")

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(document["ImageKey"], document["Status"]) for document in documents} == {
        (f"uploads/june/{tmp_path.name}/cat.jpg", "COMPLETED"),
        (f"uploads/june/{tmp_path.name}/dog.jpg", "COMPLETED"),
    }


def test_two_and_no_upload_when_any_file_can_not_be_sent(
    pipeline: PipelineStandIn, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run("upload", cat, "nowhere.jpg")

    assert status == 2
    assert capsys.readouterr().err.splitlines() == [
        "image-pipeline: nowhere.jpg: no such file",
        "image-pipeline: nothing was uploaded",
    ]
    assert pipeline.stored_keys() == set()


def test_skipped_hidden_files_are_counted_aloud(
    pipeline: PipelineStandIn, tmp_path: Path, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".DS_Store").touch()

    run("upload", tmp_path)

    assert "skipped 1 hidden entry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["upload", ""], "a path is empty"),
        (["upload", "cat.jpg", "--prefix", "a/../b"], "has an empty part, . or .. in it"),
        (["upload", "cat.jpg", "--timeout", "soon"], "'soon' is not a number of seconds above 0"),
        (["upload", "cat.jpg", "--timeout", "-1"], "'-1' is not a number of seconds above 0"),
        (["status", "cat.jpg"], "keys begin with uploads/, as in uploads/cat.jpg"),
        (["status", "uploads/" + "x" * 1017], "more than 1,024 bytes"),
    ],
)
def test_two_when_an_argument_makes_no_sense(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_two_and_one_line_when_there_is_no_such_stack(
    stack: Stack, cat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["upload", str(cat), "--stack", "nowhere"])

    assert status == 2
    [complaint] = capsys.readouterr().err.splitlines()
    assert complaint.startswith('image-pipeline: no stack "nowhere"')


def test_two_and_what_is_left_to_follow_when_the_table_is_gone_midway(
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


def test_status_tells_each_key_and_one_when_one_is_not_completed(
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
        ["NOT_FOUND", "uploads/none.jpg", "", "", "", "", "NotFound: the pipeline knows no image under this key"],
    ]


def test_status_is_zero_and_json_when_all_are_completed(
    pipeline: PipelineStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.write("uploads/cat.jpg", Bytes=12)

    assert run("status", "uploads/cat.jpg", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ImageKey": "uploads/cat.jpg", "Status": "COMPLETED", "Bytes": 12}

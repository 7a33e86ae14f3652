"""What `make deploy` asks of the SAM CLI, and what it says when that is done."""

import pytest

from cli.stack import Stack
from deployment import deploy
from tests.cli.stand_in import REGION, STACK_NAME


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the SAM CLI was called with; it succeeds."""
    called = []
    monkeypatch.setattr(deploy, "sam", lambda *arguments: called.append(list(arguments)) or 0)
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    return called


def test_the_stack_is_built_and_deployed_where_the_settings_say(stack: Stack, commands: list[list[str]]) -> None:
    status = deploy.main(["--no-fail-on-empty-changeset"])

    assert status == 0
    target = ["--stack-name", STACK_NAME, "--region", REGION]
    assert commands == [["build"], ["deploy", *target, "--no-fail-on-empty-changeset"]]


def test_the_way_in_and_the_way_to_ask_are_told(stack: Stack, commands: list, capsys: pytest.CaptureFixture) -> None:
    deploy.main([])

    told = capsys.readouterr().out
    assert f"s3://{stack.uploads_bucket}/uploads/" in told
    assert "https://api.example.com/images/uploads/FILE/status" in told


def test_of_a_new_bucket_it_is_said_that_its_first_events_are_late(
    stack: Stack, commands: list, capsys: pytest.CaptureFixture
) -> None:
    deploy.main([])
    of_a_new_one = capsys.readouterr().out
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"image")
    deploy.main([])
    of_one_in_use = capsys.readouterr().out

    assert "five minutes" in of_a_new_one
    assert "five minutes" not in of_one_in_use


def test_a_region_without_rekognition_is_named(stack: Stack, commands: list, capsys: pytest.CaptureFixture) -> None:
    deploy.main([])
    with_rekognition = capsys.readouterr().out
    deploy.main(["--region", "eu-north-1"])
    without = capsys.readouterr().out

    assert "Rekognition" not in with_rekognition
    assert "no Amazon Rekognition in eu-north-1" in without


def test_when_sam_fails_nothing_is_told_as_deployed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    monkeypatch.setattr(deploy, "sam", lambda *_: 1)

    assert deploy.main([]) == 1
    assert "sam build failed" in capsys.readouterr().err

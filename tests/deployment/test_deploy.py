"""The SAM CLI commands that `make deploy` runs, and what it prints."""

import pytest
from moto.core import DEFAULT_ACCOUNT_ID

from cli.stack import Stack
from deployment import deploy
from tests.cli.conftest import cloudformation
from tests.cli.stand_in import REGION, STACK_NAME, STACK_TEMPLATE


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of each call of the SAM CLI, which succeeds."""
    called = []
    monkeypatch.setattr(deploy, "sam", lambda *arguments: called.append(list(arguments)) or 0)
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    return called


def test_the_configured_stack_is_built_and_deployed(stack: Stack, commands: list[list[str]]) -> None:
    status = deploy.main(["--no-fail-on-empty-changeset"])

    assert status == 0
    target = ["--stack-name", STACK_NAME, "--region", REGION]
    assert commands == [["build"], ["deploy", *target, "--no-fail-on-empty-changeset"]]


def test_asking_for_help_deploys_nothing(commands: list[list[str]], capsys: pytest.CaptureFixture) -> None:
    assert deploy.main(["--help"]) == 0
    assert commands == [["deploy", "--help"]]
    assert "Deployed" not in capsys.readouterr().out


def test_the_bucket_the_status_url_and_the_check_are_printed(
    stack: Stack, commands: list, capsys: pytest.CaptureFixture
) -> None:
    deploy.main([])

    printed = capsys.readouterr().out
    assert f"s3://{stack.uploads_bucket}/uploads/" in printed
    assert "https://api.example.com/images/uploads/FILE/status" in printed
    assert ".venv/bin/image-pipeline check " in printed


def test_only_a_new_bucket_comes_with_a_warning(stack: Stack, commands: list, capsys: pytest.CaptureFixture) -> None:
    deploy.main([])
    with_a_new_bucket = capsys.readouterr().out
    stack.s3.put_object(Bucket=stack.uploads_bucket, Key="uploads/a.jpg", Body=b"image")
    deploy.main([])
    with_a_bucket_in_use = capsys.readouterr().out

    assert "five minutes" in with_a_new_bucket
    assert "five minutes" not in with_a_bucket_in_use


def test_a_region_without_rekognition_comes_with_a_warning(
    stack: Stack, commands: list, capsys: pytest.CaptureFixture
) -> None:
    deploy.main([])
    with_rekognition = capsys.readouterr().out
    deploy.main(["--region", "eu-north-1"])
    without = capsys.readouterr().out

    assert "Rekognition" not in with_rekognition
    assert "Amazon Rekognition does not seem to be available in eu-north-1" in without


def test_a_failure_of_the_sam_cli_ends_the_deployment(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    monkeypatch.setattr(deploy, "sam", lambda *_: 1)

    assert deploy.main([]) == 1
    assert "sam build failed" in capsys.readouterr().err


def test_what_a_failed_first_deployment_left_is_deleted_first(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", STACK_NAME)
    backend = cloudformation()[DEFAULT_ACCOUNT_ID][REGION]
    backend.get_stack(STACK_NAME).status = "ROLLBACK_COMPLETE"

    def sam(command: str, *_: str) -> int:
        if command == "deploy":  # which CloudFormation would refuse while the stack exists
            backend.create_stack(STACK_NAME, STACK_TEMPLATE, {})
        return 0

    monkeypatch.setattr(deploy, "sam", sam)

    assert deploy.main([]) == 0
    assert "failed and was rolled back" in capsys.readouterr().out


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_FAILED"])
def test_no_other_stack_is_deleted(stack: Stack, commands: list, status: str) -> None:
    deployed = cloudformation()[DEFAULT_ACCOUNT_ID][REGION].get_stack(STACK_NAME)
    deployed.status = status

    assert deploy.main([]) == 0
    assert cloudformation()[DEFAULT_ACCOUNT_ID][REGION].get_stack(STACK_NAME) is deployed

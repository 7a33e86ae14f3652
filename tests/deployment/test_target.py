"""Which stack a deployment means, where several places name one."""

from pathlib import Path

import pytest

from deployment.target import Target
from tests.cli.stand_in import samconfig


@pytest.fixture(autouse=True)
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose samconfig.toml names a stack and a region."""
    samconfig(folder, "deploy", stack_name="saved", region="ca-central-1")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("AWS_REGION")
    return folder


def meant(*options: str, after_asking: bool = False) -> tuple[str, str]:
    target = Target.of(options, after_asking=after_asking)
    return target.name, target.session.region_name


def test_what_was_saved_is_meant() -> None:
    assert meant() == ("saved", "ca-central-1")


def test_the_environment_comes_before_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", "current")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert meant() == ("current", "eu-west-1")


@pytest.mark.parametrize(
    "given", [["--stack-name", "given", "--region", "us-west-2"], ["--stack-name=given", "--region=us-west-2"]]
)
def test_options_come_first(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", "current")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert meant("--no-execute-changeset", *given, "--parameter-overrides", "MaxPixels=1") == ("given", "us-west-2")


def test_another_environment_of_the_samconfig_may_be_meant(project: Path) -> None:
    samconfig(project, environment="staging", stack_name="tested", region="sa-east-1")

    assert meant("--config-env", "staging") == ("tested", "sa-east-1")


def test_what_was_answered_to_questions_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert meant("--guided", after_asking=True) == ("saved", "ca-central-1")


def test_the_sam_cli_is_told_the_same() -> None:
    options = ["--stack-name", "given", "--region", "us-west-2"]

    assert Target.of(options).options == options

"""The precedence of options, environment and samconfig.toml."""

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


def target_of(*options: str, after_asking: bool = False) -> tuple[str, str]:
    target = Target.of(options, after_asking=after_asking)
    return target.name, target.session.region_name


def test_the_samconfig_names_the_stack_and_region() -> None:
    assert target_of() == ("saved", "ca-central-1")


def test_the_environment_overrides_the_samconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", "current")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert target_of() == ("current", "eu-west-1")


@pytest.mark.parametrize(
    "given", [["--stack-name", "given", "--region", "us-west-2"], ["--stack-name=given", "--region=us-west-2"]]
)
def test_options_override_everything_else(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", "current")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert target_of("--no-execute-changeset", *given, "--parameter-overrides", "MaxPixels=1") == ("given", "us-west-2")


def test_an_option_selects_the_samconfig_environment(project: Path) -> None:
    samconfig(project, environment="staging", stack_name="tested", region="sa-east-1")

    assert target_of("--config-env", "staging") == ("tested", "sa-east-1")


def test_answers_to_guided_questions_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert target_of("--guided", after_asking=True) == ("saved", "ca-central-1")


def test_the_sam_cli_gets_the_same_target() -> None:
    options = ["--stack-name", "given", "--region", "us-west-2"]

    assert Target.of(options).options == options

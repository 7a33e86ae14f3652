"""A deployed stack on moto, with a stand-in for its pipeline."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.base_backend import BackendDict
from moto.sqs.models import SQSBackend

from cli import following
from cli import stack as stack_module
from cli.files import Item, select
from cli.stack import Stack
from tests.cli.stand_in import REGION, STACK_NAME, STACK_TEMPLATE, PipelineStandIn, StateMachinesStandIn


@pytest.fixture
def aws_settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """AWS settings that replace those of whoever runs the tests."""
    settings = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "IMAGE_PIPELINE_STACK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture(autouse=True)
def empty_queues_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns off moto's long polling: all messages there will be are in the queue before anything reads it."""
    receive = SQSBackend.receive_message

    def receive_at_once(backend: SQSBackend, queue: str, count: int, _wait_seconds: int, *rest: object) -> list:
        return receive(backend, queue, count, 0, *rest)

    monkeypatch.setattr(SQSBackend, "receive_message", receive_at_once)


@pytest.fixture(autouse=True)
def followed_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses between two looks at what was started: moto answers at once."""
    monkeypatch.setattr(following, "_TICK", 0.01)
    monkeypatch.setattr(following, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def folder(tmp_path: Path, aws_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which to search for a samconfig.toml, and where that of this checkout is not found."""
    monkeypatch.setattr(stack_module, "__file__", str(tmp_path / "installed" / "cli" / "stack.py"))
    folder = tmp_path / "project" / "photos"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def stack(aws_settings: dict[str, str]) -> Iterator[Stack]:
    """A stack called "photos", on moto."""
    with mock_aws():
        cloudformation()[DEFAULT_ACCOUNT_ID][REGION].create_stack(STACK_NAME, STACK_TEMPLATE, {})
        yield Stack.find(session(), STACK_NAME)


@cache
def cloudformation() -> BackendDict:
    """moto's CloudFormation, which parses each template once: that takes as long as many of the tests."""
    # Imports all of moto, which would take a second, most of it to read EC2's Regions, instance types and images.
    with (
        patch.object(boto3.Session, "get_available_regions", return_value=[]),
        patch("moto.utilities.utils.load_resource", return_value={}),
    ):
        from moto.cloudformation.models import Stack as CreatedStack
        from moto.cloudformation.models import cloudformation_backends

    parse = cache(CreatedStack.parse_template)
    CreatedStack.parse_template = staticmethod(lambda template: deepcopy(parse(template)))
    return cloudformation_backends


@cache
def session() -> boto3.Session:
    """One session for all tests: creating it takes longer than most of them."""
    return boto3.Session("test", "test", region_name=REGION)


@pytest.fixture
def pipeline(stack: Stack) -> Iterator[PipelineStandIn]:
    with PipelineStandIn(stack) as stand_in:
        yield stand_in


@pytest.fixture
def machines(stack: Stack) -> Iterator[StateMachinesStandIn]:
    with StateMachinesStandIn(stack) as stand_in:
        yield stand_in


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., list[Item]]:
    """Creates files by name and content, and returns them as items to upload."""

    def make(**contents: bytes) -> list[Item]:
        paths = [tmp_path / f"{name}.jpg" for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
        return select(paths).items

    return make

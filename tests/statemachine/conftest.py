import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from ministack.services import stepfunctions
from moto import mock_aws

from tests.statemachine.machine import Outcome, StateMachine


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, dict[str, Outcome]], StateMachine]]:
    """Deploys a state machine of the template, with an empty table, where nothing is ever waited for."""

    def deploy(logical_id: str, answers: dict[str, Outcome]) -> StateMachine:
        machine = StateMachine(logical_id, answers)
        monkeypatch.setattr(stepfunctions, "_invoke_resource", machine.perform)
        return machine

    monkeypatch.setattr(stepfunctions, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None}))
    with mock_aws():
        yield deploy

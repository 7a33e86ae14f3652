import time
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace

import pytest
from jsonata.parser import Parser
from ministack.services import stepfunctions
from moto import mock_aws

from tests.statemachine.machine import Outcome, StateMachine

parse = Parser.parse


@cache
def parse_once(expression: str, regex_engine: object) -> Parser.Symbol:
    """The syntax tree of an expression, which the interpreter parses anew whenever it evaluates it."""
    return parse(Parser(), expression, regex_engine)


Parser.parse = lambda _parser, *expression: parse_once(*expression)


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never waits, and evaluates expressions as long as it takes."""
    # AWS evaluates an expression for a second at most. Python takes much longer than AWS, a busy machine even more, and
    # measuring takes time, too.
    evaluate = stepfunctions.jsonata.Jsonata.jsonata
    patient = staticmethod(lambda expression, timeout=None: evaluate(expression))
    monkeypatch.setattr(stepfunctions.jsonata.Jsonata, "jsonata", patient)
    monkeypatch.setattr(stepfunctions, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None}))


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StateMachine]]:
    """Deploys a state machine of the template, with an empty table."""

    def deploy(logical_id: str, answers: dict[str, Outcome], **parameters: str) -> StateMachine:
        machine = StateMachine(logical_id, answers, **parameters)
        monkeypatch.setattr(stepfunctions, "_invoke_resource", machine.perform)
        return machine

    # A session reads the services' models once; a new one for every test takes longer than the test.
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        yield deploy

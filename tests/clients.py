"""Lends the clients that one test made to the next: creating a client takes longer than most tests."""

import os
from collections import defaultdict
from typing import Any

import pytest
from botocore.session import Session
from moto.core.models import botocore_stubber

create = Session.create_client
start = Session.__init__

# The clients that no test uses, by what they were made with.
_idle: defaultdict[tuple, list[Any]] = defaultdict(list)
_lent: list[tuple[tuple, Any]] = []


def lend(session: Session, service: str, region_name: str | None = None, **options: Any) -> Any:
    """In the place of `Session.create_client`, while moto answers: a client that this test does not have yet.

    A session with a handler of the test's gives it to its clients, so it gets clients of its own. So does one that a
    conftest.py started before this module was imported.
    """
    if not botocore_stubber.enabled or getattr(session.get_component("event_emitter"), "disturbed", True):
        return create(session, service, region_name, **options)
    credentials = session.get_credentials()
    made_with = (
        session.user_agent_name,
        credentials and tuple(credentials.get_frozen_credentials()),
        service,
        region_name or session.get_config_variable("region"),
        str({name: getattr(value, "__dict__", value) for name, value in options.items()}),
        *sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")),
    )
    if _idle[made_with]:
        client = _idle[made_with].pop()
    else:
        client = create(session, service, region_name, **options)
        _watch(client.meta.events)
    _lent.append((made_with, client))
    return client


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Takes the clients back, except those with a handler of the test's: these are of no use to another one."""
    for made_with, client in _lent:
        if not client.meta.events.disturbed:
            _idle[made_with].append(client)
    _lent.clear()


def _started(session: Session, *arguments: Any, **options: Any) -> None:
    start(session, *arguments, **options)
    _watch(session.get_component("event_emitter"))


def _watch(events: Any) -> None:
    """From now on, `events.disturbed` is whether a test has registered a handler."""
    events.disturbed = False

    def watch(register: Any) -> Any:
        def watched(name: str, handler: Any, unique_id: str | None = None, **options: Any) -> None:
            # boto3 itself registers what creates its classes, and, under an id, what its transfers need.
            events.disturbed |= unique_id is None and not name.startswith("creating-")
            register(name, handler, unique_id, **options)

        return watched

    for method in ("register", "register_first", "register_last"):
        setattr(events, method, watch(getattr(events, method)))


Session.create_client = lend
Session.__init__ = _started

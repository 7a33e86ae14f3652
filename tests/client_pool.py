"""A pool of AWS clients that tests share one after another: creating a client takes longer than most tests."""

import os
from collections import defaultdict
from typing import Any

import pytest
from botocore.session import Session
from moto.core.models import botocore_stubber

create = Session.create_client
start = Session.__init__

_idle: defaultdict[tuple, list[Any]] = defaultdict(list)  # by the settings they were created with
_in_use: list[tuple[tuple, Any]] = []


def acquire(session: Session, service: str, region_name: str | None = None, **options: Any) -> Any:
    """Replaces `Session.create_client` while moto is active: returns a client that this test does not have yet.

    A session with an event handler of the test passes it on to its clients, so they are created, and stay out of the
    pool. So do those of a session that a conftest.py started before this module was imported.
    """
    if not botocore_stubber.enabled or getattr(session.get_component("event_emitter"), "handlers_of_tests", True):
        return create(session, service, region_name, **options)
    credentials = session.get_credentials()
    settings = (
        session.user_agent_name,
        credentials and tuple(credentials.get_frozen_credentials()),
        service,
        region_name or session.get_config_variable("region"),
        str({name: getattr(value, "__dict__", value) for name, value in options.items()}),
        *sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")),
    )
    if _idle[settings]:
        client = _idle[settings].pop()
    else:
        client = create(session, service, region_name, **options)
        _watch(client.meta.events)
    _in_use.append((settings, client))
    return client


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Returns the test's clients to the pool, except those that still have an event handler of the test.

    Such a handler may have had requests fail, and spent some of the client's retry quota.
    """
    for settings, client in _in_use:
        if not client.meta.events.handlers_of_tests:
            _idle[settings].append(client)
    _in_use.clear()


def _started(session: Session, *arguments: Any, **options: Any) -> None:
    start(session, *arguments, **options)
    _watch(session.get_component("event_emitter"))


def _watch(events: Any) -> None:
    """Keeps in `events.handlers_of_tests` the event handlers that are registered from now on."""
    events.handlers_of_tests = set()
    unregister = events.unregister

    def watch(register: Any) -> Any:
        def watched(name: str, handler: Any, unique_id: str | None = None, **options: Any) -> None:
            # boto3 itself registers handlers for creating its classes and, with an ID, for transfers.
            if unique_id is None and not name.startswith("creating-"):
                events.handlers_of_tests.add((name, handler))
            register(name, handler, unique_id, **options)

        return watched

    def unwatch(name: str, handler: Any = None, *arguments: Any, **options: Any) -> None:
        events.handlers_of_tests.discard((name, handler))
        unregister(name, handler, *arguments, **options)

    for method in ("register", "register_first", "register_last"):
        setattr(events, method, watch(getattr(events, method)))
    events.unregister = unwatch


Session.create_client = acquire
Session.__init__ = _started

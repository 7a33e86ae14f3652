"""Lends the clients that one test made to the next: creating a client takes longer than most tests."""

import os
from collections import defaultdict
from typing import Any

import pytest
from botocore.session import Session
from moto.core.models import botocore_stubber

create = Session.create_client

# The clients that no test uses, by what they were made with.
_idle: defaultdict[tuple, list[Any]] = defaultdict(list)
_lent: list[tuple[tuple, Any]] = []


def lend(session: Session, service: str, region_name: str | None = None, **options: Any) -> Any:
    """In the place of `Session.create_client`, while moto answers: a client that this test does not have yet."""
    if not botocore_stubber.enabled:
        return create(session, service, region_name, **options)
    made_with = (
        session.user_agent_name,
        service,
        region_name or session.get_config_variable("region"),
        str({name: getattr(value, "__dict__", value) for name, value in options.items()}),
        *sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")),
    )
    client = _idle[made_with].pop() if _idle[made_with] else _watched(create(session, service, region_name, **options))
    _lent.append((made_with, client))
    return client


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Takes the clients back, except those with a handler of the test's: these are of no use to another one."""
    for made_with, client in _lent:
        if not client.disturbed:
            _idle[made_with].append(client)
    _lent.clear()


def _watched(client: Any) -> Any:
    client.disturbed = False
    events = client.meta.events

    def watch(register: Any) -> Any:
        def watched(name: str, handler: Any, unique_id: str | None = None, **options: Any) -> None:
            # Those with an id are boto3's own, which registers them for every transfer.
            client.disturbed |= unique_id is None
            register(name, handler, unique_id, **options)

        return watched

    for method in ("register", "register_first", "register_last"):
        setattr(events, method, watch(getattr(events, method)))
    return client


Session.create_client = lend

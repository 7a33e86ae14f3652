"""The pool of AWS clients passes nothing from one test to another: each test below stands for several."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.client_pool import pytest_runtest_teardown as end_of_a_test


@pytest.fixture(autouse=True)
def moto() -> Iterator[None]:
    with mock_aws():
        yield


def session(key: str = "test") -> boto3.Session:
    return boto3.Session(key, "test", region_name="us-east-1")


def refuse(**_: object) -> None:
    raise ClientError({"Error": {"Code": "Refused"}}, "ListTopics")


def test_the_next_test_gets_the_same_client():
    client = session().client("sns")
    end_of_a_test()

    assert session().client("sns") is client
    assert session().client("sns") is not client  # which is in use now


@pytest.mark.parametrize("register", ["register", "register_first", "register_last"])
def test_a_client_with_a_handler_is_not_shared(register: str):
    client = session().client("sns")
    getattr(client.meta.events, register)("before-call.sns.ListTopics", refuse)
    end_of_a_test()

    assert session().client("sns") is not client


def test_a_client_whose_handler_was_removed_is_shared():
    client = session().client("sns")
    client.meta.events.register("before-call.sns.ListTopics", refuse)
    client.meta.events.unregister("before-call.sns.ListTopics", refuse)
    end_of_a_test()

    assert session().client("sns") is client
    assert client.list_topics()["Topics"] == []


def test_a_session_with_a_handler_has_clients_of_its_own():
    session().client("sns")
    end_of_a_test()

    refusing = session()
    refusing.events.register("before-call.sns.ListTopics", refuse)

    with pytest.raises(ClientError, match="Refused"):
        refusing.client("sns").list_topics()

    end_of_a_test()
    assert session().client("sns").list_topics()["Topics"] == []


def test_a_client_is_shared_only_with_the_same_credentials():
    client = session().client("sns")
    end_of_a_test()

    assert session("another").client("sns") is not client

"""Explanations of AWS errors."""

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from cli.problems import concerns_setup, explain


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "AWS's own message"}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (boto.NoCredentialsError(), "AWS_PROFILE"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "AWS_PROFILE"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.ProfileNotFound(profile="nowhere"), "AWS_PROFILE"),
        (boto.NoRegionError(), "AWS_REGION"),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:4566"), "make local"),
        (client_error("AccessDenied"), "access denied for DescribeStacks (AWS's own message)"),
        (client_error("AccessDeniedException"), "access denied for DescribeStacks"),
        (client_error("ExpiredToken"), "sign in again"),
        (client_error("InvalidClientTokenId"), "does not accept these credentials"),
        (client_error("NoSuchBucket"), "deploy the stack again"),
        (client_error("ResourceNotFoundException"), "deploy the stack again"),
    ],
)
def test_an_error_of_the_setup_says_what_to_do(error: Exception, advice: str) -> None:
    assert advice in explain(error)
    assert concerns_setup(error)


def test_any_other_error_keeps_the_message_of_aws() -> None:
    error = client_error("SlowDown")

    assert explain(error) == "DescribeStacks failed (SlowDown): AWS's own message"
    assert not concerns_setup(error)

"""What the user reads when AWS refuses."""

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from cli.problems import concerns_setup, explain


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "AWS's own words"}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (boto.NoCredentialsError(), "AWS_PROFILE"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "AWS_PROFILE"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.ProfileNotFound(profile="nowhere"), "AWS_PROFILE"),
        (boto.NoRegionError(), "AWS_REGION"),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:4566"), "make local"),
        (refusal("AccessDenied"), "no permission for DescribeStacks (AWS's own words)"),
        (refusal("AccessDeniedException"), "no permission for DescribeStacks"),
        (refusal("ExpiredToken"), "sign in again"),
        (refusal("InvalidClientTokenId"), "does not accept these credentials"),
        (refusal("NoSuchBucket"), "deploy the stack again"),
        (refusal("ResourceNotFoundException"), "deploy the stack again"),
    ],
)
def test_a_refusal_that_the_user_can_end_says_how(error: Exception, advice: str) -> None:
    assert advice in explain(error)
    assert concerns_setup(error)


def test_any_other_refusal_is_given_in_the_words_of_aws() -> None:
    error = refusal("SlowDown")

    assert explain(error) == "DescribeStacks failed (SlowDown): AWS's own words"
    assert not concerns_setup(error)

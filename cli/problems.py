"""Explains errors in one line for the user: what went wrong, why, and what to do about it."""

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

AWS_ERRORS = (BotoCoreError, ClientError)

_LOCALLY = 'for the local system: eval "$(.venv/bin/python -m local env)"'
_SIGN_IN = f'choose credentials with AWS_PROFILE or "aws configure"; {_LOCALLY}'
_SIGN_IN_AGAIN = 'sign in again ("aws sso login", or renew the session token)'
_REACH = "check the network, AWS_ENDPOINT_URL and the region; to start the local system: make local"

_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
_SIGNED_OUT = (boto.SSOError, boto.TokenRetrievalError, boto.NoAuthTokenError)
_UNREACHABLE = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_SETTINGS = (*_NO_CREDENTIALS, *_SIGNED_OUT, *_UNREACHABLE, boto.NoRegionError, boto.ProfileNotFound)

_DENIED = {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_RESOURCE_MISSING = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
}


class SetupError(Exception):
    """A setting, an argument or the stack has to change first. One line: what, why, what to do."""


def code(error: BaseException) -> str:
    """The name of an error: AWS's own code if there is one, otherwise the exception's class."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__


def message(error: BaseException) -> str:
    """The error's own message, without botocore's preamble."""
    return error.response["Error"].get("Message", "") if isinstance(error, ClientError) else str(error)


def name_and_message(error: BaseException) -> dict[str, str]:
    """An error in the form in which records and results hold one."""
    return {"Name": code(error), "Message": message(error)}


def concerns_setup(error: BaseException) -> bool:
    """Whether every further call would fail the same way: credentials, permission, region, network, resources gone."""
    return isinstance(error, _SETTINGS) or code(error) in _DENIED | _EXPIRED | _BAD_CREDENTIALS | _RESOURCE_MISSING


def explain(error: BotoCoreError | ClientError) -> str:
    """One line that says what failed, why, and what to do."""
    if isinstance(error, ClientError):
        return _explain_answer(error)
    if isinstance(error, _NO_CREDENTIALS):
        return f"no usable AWS credentials ({error}): {_SIGN_IN}"
    if isinstance(error, _SIGNED_OUT):
        return f"the AWS sign-in is not valid ({error}): {_SIGN_IN_AGAIN}"
    if isinstance(error, boto.NoRegionError):
        return f"no AWS region is configured: set AWS_REGION, or a region in the profile; {_LOCALLY}"
    if isinstance(error, boto.ProfileNotFound):
        return f"{error}: check AWS_PROFILE against ~/.aws/config"
    if isinstance(error, _UNREACHABLE):
        return f"AWS cannot be reached ({error}): {_REACH}"
    return f"the call to AWS failed ({code(error)}): {error}"


def _explain_answer(error: ClientError) -> str:
    name, operation, words = code(error), error.operation_name, message(error)
    if name in _DENIED:
        return (
            f"access denied for {operation} ({words}): get this permission (docs/operations.md), or use another profile"
        )
    if name in _EXPIRED:
        return f"the AWS session has expired ({words}): {_SIGN_IN_AGAIN}"
    if name in _BAD_CREDENTIALS:
        return f"AWS does not accept these credentials ({words}): {_SIGN_IN}"
    if name in _RESOURCE_MISSING:
        return f"a resource of the stack does not exist ({operation}: {words}): deploy the stack again"
    return f"{operation} failed ({name}): {words}"

"""The emulator's S3 and IAM, as Rekognition uses them: Rekognition reads an image with its caller's permissions.

AWS gives Rekognition a session of the caller. The emulator cannot, so the stand-in asks the emulator's IAM whether the
caller's policies allow the operation and the read (SimulatePrincipalPolicy), and then reads as root. Bucket policies,
permissions boundaries and signatures are not checked: AWS may refuse what the local run allows.

The access key identifies the caller: the emulator's root key may do anything, and MiniStack derives the key of a
function's session from the ARNs of the function and its role. Other keys are refused.
"""

import hashlib
import re
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.rekognition.errors import ServiceError
from local.rekognition.images import MAX_OBJECT_BYTES

ROOT_KEY = "test"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/rekognition/aws4_request")


class Emulator:
    """The emulator at the URL `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = boto3.Session(ROOT_KEY, ROOT_KEY)
        self._clients: dict = {}
        self._making_client = threading.Lock()  # boto3 sessions are not thread-safe
        self._role_of_key: dict[str, str] = {}

    def caller(self, authorization: str) -> "Caller":
        """The caller that an Authorization header names. Raises ServiceError: UnrecognizedClientException."""
        match = _CREDENTIAL.search(authorization)
        if match is None:
            raise ServiceError("UnrecognizedClientException", "The request has no signature for Rekognition.")
        key, region = match.groups()
        return Caller(self, None if key == ROOT_KEY else self._role(key, region), region)

    def allows(self, principal: str, action: str, resource: str, region: str) -> bool:
        """Whether the principal's own policies allow an action."""
        answer = self._client("iam", region).simulate_principal_policy(
            PolicySourceArn=principal, ActionNames=[action], ResourceArns=[resource]
        )
        return answer["EvaluationResults"][0]["EvalDecision"] == "allowed"

    def read(self, bucket: str, key: str, region: str) -> bytes:
        """The bytes of an object, whose bucket must be in the Region.

        Raises ServiceError: InvalidS3ObjectException, ImageTooLargeException.
        """
        s3 = self._client("s3", region)
        try:
            if s3.head_bucket(Bucket=bucket)["BucketRegion"] != region:
                raise ServiceError("InvalidS3ObjectException")
            answer = s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise ServiceError("InvalidS3ObjectException") from error
        with answer["Body"] as body:
            if answer["ContentLength"] > MAX_OBJECT_BYTES:
                raise ServiceError("ImageTooLargeException")
            return body.read()

    def _role(self, key: str, region: str) -> str:
        """The role of the function whose session has this access key."""
        if key not in self._role_of_key:
            pages = self._client("lambda", region).get_paginator("list_functions").paginate()
            for function in (function for page in pages for function in page["Functions"]):
                self._role_of_key[session_key(function["FunctionArn"], function["Role"])] = function["Role"]
        if key not in self._role_of_key:
            raise ServiceError("UnrecognizedClientException")
        return self._role_of_key[key]

    def _client(self, service: str, region: str):
        with self._making_client:
            if (service, region) not in self._clients:
                config = Config(s3={"addressing_style": "path"}, max_pool_connections=50)
                self._clients[service, region] = self._session.client(
                    service, region_name=region, endpoint_url=self._endpoint, config=config
                )
            return self._clients[service, region]


class Caller:
    """The principal that signed a request, and the Region it called. An `arn` of None is the root user."""

    def __init__(self, emulator: Emulator, arn: str | None, region: str) -> None:
        self._emulator = emulator
        self._arn = arn
        self._region = region

    def require(self, operation: str) -> None:
        """Raises ServiceError: AccessDeniedException, unless the caller may use this Rekognition operation."""
        if not self._allowed(f"rekognition:{operation}", "*"):
            raise ServiceError(
                "AccessDeniedException",
                f"User: {self._arn} is not authorized to perform: rekognition:{operation} "
                f"because no identity-based policy allows the rekognition:{operation} action",
            )

    def read(self, bucket: str, key: str) -> bytes:
        """The object's bytes. Raises ServiceError: InvalidS3ObjectException, ImageTooLargeException."""
        if not self._allowed("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"):
            raise ServiceError("InvalidS3ObjectException")
        return self._emulator.read(bucket, key, self._region)

    def _allowed(self, action: str, resource: str) -> bool:
        return self._arn is None or self._emulator.allows(self._arn, action, resource, self._region)


def session_key(function_arn: str, role_arn: str) -> str:
    """The access key that MiniStack 1.5.33 gives a function (ministack.core.lambda_runtime.execution_credentials)."""
    return "ASIA" + hashlib.sha256(f"{function_arn}:{role_arn}".encode()).hexdigest()[:16].upper()

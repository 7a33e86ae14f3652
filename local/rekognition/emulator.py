"""The emulator's S3 and IAM, as Rekognition uses them: the image is read with what the caller may do.

AWS hands Rekognition a session of the caller. The emulator has no such thing, so the stand-in asks its IAM whether
the caller's policies allow the operation and the read (SimulatePrincipalPolicy), and then reads as root. So bucket
policies, permissions boundaries and conditions are not asked, and signatures are not checked: what the local run lets
through, AWS may still refuse.

Who the caller is follows from the access key:
- the emulator's root key, or an account id, may do anything;
- a function's session key, which MiniStack derives from the ARNs of function and role;
- an IAM user's key, by GetAccessKeyLastUsed.
Other temporary keys (sts:AssumeRole) belong to nobody that can be asked after, and are refused.
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
    """The emulator at `endpoint`, an URL."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = boto3.Session(ROOT_KEY, ROOT_KEY)
        self._clients: dict = {}
        self._making_client = threading.Lock()  # a boto3 session makes one client at a time
        self._role_of_key: dict[str, str] = {}

    def caller(self, authorization: str) -> "Caller":
        """Who signed a request, by its Authorization header. Raises ServiceError: UnrecognizedClientException."""
        match = _CREDENTIAL.search(authorization)
        if match is None:
            raise ServiceError("UnrecognizedClientException", "the request has no signature for Rekognition")
        key, region = match.groups()
        if key == ROOT_KEY or re.fullmatch(r"\d{12}", key):
            return Caller(self, None, region)
        arn = self._role(key, region) if key.startswith("ASIA") else self._user(key, region)
        return Caller(self, arn, region)

    def allows(self, principal: str, action: str, resource: str, region: str) -> bool:
        """Whether the principal's own policies allow an action."""
        answer = self._client("iam", region).simulate_principal_policy(
            PolicySourceArn=principal, ActionNames=[action], ResourceArns=[resource]
        )
        return answer["EvaluationResults"][0]["EvalDecision"] == "allowed"

    def read(self, s3_object: dict, region: str) -> bytes:
        """The bytes of Rekognition's S3Object, whose bucket must be in the Region.

        Raises ServiceError: InvalidS3ObjectException, ImageTooLargeException.
        """
        s3 = self._client("s3", region)
        bucket = s3_object["Bucket"]
        version = {"VersionId": s3_object["Version"]} if "Version" in s3_object else {}
        try:
            if s3.head_bucket(Bucket=bucket)["BucketRegion"] != region:
                raise ServiceError("InvalidS3ObjectException")
            answer = s3.get_object(Bucket=bucket, Key=s3_object["Name"], **version)
        except ClientError as error:
            raise ServiceError("InvalidS3ObjectException") from error
        with answer["Body"] as body:
            if answer["ContentLength"] > MAX_OBJECT_BYTES:
                raise ServiceError("ImageTooLargeException")
            return body.read()

    def _role(self, key: str, region: str) -> str:
        """The role of the function whose session key this is."""
        if key not in self._role_of_key:
            pages = self._client("lambda", region).get_paginator("list_functions").paginate()
            for function in (function for page in pages for function in page["Functions"]):
                self._role_of_key[session_key(function["FunctionArn"], function["Role"])] = function["Role"]
        if key not in self._role_of_key:
            raise ServiceError("UnrecognizedClientException", f"{key} is not the session of a function")
        return self._role_of_key[key]

    def _user(self, key: str, region: str) -> str:
        iam = self._client("iam", region)
        try:
            name = iam.get_access_key_last_used(AccessKeyId=key)["UserName"]
            return iam.get_user(UserName=name)["User"]["Arn"]
        except ClientError as error:
            raise ServiceError("UnrecognizedClientException") from error

    def _client(self, service: str, region: str):
        with self._making_client:
            if (service, region) not in self._clients:
                config = Config(s3={"addressing_style": "path"}, max_pool_connections=50)
                self._clients[service, region] = self._session.client(
                    service, region_name=region, endpoint_url=self._endpoint, config=config
                )
            return self._clients[service, region]


class Caller:
    """Somebody who signed a request, in a Region; None as `arn` is root."""

    def __init__(self, emulator: Emulator, arn: str | None, region: str) -> None:
        self._emulator = emulator
        self._arn = arn
        self._region = region

    def require(self, operation: str) -> None:
        """Raises ServiceError: AccessDeniedException, unless the caller may do this Rekognition operation."""
        if not self._allowed(f"rekognition:{operation}", "*"):
            raise ServiceError(
                "AccessDeniedException",
                f"User: {self._arn} is not authorized to perform: rekognition:{operation} "
                f"because no identity-based policy allows the rekognition:{operation} action",
            )

    def read(self, s3_object: dict) -> bytes:
        """The object's bytes. Raises ServiceError: InvalidS3ObjectException, ImageTooLargeException."""
        action = "s3:GetObjectVersion" if "Version" in s3_object else "s3:GetObject"
        if not self._allowed(action, f"arn:aws:s3:::{s3_object['Bucket']}/{s3_object['Name']}"):
            raise ServiceError("InvalidS3ObjectException")
        return self._emulator.read(s3_object, self._region)

    def _allowed(self, action: str, resource: str) -> bool:
        return self._arn is None or self._emulator.allows(self._arn, action, resource, self._region)


def session_key(function_arn: str, role_arn: str) -> str:
    """The access key that MiniStack 1.5.33 gives a function (ministack.core.lambda_runtime.execution_credentials)."""
    return "ASIA" + hashlib.sha256(f"{function_arn}:{role_arn}".encode()).hexdigest()[:16].upper()

"""Images in the emulator's S3: found, read, and only by whoever may."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.local.emulated import Emulated, policy
from tests.local.stand_in import PHOTOS, StandIn, encoded, running_stand_in

DETECT = {"Effect": "Allow", "Action": "rekognition:DetectLabels", "Resource": "*"}

CALLING = """
import boto3
def handler(event, context):
    client = boto3.client("rekognition", endpoint_url=event["url"])
    answer = client.detect_labels(Image={"S3Object": event["object"]})
    return [label["Name"] for label in answer["Labels"]]
"""


@pytest.fixture(scope="module")
def rekognition(emulator: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("rekognition"), emulator.url) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def bucket(emulator: Emulated) -> str:
    """A versioned bucket with a cat in it."""
    name = f"pictures-{uuid4().hex}"
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="a cat+more.png", Body=(PHOTOS / "cat.png").read_bytes())
    return name


def reading(bucket: str, action: str = "s3:GetObject") -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/*"}


def code_of(client, **s3_object: str) -> str:
    with pytest.raises(ClientError) as caught:
        client.detect_labels(Image={"S3Object": s3_object})
    return caught.value.response["Error"]["Code"]


def test_an_object_is_seen_whatever_its_key(rekognition, bucket):
    answer = rekognition.client().detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert "Cat" in {label["Name"] for label in answer["Labels"]}


def test_of_a_versioned_object_the_asked_for_version_is_seen(rekognition, emulator, bucket):
    s3 = emulator.client("s3")
    cat = s3.put_object(Bucket=bucket, Key="replaced.png", Body=(PHOTOS / "cat.png").read_bytes())
    s3.put_object(Bucket=bucket, Key="replaced.png", Body=encoded(Image.new("RGB", (200, 200))))
    newest = {"Bucket": bucket, "Name": "replaced.png"}

    def names(s3_object: dict) -> set[str]:
        answer = rekognition.client().detect_labels(Image={"S3Object": s3_object})
        return {label["Name"] for label in answer["Labels"]}

    assert names(newest) == set()
    assert "Cat" in names(newest | {"Version": cat["VersionId"]})


def test_what_is_not_there_is_an_invalid_object(rekognition, bucket):
    client = rekognition.client()

    assert code_of(client, Bucket=bucket, Name="missing.png") == "InvalidS3ObjectException"
    assert code_of(client, Bucket="no-such-bucket", Name="cat.png") == "InvalidS3ObjectException"
    assert code_of(client, Bucket=bucket, Name="a cat+more.png", Version="none") == "InvalidS3ObjectException"


def test_an_object_in_another_region_is_an_invalid_object(rekognition, bucket):
    client = rekognition.client(region="eu-west-1")

    assert code_of(client, Bucket=bucket, Name="a cat+more.png") == "InvalidS3ObjectException"


def test_an_object_above_15_mib_is_too_large(rekognition, emulator, bucket):
    limit = 15 * 1024 * 1024
    picture = encoded(Image.new("RGB", (200, 200)))
    s3 = emulator.client("s3")
    s3.put_object(Bucket=bucket, Key="limit.png", Body=picture.ljust(limit, b"\0"))
    s3.put_object(Bucket=bucket, Key="above.png", Body=picture.ljust(limit + 1, b"\0"))
    client = rekognition.client()

    assert client.detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": "limit.png"}})["Labels"] == []
    assert code_of(client, Bucket=bucket, Name="above.png") == "ImageTooLargeException"


@pytest.mark.parametrize("version", [False, True])
def test_a_function_reads_what_its_role_allows(rekognition, emulator, bucket, version):
    newest = emulator.client("s3").head_object(Bucket=bucket, Key="a cat+more.png")["VersionId"]
    action = "s3:GetObjectVersion" if version else "s3:GetObject"
    function = emulator.function(CALLING, Role=emulator.role(DETECT, reading(bucket, action)), Timeout=60)
    s3_object = {"Bucket": bucket, "Name": "a cat+more.png"} | ({"Version": newest} if version else {})

    labels = emulator.invoke(function, {"url": rekognition.url, "object": s3_object})

    assert "Cat" in labels


def test_a_function_whose_role_may_not_read_the_object_has_an_invalid_object(rekognition, emulator, bucket):
    function = emulator.function(CALLING, Role=emulator.role(DETECT, reading("another-bucket")), Timeout=60)

    error = emulator.invoke(function, {"url": rekognition.url, "object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert error["errorType"] == "InvalidS3ObjectException"


def test_a_function_whose_role_may_not_call_rekognition_is_denied(rekognition, emulator, bucket):
    function = emulator.function(CALLING, Role=emulator.role(reading(bucket)), Timeout=60)

    error = emulator.invoke(function, {"url": rekognition.url, "object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert error["errorType"] == "AccessDeniedException"
    assert "rekognition:DetectLabels" in error["errorMessage"]


def test_a_user_does_what_the_users_policies_allow(rekognition, emulator, bucket):
    iam = emulator.client("iam")
    user = iam.create_user(UserName=f"user-{uuid4().hex}")["User"]["UserName"]
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    client = rekognition.client(key)
    cat = {"Bucket": bucket, "Name": "a cat+more.png"}

    assert code_of(client, **cat) == "AccessDeniedException"
    iam.put_user_policy(UserName=user, PolicyName="call", PolicyDocument=policy(DETECT))
    assert code_of(client, **cat) == "InvalidS3ObjectException"
    iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=policy(reading(bucket)))
    assert client.detect_labels(Image={"S3Object": cat})["Labels"] != []


def test_keys_that_nobody_has_are_refused(rekognition, emulator, bucket):
    role = emulator.role(DETECT, reading(bucket))
    session = emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]

    for key in ("AKIAIOSFODNN7EXAMPLE", session["AccessKeyId"]):
        assert code_of(rekognition.client(key), Bucket=bucket, Name="a cat+more.png") == "UnrecognizedClientException"

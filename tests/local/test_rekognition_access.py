"""Images in the emulator's S3, which the stand-in reads with its caller's permissions."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.local.emulated import Emulated
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
    """A bucket with a photo of a cat."""
    name = f"pictures-{uuid4().hex}"
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a cat+more.png", Body=(PHOTOS / "cat.png").read_bytes())
    return name


def reading(bucket: str) -> dict:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}


def code_of(client, **s3_object: str) -> str:
    with pytest.raises(ClientError) as caught:
        client.detect_labels(Image={"S3Object": s3_object})
    return caught.value.response["Error"]["Code"]


def test_an_object_is_read_whatever_its_key(rekognition, bucket):
    answer = rekognition.client().detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert "Cat" in {label["Name"] for label in answer["Labels"]}


def test_a_missing_object_is_an_invalid_object(rekognition, bucket):
    client = rekognition.client()

    assert code_of(client, Bucket=bucket, Name="missing.png") == "InvalidS3ObjectException"
    assert code_of(client, Bucket="no-such-bucket", Name="cat.png") == "InvalidS3ObjectException"


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


def test_a_function_can_use_what_its_role_allows(rekognition, emulator, bucket):
    function = emulator.function(CALLING, Role=emulator.role(DETECT, reading(bucket)), Timeout=60)

    labels = emulator.invoke(function, {"url": rekognition.url, "object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert "Cat" in labels


def test_an_object_that_the_role_cannot_read_is_invalid(rekognition, emulator, bucket):
    function = emulator.function(CALLING, Role=emulator.role(DETECT, reading("another-bucket")), Timeout=60)

    error = emulator.invoke(function, {"url": rekognition.url, "object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert error["errorType"] == "InvalidS3ObjectException"


def test_a_role_without_rekognition_is_denied(rekognition, emulator, bucket):
    function = emulator.function(CALLING, Role=emulator.role(reading(bucket)), Timeout=60)

    error = emulator.invoke(function, {"url": rekognition.url, "object": {"Bucket": bucket, "Name": "a cat+more.png"}})

    assert error["errorType"] == "AccessDeniedException"
    assert "rekognition:DetectLabels" in error["errorMessage"]


def test_an_unknown_access_key_is_refused(rekognition, bucket):
    client = rekognition.client("AKIAIOSFODNN7EXAMPLE")

    assert code_of(client, Bucket=bucket, Name="a cat+more.png") == "UnrecognizedClientException"

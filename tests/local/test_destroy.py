"""`make destroy`, on a stack of the emulator's CloudFormation. tests/deployment has what needs no SAM CLI."""

import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from tests.local.emulated import REPOSITORY, Emulated

TEMPLATE = {
    "Resources": {
        "Uploads": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
        },
        "Thumbnails": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "RetainExceptOnCreate"},
        "Images": {
            "Type": "AWS::DynamoDB::Table",
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {
                "AttributeDefinitions": [{"AttributeName": "ImageKey", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "DeletionProtectionEnabled": True,
                "KeySchema": [{"AttributeName": "ImageKey", "KeyType": "HASH"}],
            },
        },
    },
}


def create(emulator: Emulated) -> str:
    """The name of a new stack whose buckets have objects, and which has no outputs, as if it was rolled back."""
    name = f"stack-{uuid4().hex}"
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    s3 = emulator.client("s3")
    for bucket in retained(emulator, name, "AWS::S3::Bucket"):
        for key in ("replaced.jpg", "replaced.jpg", "deleted.jpg"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"image")
        s3.delete_object(Bucket=bucket, Key="deleted.jpg")
    return name


def retained(emulator: Emulated, name: str, *types: str) -> set[str]:
    """The names of the stack's buckets and of its table."""
    types = types or ("AWS::S3::Bucket", "AWS::DynamoDB::Table")
    summaries = emulator.client("cloudformation").list_stack_resources(StackName=name)["StackResourceSummaries"]
    return {summary["PhysicalResourceId"] for summary in summaries if summary["ResourceType"] in types}


def existing(emulator: Emulated) -> set[str]:
    """The names of all buckets and tables."""
    buckets = {bucket["Name"] for bucket in emulator.client("s3").list_buckets()["Buckets"]}
    return buckets | {*emulator.client("dynamodb").list_tables()["TableNames"]}


@pytest.mark.parametrize("arguments", [["--yes"], []], ids=["--yes", "typed"])
def test_the_stack_is_deleted_with_its_table_and_buckets(emulator: Emulated, arguments: list[str]):
    name = create(emulator)
    gone = retained(emulator, name)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

    result = subprocess.run(
        [sys.executable, "-m", "deployment.destroy", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **keys, "AWS_ENDPOINT_URL": emulator.url, "IMAGE_PIPELINE_STACK": name},
        input="" if arguments else f"{name}\n",
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert not gone & existing(emulator)

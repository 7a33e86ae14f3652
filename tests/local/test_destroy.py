"""`make destroy`, on a stack of the emulator's CloudFormation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

REPOSITORY = Path(__file__).parents[2]

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


@pytest.fixture
def stack_name(emulator):
    return create(emulator)


@pytest.fixture(scope="module")
def kept_stack_name(emulator):
    """For tests that delete nothing."""
    return create(emulator)


def create(emulator):
    """A stack with a versioned bucket and a plain one, both with objects; and without outputs, as if rolled back."""
    name = f"stack-{uuid4().hex}"
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    s3 = emulator.client("s3")
    for bucket in resources(emulator, name, "AWS::S3::Bucket"):
        for key in ("replaced.jpg", "replaced.jpg", "deleted.jpg"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"image")
        s3.delete_object(Bucket=bucket, Key="deleted.jpg")
    return name


def resources(emulator, name, *types):
    summaries = emulator.client("cloudformation").list_stack_resources(StackName=name)["StackResourceSummaries"]
    return {summary["PhysicalResourceId"] for summary in summaries if summary["ResourceType"] in types}


def data(emulator, name):
    """The names of the stack's buckets and its table."""
    return resources(emulator, name, "AWS::S3::Bucket", "AWS::DynamoDB::Table")


def existing(emulator):
    """The names of all buckets and tables."""
    buckets = {bucket["Name"] for bucket in emulator.client("s3").list_buckets()["Buckets"]}
    return buckets | {*emulator.client("dynamodb").list_tables()["TableNames"]}


def destroy(emulator, name, *arguments, answer=""):
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    return subprocess.run(
        [sys.executable, "-m", "deployment.destroy", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **keys, "AWS_ENDPOINT_URL": emulator.url, "IMAGE_PIPELINE_STACK": name},
        input=answer,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("answer", ["", "\n", "y\n", "yes\n"])
def test_nothing_is_deleted_unless_the_name_is_typed(emulator, kept_stack_name, answer):
    result = destroy(emulator, kept_stack_name, answer=answer)

    assert result.returncode == 1
    assert "Nothing was deleted" in result.stdout
    buckets = resources(emulator, kept_stack_name, "AWS::S3::Bucket")
    for named in (kept_stack_name, emulator.url, *buckets):
        assert named in result.stdout
    for bucket in buckets:
        assert emulator.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.parametrize("mistyped", [["--stack", "another"], ["--stack-nam=another"], ["another"]])
def test_unknown_options_are_refused(emulator, kept_stack_name, mistyped):
    result = destroy(emulator, kept_stack_name, "--yes", *mistyped)

    assert result.returncode == 2
    assert "another" in result.stderr
    assert data(emulator, kept_stack_name) <= existing(emulator)


def test_a_stack_that_does_not_exist_is_named(emulator):
    result = destroy(emulator, "no-such-stack")

    assert result.returncode == 2
    assert 'stack "no-such-stack" does not exist' in result.stderr


@pytest.mark.parametrize("arguments", [["--yes"], []], ids=["--yes", "typed"])
def test_the_stack_goes_with_its_table_and_buckets(emulator, stack_name, arguments):
    gone = data(emulator, stack_name)

    result = destroy(emulator, stack_name, *arguments, answer="" if arguments else f"{stack_name}\n")

    assert result.returncode == 0, result.stdout + result.stderr
    assert not gone & existing(emulator)


def test_without_it_the_data_survives_the_stack(emulator, stack_name):
    kept = data(emulator, stack_name)
    cloudformation = emulator.client("cloudformation")

    cloudformation.delete_stack(StackName=stack_name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack_name, WaiterConfig={"Delay": 1})

    assert kept <= existing(emulator)

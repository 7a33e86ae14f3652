from functools import cache

import boto3
import pytest
from moto import mock_aws

from tests.functions.deployed import (
    IMAGES_TABLE,
    INDEX_TABLE,
    SETTINGS,
    THUMBNAILS_BUCKET,
    UPLOADS_BUCKET,
    new_execution_environment,
)
from tests.template.stack import source

TABLES = {IMAGES_TABLE: "ImagesTable", INDEX_TABLE: "IndexTable"}
TAKEN = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")

aws = cache(boto3.client)  # making a client takes as long as most tests


@pytest.fixture(autouse=True)
def deployed(monkeypatch):
    """The stack's buckets and table in memory, and a cold function with all its settings."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    new_execution_environment()
    # A session reads the services' models once; a new one for every test takes ten times as long as the test.
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        for bucket in (UPLOADS_BUCKET, THUMBNAILS_BUCKET):
            aws("s3").create_bucket(Bucket=bucket)
        for name, logical in TABLES.items():
            properties = source()["Resources"][logical]["Properties"]
            aws("dynamodb").create_table(TableName=name, **{p: properties[p] for p in TAKEN if p in properties})
        yield
    new_execution_environment()


@pytest.fixture
def setting(monkeypatch):
    """Deploy with another value of a setting, or with None without it: `setting("MAX_PIXELS", "10000")`."""

    def deploy_with(name, value):
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    return deploy_with

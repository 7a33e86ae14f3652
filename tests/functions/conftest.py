import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models.table import Table
from moto.s3.models import FakeBucket

from tests.functions.deployed import (
    EXECUTIONS_TABLE,
    IMAGES_TABLE,
    INDEX_TABLE,
    SETTINGS,
    THUMBNAILS_BUCKET,
    UPLOADS_BUCKET,
    new_execution_environment,
)
from tests.template.stack import source

TABLES = {IMAGES_TABLE: "ImagesTable", INDEX_TABLE: "IndexTable", EXECUTIONS_TABLE: "ExecutionsTable"}
REGION = "us-east-1"


@pytest.fixture(autouse=True)
def deployed(monkeypatch):
    """The stack's buckets and table in memory, and a cold function with all its settings."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    new_execution_environment()
    # A session reads the services' models once; a new one for every test takes ten times as long as the test.
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        # As moto's CloudFormation creates them, without requests, which take longer than most tests.
        for bucket in (UPLOADS_BUCKET, THUMBNAILS_BUCKET):
            FakeBucket.create_from_cloudformation_json(bucket, {}, DEFAULT_ACCOUNT_ID, REGION)
        for name, logical in TABLES.items():
            Table.create_from_cloudformation_json(name, source()["Resources"][logical], DEFAULT_ACCOUNT_ID, REGION)
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

"""A function's role allows what the function does, and nothing beside: the emulator enforces IAM as AWS does."""

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.xdist_group("deployed")

REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403"}


class Role:
    """What someone with a function's credentials can do."""

    def __init__(self, deployed, function: str) -> None:
        functions = deployed.stack.client("lambda").list_functions()["Functions"]
        arn = next(f["Role"] for f in functions if function in f["FunctionName"])
        credentials = deployed.stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        self._session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region_name="us-east-1",
        )
        self._endpoint = deployed.stack.endpoint

    def may(self, service: str, operation: str, **arguments: object) -> bool:
        try:
            getattr(self._session.client(service, endpoint_url=self._endpoint), operation)(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in REFUSED:
                return False
            raise
        return True


@pytest.fixture
def uploaded(deployed, photo) -> dict:
    return deployed.process("uploads/private.jpg", photo)


def test_validate_reads_uploads_and_writes_nowhere(deployed, uploaded):
    role = Role(deployed, "ValidateFunction")
    uploads, thumbnails = deployed.outputs["UploadsBucket"], deployed.outputs["ThumbnailsBucket"]

    assert role.may("s3", "get_object", Bucket=uploads, Key="uploads/private.jpg")
    assert not role.may("s3", "get_object", Bucket=uploads, Key="elsewhere/private.jpg")
    assert not role.may("s3", "put_object", Bucket=uploads, Key="uploads/private.jpg", Body=b"")
    assert not role.may("s3", "delete_object", Bucket=uploads, Key="uploads/private.jpg")
    assert not role.may("s3", "put_object", Bucket=thumbnails, Key="x", Body=b"")
    assert not role.may("dynamodb", "scan", TableName=deployed.outputs["ImagesTable"])


def test_thumbnails_writes_renditions_but_can_neither_read_nor_delete_them(deployed, uploaded):
    role = Role(deployed, "ThumbnailsFunction")
    bucket, key = deployed.outputs["ThumbnailsBucket"], uploaded["Renditions"]["small"]["Key"]

    assert role.may("s3", "put_object", Bucket=bucket, Key="probe", Body=b"")
    assert not role.may("s3", "get_object", Bucket=bucket, Key=key)
    assert not role.may("s3", "delete_object", Bucket=bucket, Key=key)
    assert not role.may("s3", "put_object", Bucket=deployed.outputs["UploadsBucket"], Key="uploads/loop.jpg", Body=b"")
    deployed.s3.delete_object(Bucket=bucket, Key="probe")


def test_metadata_reads_renditions_and_no_originals(deployed, uploaded):
    role = Role(deployed, "MetadataFunction")

    key = uploaded["Renditions"]["small"]["Key"]
    assert role.may("s3", "get_object", Bucket=deployed.outputs["ThumbnailsBucket"], Key=key)
    assert not role.may("s3", "get_object", Bucket=deployed.outputs["UploadsBucket"], Key="uploads/private.jpg")
    assert not role.may("dynamodb", "scan", TableName=deployed.outputs["ImagesTable"])


def test_status_reads_one_record_at_a_time(deployed, uploaded):
    role, table = Role(deployed, "StatusFunction"), deployed.outputs["ImagesTable"]

    assert role.may("dynamodb", "get_item", TableName=table, Key={"ImageKey": {"S": "uploads/private.jpg"}})
    assert not role.may("dynamodb", "scan", TableName=table)
    assert not role.may("dynamodb", "put_item", TableName=table, Item={"ImageKey": {"S": "x"}})
    assert not role.may("s3", "list_objects_v2", Bucket=deployed.outputs["UploadsBucket"])


def test_index_reads_records_and_writes_entries_alone(deployed, uploaded):
    role, key = Role(deployed, "IndexFunction"), {"ImageKey": {"S": "uploads/private.jpg"}}
    images, index = deployed.outputs["ImagesTable"], deployed.outputs["IndexTable"]

    assert role.may("dynamodb", "batch_get_item", RequestItems={images: {"Keys": [key]}})
    assert not role.may("dynamodb", "put_item", TableName=images, Item=key)
    assert not role.may("dynamodb", "delete_item", TableName=images, Key=key)
    assert not role.may("dynamodb", "scan", TableName=images)
    assert not role.may("dynamodb", "scan", TableName=index)


@pytest.mark.parametrize("function", ["StoreFunction", "CleanupFunction"])
def test_renditions_are_listed_and_removed_upload_by_upload(deployed, uploaded, function):
    role, bucket = Role(deployed, function), deployed.outputs["ThumbnailsBucket"]
    prefix = uploaded["Renditions"]["small"]["Key"].split("/")[0]

    assert role.may("s3", "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/")
    assert not role.may("s3", "list_objects_v2", Bucket=bucket)
    assert not role.may("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix[:2])
    assert not role.may("s3", "get_object", Bucket=bucket, Key=uploaded["Renditions"]["small"]["Key"])

"""What a deployed role refuses. tests/template/test_permissions.py has what each role allows.

The emulator enforces IAM as AWS does.
"""

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.xdist_group("deployed")

REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403"}


class Role:
    """What someone with a function's credentials can do."""

    def __init__(self, deployed, function: str) -> None:
        client = deployed.stack.client("lambda")
        arn = client.get_function_configuration(FunctionName=deployed.function(function))["Role"]
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


def test_validate_reads_uploads_and_writes_nowhere(deployed, photo, key):
    deployed.process(key, photo)
    role = Role(deployed, "ValidateFunction")
    uploads, thumbnails = deployed.outputs["UploadsBucket"], deployed.outputs["ThumbnailsBucket"]

    assert role.may("s3", "get_object", Bucket=uploads, Key=key)
    assert not role.may("s3", "get_object", Bucket=uploads, Key="elsewhere/photo.jpg")
    assert not role.may("s3", "put_object", Bucket=uploads, Key=key, Body=b"")
    assert not role.may("s3", "delete_object", Bucket=uploads, Key=key)
    assert not role.may("s3", "put_object", Bucket=thumbnails, Key="x", Body=b"")
    assert not role.may("dynamodb", "scan", TableName=deployed.outputs["ImagesTable"])


@pytest.mark.parametrize("function", ["StoreFunction", "CleanupFunction"])
def test_renditions_are_listed_and_removed_upload_by_upload(deployed, photo, key, function):
    rendition = deployed.process(key, photo)["Renditions"]["small"]["Key"]
    prefix = rendition.split("/")[0]
    role, bucket = Role(deployed, function), deployed.outputs["ThumbnailsBucket"]

    assert role.may("s3", "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/")
    assert not role.may("s3", "list_objects_v2", Bucket=bucket)
    assert not role.may("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix[:2])
    assert not role.may("s3", "get_object", Bucket=bucket, Key=rendition)

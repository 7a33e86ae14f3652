"""The resources of a stack, and a stand-in for the pipeline that answers uploads with records."""

import threading
from collections.abc import Callable
from itertools import count

from boto3.dynamodb.types import TypeSerializer

from client.stack import Stack

STACK_NAME = "photos"
REGION = "eu-west-1"

STACK_TEMPLATE = """
Resources:
  Uploads: {Type: AWS::S3::Bucket}
  Images:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: ImageKey, AttributeType: S}]
      KeySchema: [{AttributeName: ImageKey, KeyType: HASH}]
Outputs:
  UploadsBucket: {Value: !Ref Uploads}
  ImagesTable: {Value: !Ref Images}
"""

RENDITIONS = {"small": {"Key": "1f/A1/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 3210}}


class PipelineStandIn:
    """Sees new objects as S3's events would show them, and writes the records that a test asks for."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.answers: dict[str, Callable[[], list[dict]]] = {}  # by key: the records to write; none is silence
        self._sequencers = count(0x100)
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "PipelineStandIn":
        # The same bytes sent twice are two uploads, to S3's events and, by their versions, to the stand-in.
        self.stack.s3.put_bucket_versioning(
            Bucket=self.stack.uploads_bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def stored_keys(self) -> set[str]:
        """What the bucket holds."""
        pages = self.stack.s3.get_paginator("list_objects_v2").paginate(Bucket=self.stack.uploads_bucket)
        return {stored["Key"] for page in pages for stored in page.get("Contents", [])}

    def write(self, key: str, **attributes: object) -> None:
        """Put one record."""
        record = {"ImageKey": key, "Status": "COMPLETED", **attributes}
        serialize = TypeSerializer().serialize
        item = {name: serialize(value) for name, value in record.items()}
        self.stack.dynamodb.put_item(TableName=self.stack.outputs["ImagesTable"], Item=item)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            pages = self.stack.s3.get_paginator("list_object_versions").paginate(Bucket=self.stack.uploads_bucket)
            for version in (version for page in pages for version in page.get("Versions", [])):
                if version["VersionId"] not in self._seen:
                    self._seen.add(version["VersionId"])
                    self._answer(version)

    def _answer(self, version: dict) -> None:
        about = {
            "Sequencer": f"{next(self._sequencers):018X}".ljust(64, "0"),
            "ETag": version["ETag"].strip('"'),
            "Bytes": version["Size"],
        }
        answer = self.answers.get(version["Key"], completed)
        for attributes in answer():
            self.write(version["Key"], **about | attributes)


def completed() -> list[dict]:
    """The answer to a good photo."""
    return [{"Renditions": RENDITIONS, "Labels": []}]


def silence() -> list[dict]:
    """The answer that never comes."""
    return []

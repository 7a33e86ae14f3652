"""A minimal stack, and stand-ins: a pipeline that records uploads, and state machines that process events."""

import json
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from boto3.dynamodb.types import TypeSerializer
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.s3.models import FakeKey, S3Backend
from moto.stepfunctions.models import Execution, stepfunctions_backends

from cli.events import Event, sequencer_of
from cli.stack import Stack
from imagepipeline import lists

STACK_NAME = "photos"
REGION = "eu-west-1"

STACK_TEMPLATE = """
Parameters:
  ApiAuthorization: {Type: String, Default: NONE}
  DetectLabels: {Type: String, Default: 'true'}
  Renditions: {Type: String, Default: 'small=100x100 wide=90x40:cover:webp'}
Resources:
  Topic: {Type: AWS::SNS::Topic}
  Uploads: {Type: AWS::S3::Bucket}
  Thumbnails: {Type: AWS::S3::Bucket}
  Queue: {Type: AWS::SQS::Queue}
  Paused: {Type: AWS::SQS::Queue}
  Pipeline:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: arn:aws:iam::123456789012:role/none
      DefinitionString: '{}'
  Housekeeping:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: arn:aws:iam::123456789012:role/none
      DefinitionString: '{}'
  Reprocess:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: arn:aws:iam::123456789012:role/none
      DefinitionString: '{}'
  Uploaded:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.s3]}
      Targets: [{Id: Pipeline, Arn: !Ref Pipeline, RoleArn: 'arn:aws:iam::123456789012:role/rules'}]
  Images:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - {AttributeName: ImageKey, AttributeType: S}
        - {AttributeName: Status, AttributeType: S}
        - {AttributeName: ReceivedAt, AttributeType: S}
      KeySchema: [{AttributeName: ImageKey, KeyType: HASH}]
      GlobalSecondaryIndexes:
        - IndexName: ByStatus
          KeySchema:
            - {AttributeName: Status, KeyType: HASH}
            - {AttributeName: ReceivedAt, KeyType: RANGE}
          Projection: {ProjectionType: KEYS_ONLY}
  Index:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - {AttributeName: ListName, AttributeType: S}
        - {AttributeName: Position, AttributeType: S}
      KeySchema:
        - {AttributeName: ListName, KeyType: HASH}
        - {AttributeName: Position, KeyType: RANGE}
  Unindexed:
    Type: AWS::SQS::Queue
Outputs:
  UploadsBucket: {Value: !Ref Uploads}
  ImagesTable: {Value: !Ref Images}
  IndexTable: {Value: !Ref Index}
  UnindexedChangesQueue: {Value: !Ref Unindexed}
  ThumbnailsBucket: {Value: !Ref Thumbnails}
  UndeliveredEventsQueue: {Value: !Ref Queue}
  ImagePipeline: {Value: !Ref Pipeline}
  Housekeeping: {Value: !Ref Housekeeping}
  Reprocess: {Value: !Ref Reprocess}
  UploadsRule: {Value: !Ref Uploaded}
  RulesRole: {Value: 'arn:aws:iam::123456789012:role/rules'}
  PausedUploadsQueue: {Value: !Ref Paused}
  NotificationsTopic: {Value: !Ref Topic}
  ImageStatusApiEndpoint: {Value: 'https://api.example.com'}
"""

MACHINES = ("ImagePipeline", "Housekeeping")
put_object = S3Backend.put_object
NOW = "2026-06-01T10:00:00.000Z"
RENDITIONS = {"small": {"Key": "1f/A1/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 3210}}


class PipelineStandIn:
    """Writes the records that a test specifies, as soon as an object is stored."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.answers: dict[str, Callable[[], list[dict]]] = {}  # by key: the records to write
        self._sequencers = count(0x100)

    def __enter__(self) -> "PipelineStandIn":
        # With versions, the same bytes uploaded twice are two uploads.
        self.stack.s3.put_bucket_versioning(
            Bucket=self.stack.uploads_bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        # moto completes an upload in parts by the same method.
        S3Backend.put_object = lambda *arguments, **options: self._store_and_answer(*arguments, **options)
        return self

    def __exit__(self, *_: object) -> None:
        S3Backend.put_object = put_object

    def stored_keys(self) -> set[str]:
        """The keys in the uploads bucket."""
        pages = self.stack.s3.get_paginator("list_objects_v2").paginate(Bucket=self.stack.uploads_bucket)
        return {stored["Key"] for page in pages for stored in page.get("Contents", [])}

    def write(self, key: str, **attributes: object) -> None:
        """Put one record."""
        write(self.stack, key, **attributes)

    def _store_and_answer(self, *arguments: object, **options: object) -> FakeKey:
        stored = put_object(*arguments, **options)
        if stored.bucket_name == self.stack.uploads_bucket:
            self._answer(stored)
        return stored

    def _answer(self, stored: FakeKey) -> None:
        about = {
            "Sequencer": f"{next(self._sequencers):018X}".ljust(64, "0"),
            "ETag": stored.etag.strip('"'),
            "Bytes": stored.size,
        }
        answer = self.answers.get(stored.name, completed)
        for attributes in answer():
            self.write(stored.name, **about | attributes)


class StateMachinesStandIn:
    """Ends the executions that moto only starts, and writes the records that the state machines would write."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.answers: dict[str, dict | None] = {}  # by key: the record's attributes; None leaves it running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "StateMachinesStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def started(self, machine: str = "ImagePipeline") -> list[dict]:
        """The events of all executions, oldest first."""
        return [json.loads(execution.execution_input) for execution in self.executions(machine)]

    def running(self) -> int:
        return sum(execution.status == "RUNNING" for execution in self.executions("ImagePipeline"))

    def start(self, machine: str, event: dict) -> str:
        """Start an execution as EventBridge would; returns its ARN."""
        answer = self.stack.stepfunctions.start_execution(
            stateMachineArn=self.stack.outputs[machine], input=json.dumps(event)
        )
        return answer["executionArn"]

    def end(self, arn: str, status: str) -> None:
        """End an execution with a status."""
        [execution] = [e for machine in MACHINES for e in self.executions(machine) if e.execution_arn == arn]
        execution.status, execution.stop_date = status, utcnow()

    def executions(self, machine: str) -> list[Execution]:
        """All executions, oldest first."""
        backend = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION]
        return list(backend.describe_state_machine(self.stack.outputs[machine]).executions)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for machine in MACHINES:
                for execution in self.executions(machine):
                    if execution.status == "RUNNING":
                        self._answer(machine, execution)

    def _answer(self, machine: str, execution: Execution) -> None:
        event = Event.parse(execution.execution_input)
        answer = self.answers.get(event.key, {"Renditions": RENDITIONS, "Labels": []})
        if answer is None:
            return
        if machine == "Housekeeping":
            if self.stack.head(event.key) is None:
                key = {"ImageKey": {"S": event.key}}
                self.stack.dynamodb.delete_item(TableName=self.stack.outputs["ImagesTable"], Key=key)
        elif decision := event.document.get("Decision"):
            self._decide(execution, event, decision["Action"])
        elif sequencer_of(self.stack.records([event.key]).get(event.key)) < event.sequencer:
            about = {"Sequencer": event.sequencer, "ExecutionArn": execution.execution_arn}
            if answer.get("Status", "COMPLETED") != "COMPLETED":  # only a failure notice is recorded
                about["AnnouncedAt"] = NOW
            write(self.stack, event.key, **about | answer)
        execution.status, execution.stop_date = "SUCCEEDED", utcnow()

    def _decide(self, execution: Execution, event: Event, action: str) -> None:
        record = self.stack.records([event.key]).get(event.key, {})
        if (record.get("Status"), record.get("Sequencer")) != ("HELD", event.sequencer):
            return
        record |= {"ExecutionArn": execution.execution_arn}
        if action == "RELEASE":
            decided = {"Status": "COMPLETED"}
        else:
            error = {"Name": "RejectedByModerator", "Message": "a moderator rejected the image"}
            decided = {"Status": "REJECTED", "Error": error, "AnnouncedAt": NOW}
        write(self.stack, event.key, **record | decided)


def write(stack: Stack, key: str, **attributes: object) -> None:
    """Put one record, and its entries in the index table."""
    earlier = stack.records([key], consistent=True).values()
    record = {"ImageKey": key, "Status": "COMPLETED", "ReceivedAt": NOW, **attributes}
    serialize = TypeSerializer().serialize
    item = {name: serialize(value) for name, value in record.items()}
    written, removed = lists.changes(earlier, record)
    entries = [{"PutRequest": {"Item": entry.item}} for entry in written]
    entries += [{"DeleteRequest": {"Key": entry.key}} for entry in removed]
    writes = {stack.outputs["ImagesTable"]: [{"PutRequest": {"Item": item}}], stack.outputs["IndexTable"]: entries}
    stack.dynamodb.batch_write_item(RequestItems={table: requests for table, requests in writes.items() if requests})


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def completed() -> list[dict]:
    """The records of an image that is completed."""
    return [{"Renditions": RENDITIONS, "Labels": []}]


def silence() -> list[dict]:
    """The records of an image that is never processed."""
    return []


def samconfig(folder: Path, section: str = "global", environment: str = "default", **parameters: str) -> None:
    """Write a samconfig.toml with these parameters of one command in one environment."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'{name} = "{value}"' for name, value in parameters.items()]
    text = "\n".join(["version = 0.1", f"[{environment}.{section}.parameters]", *lines])
    (folder / "samconfig.toml").write_text(text)

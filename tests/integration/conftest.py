"""The template, deployed once to the local run for all tests of this folder, and its interfaces."""

import io
import json
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
from PIL import Image

from cli.main import main
from imagepipeline import lists
from imagepipeline.executions import OVERDUE_AFTER
from imagepipeline.items import from_item
from imagepipeline.keys import renditions_prefix
from local.faults import Faults
from local.inbox import Mail
from local.stack import LocalStack
from tests.event_schema import require_valid

PHOTOS = Path(__file__).parents[2] / "local" / "photos"
PARAMETERS = {"DetectFaces": "true", "Moderation": "record", "MonthlyBudget": "100"}  # of the stack
Command = Callable[..., tuple[int, list[dict]]]

PATIENCE = int(os.environ.get("TEST_PATIENCE", "60"))  # seconds; an image takes less than one on an idle machine


class Deployed:
    """A deployed pipeline, through the interfaces of its users."""

    def __init__(self, stack: LocalStack, wait_scale: float = 1) -> None:
        """`wait_scale` is by how much the state machines' time runs faster."""
        self.stack = stack
        self.wait_scale = wait_scale
        self.outputs = stack.outputs
        self.s3 = stack.client("s3")
        self.table = stack.client("dynamodb")
        self.executions = stack.client("stepfunctions")
        self.queues = stack.client("sqs")
        self.queue = self.subscribed_queue("events", "NotificationsTopic")
        self.received: list[dict] = []  # events read from the queue

    def put(self, key: str, body: bytes) -> None:
        """Upload without waiting for the pipeline."""
        self.s3.put_object(Bucket=self.outputs["UploadsBucket"], Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.outputs["UploadsBucket"], Key=key)

    def process(self, key: str, body: bytes) -> dict:
        """Upload, and return the record after the execution that processed the upload has ended."""
        before = self.record(key) or {}
        self.put(key, body)

        def processed() -> dict | None:
            record = self.record(key)
            if record is None or record["Sequencer"] == before.get("Sequencer") or record["Status"] == "PROCESSING":
                return None
            execution = self.executions.describe_execution(executionArn=record["ExecutionArn"])
            return None if execution["status"] == "RUNNING" else self.record(key)

        return self.eventually(processed)

    def record(self, key: str) -> dict | None:
        answer = self.table.get_item(
            TableName=self.outputs["ImagesTable"], Key={"ImageKey": {"S": key}}, ConsistentRead=True
        )
        return from_item(answer["Item"]) if "Item" in answer else None

    def renditions(self, record: dict) -> dict[str, Image.Image]:
        """The renditions that a record names, as images by name."""
        return {
            name: Image.open(io.BytesIO(self.rendition(rendition["Key"])))
            for name, rendition in record["Renditions"].items()
        }

    def rendition(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.outputs["ThumbnailsBucket"], Key=key)["Body"].read()

    def rendition_keys(self) -> set[str]:
        """The keys of all renditions of all uploads."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.outputs["ThumbnailsBucket"])
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    def renditions_of(self, key: str) -> set[str]:
        """The keys of all renditions of an upload, and of those that it replaced."""
        return {found for found in self.rendition_keys() if found.startswith(renditions_prefix(key))}

    def mails(self, key: str) -> list[Mail]:
        """The notifications about an upload."""
        return [mail for mail in self.stack.mails() if mail.attributes["imageId"] == key]

    def events(self, key: str) -> list[dict]:
        """The events about an upload, as a subscribed queue receives them."""
        while messages := self.queues.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.received.append(json.loads(message["Body"]))
                self.queues.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in self.received if event["Record"]["ImageKey"] == key]

    def status(self, path: str) -> tuple[int, dict]:
        """The HTTP status and the body of GET <API>/<path>."""
        request = urllib.request.Request(f"{self.outputs['ImageStatusApiEndpoint']}/{path}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def status_of(self, key: str) -> tuple[int, dict]:
        """The status API's response for a key, which is encoded twice because an HTTP API decodes the path twice."""
        return self.status(f"images/{quote(quote(key))}/status")

    def index_problems(self, prefix: str) -> list[str]:
        """How the index table differs from what the records of these images say."""
        client, tables = self.table, self.outputs
        scan = client.get_paginator("scan").paginate
        items = [item for page in scan(TableName=tables["ImagesTable"]) for item in page["Items"]]
        expected = {e for item in items for e in lists.entries(from_item(item)) if e.image_key.startswith(prefix)}
        found = {
            lists.Entry(
                item["ListName"]["S"],
                item["Position"]["S"],
                item["ImageKey"]["S"],
                float(item["Confidence"]["N"]) if "Confidence" in item else None,
            )
            for page in scan(TableName=tables["IndexTable"])
            for item in page["Items"]
            if item["ImageKey"]["S"].startswith(prefix)
        }
        return [f"missing: {e}" for e in sorted(expected - found)] + [
            f"unfounded: {e}" for e in sorted(found - expected)
        ]

    def indexed(self, prefix: str) -> None:
        """Wait until the index table has what the records say."""
        self.eventually(lambda: not self.index_problems(prefix))

    def history(self, execution_arn: str) -> list[str]:
        """The states that an execution has entered, in order."""
        pages = self.executions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]

    @property
    def is_express(self) -> bool:
        """Whether ImagePipeline is an Express workflow, whose executions Step Functions says nothing about."""
        return "ExecutionsTable" in self.outputs

    def registered(self, key: str = "") -> list[dict]:
        """The inputs of Express executions that have not succeeded yet: all of them, or those of a key."""
        items = self.table.scan(TableName=self.outputs["ExecutionsTable"], ConsistentRead=True)["Items"]
        inputs = [json.loads(item["Input"]["S"]) for item in items]
        return [found for found in inputs if key in ("", found["detail"]["object"]["key"])]

    def sweep(self) -> dict:
        """Do what a schedule does every few minutes. Returns what the function found."""
        payload = json.dumps({"OverdueAfterSeconds": self.wait_scale * OVERDUE_AFTER.total_seconds()})
        answer = self.stack.client("lambda").invoke(FunctionName=self.function("SweepFunction"), Payload=payload)
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.load(answer["Payload"])

    def requests(self) -> Counter[str]:
        """How often each action was called so far, as IAM policies name it."""
        with urllib.request.urlopen(f"{self.stack.endpoint}/_local/usage", timeout=30) as answer:
            return sum(map(Counter, json.load(answer).values()), Counter())

    def function(self, name: str) -> str:
        """The name of a deployed function."""
        found = self.stack.client("lambda").list_functions()["Functions"]
        return next(function["FunctionName"] for function in found if name in function["FunctionName"])

    def executions_of(self, key: str, machine: str = "ImagePipeline") -> list[dict]:
        """Descriptions of all executions that the key's events have started, oldest first."""
        listed = self.executions.list_executions(stateMachineArn=self.outputs[machine])["executions"]
        described = [self.executions.describe_execution(executionArn=found["executionArn"]) for found in listed]
        return sorted((found for found in described if key in found["input"]), key=lambda found: found["startDate"])

    def settled(self, key: str) -> list[dict]:
        """The key's executions of both state machines, after all of them have ended."""

        def ended() -> list[dict] | None:
            found = [*self.executions_of(key), *self.executions_of(key, "Housekeeping")]
            return None if any(execution["status"] == "RUNNING" for execution in found) else found

        return self.eventually(ended)

    def idle(self) -> None:
        """Wait until no execution of ImagePipeline is running."""
        running = {"stateMachineArn": self.outputs["ImagePipeline"], "statusFilter": "RUNNING"}
        self.eventually(lambda: not self.executions.list_executions(**running)["executions"])

    @contextmanager
    def function_setting(self, function: str, **variables: str) -> Iterator[None]:
        """Give a deployed function other environment variables within the context."""
        client = self.stack.client("lambda")
        name = self.function(function)
        before = client.get_function_configuration(FunctionName=name)["Environment"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": before["Variables"] | variables}
        )
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=name, Environment=before)

    def subscribed_queue(self, name: str, topic: str) -> str:
        """The URL of a new queue that receives the messages of a topic without SNS's envelope."""
        url = self.queues.create_queue(QueueName=name)["QueueUrl"]
        arn = self.queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]}
        self.queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        self.stack.client("sns").subscribe(
            TopicArn=self.outputs[topic],
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        return url

    @staticmethod
    def eventually[Answer](ask: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
        """The first truthy result. Fails if there is none in time."""
        deadline = time.monotonic() + patience
        while not (answer := ask()):
            assert time.monotonic() < deadline, f"the condition was not met within {patience} s"
            time.sleep(0.05)
        return answer


@pytest.fixture(scope="session")
def deployed(tmp_path_factory) -> Iterator[Deployed]:
    if running := os.environ.get("TEST_STACK"):  # the state directory of a run that tests.permissions has changed
        yield Deployed(LocalStack(Path(running)))
        return
    with ExitStack() as ends:
        with pytest.MonkeyPatch.context() as environment:
            # Shortens the waits and retry delays of the state machines.
            environment.setenv("SFN_WAIT_SCALE", "0.01")
            folder = tmp_path_factory.mktemp("integration")
            stack = ends.enter_context(LocalStack(folder, parameters=PARAMETERS))
        deployed = Deployed(stack)
        yield deployed
        deployed.events("")
        assert deployed.received
        for event in deployed.received:
            require_valid(event)


@pytest.fixture
def faults(deployed: Deployed) -> Iterator[Faults]:
    deployed.idle()  # the execution of an earlier test's upload would meet the fault instead
    yield deployed.stack.faults
    deployed.stack.faults.clear()


@pytest.fixture
def key() -> str:
    return f"uploads/{uuid4().hex}.jpg"


@pytest.fixture
def photo() -> bytes:
    return (PHOTOS / "coffee + saucer.jpg").read_bytes()


@pytest.fixture
def command(deployed, monkeypatch, capsys) -> Command:
    """Runs `image-pipeline … --json`; gives the exit status and what it printed."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in deployed.stack.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, list[dict]]:
        capsys.readouterr()
        status = main([*arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run

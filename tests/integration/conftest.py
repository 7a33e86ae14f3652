"""The template, deployed once to the local run for all tests of this folder, and its interfaces."""

import io
import json
import os
import time
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
from local.samples import PHOTOS
from local.stack import LocalStack
from tests.event_schema import require_valid
from tests.integration.clients import Client, send

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
        self._inputs: dict[str, str] = {}  # of executions, by ARN

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

    def rendition_keys(self, prefix: str = "") -> set[str]:
        """The keys of all renditions of all uploads, or of those under a prefix."""
        paginate = self.s3.get_paginator("list_objects_v2").paginate
        pages = paginate(Bucket=self.outputs["ThumbnailsBucket"], Prefix=prefix)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    def renditions_of(self, key: str) -> set[str]:
        """The keys of all renditions of an upload, and of those that it replaced."""
        return self.rendition_keys(renditions_prefix(key))

    def mails(self, key: str) -> list[Mail]:
        """The notifications about an upload."""
        return [mail for mail in self.stack.mails() if mail.attributes["imageId"] == key]

    def events(self, key: str) -> list[dict]:
        """The events about an upload, as a subscribed queue receives them."""
        while messages := self.queues.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            self.received += [json.loads(message["Body"]) for message in messages]
            handles = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]
            self.queues.delete_message_batch(QueueUrl=self.queue, Entries=handles)
        return [event for event in self.received if event["Record"]["ImageKey"] == key]

    def status(self, path: str) -> tuple[int, dict]:
        """The HTTP status and the body of GET <API>/<path>."""
        answer = send("GET", f"{self.outputs['ImageStatusApiEndpoint']}/{path}")
        return answer.status, answer.json

    def status_of(self, key: str) -> tuple[int, dict]:
        """The status API's response for a key, which is encoded twice because an HTTP API decodes the path twice."""
        return self.status(f"images/{quote(quote(key))}/status")

    def api_client(self, *actions: str) -> Client:
        """A client with the access key of a new IAM user, who is allowed these calls: "GET/images", or "*" for all."""
        iam, name = self.stack.client("iam"), f"user-{uuid4().hex}"
        iam.create_user(UserName=name)
        resources = [f"arn:aws:execute-api:us-east-1:*:*/*/{action}" for action in actions]
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
        if actions:
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="calls", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Client(self.outputs["ImageStatusApiEndpoint"], (key["AccessKeyId"], key["SecretAccessKey"]))

    def processed(self, client: Client, status_url: str) -> dict:
        """The record that the API returns after the pipeline has processed an upload of the client."""

        def is_processed() -> bool:
            status = send("GET", status_url)
            return status.status == 200 and status.json["Status"] != "PROCESSING"

        self.eventually(is_processed)
        return client.call("GET /images", status_url.partition("?")[2]).json

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
        overdue_after = self.wait_scale * OVERDUE_AFTER.total_seconds()

        def swept() -> dict | None:
            answer = self.invoke("SweepFunction", {"OverdueAfterSeconds": overdue_after})
            # The emulator of a busy machine takes longer than the function waits for. The next sweep does the rest.
            assert answer.get("errorType") in (None, "ServiceUnavailable"), answer
            return None if "errorType" in answer else answer

        return self.eventually(swept)

    def requests(self) -> Counter[str]:
        """How often each action was called so far, as IAM policies name it."""
        usage = send("GET", f"{self.stack.endpoint}/_local/usage").json
        return sum(map(Counter, usage.values()), Counter())

    def invoke(self, function: str, payload: dict) -> dict:
        """A function's result, or the payload of its error."""
        invoke = self.stack.client("lambda").invoke
        return json.load(invoke(FunctionName=self.function(function), Payload=json.dumps(payload))["Payload"])

    def function(self, name: str) -> str:
        """The name of a deployed function."""
        found = self.stack.client("lambda").list_functions()["Functions"]
        return next(function["FunctionName"] for function in found if name in function["FunctionName"])

    def executions_of(self, key: str, machine: str = "ImagePipeline") -> list[dict]:
        """Descriptions of all executions that the key's events have started, oldest first."""
        listed = self.executions.list_executions(stateMachineArn=self.outputs[machine])["executions"]
        arns = [found["executionArn"] for found in listed if key in self._input(found["executionArn"])]
        described = [self.executions.describe_execution(executionArn=arn) for arn in arns]
        return sorted(described, key=lambda found: found["startDate"])

    def _input(self, arn: str) -> str:
        """An execution's input, which never changes: asking for all of them at every look takes seconds."""
        if arn not in self._inputs:
            self._inputs[arn] = self.executions.describe_execution(executionArn=arn)["input"]
        return self._inputs[arn]

    def settled(self, key: str) -> list[dict]:
        """The key's executions of both state machines, after all have ended, and what follows those that failed."""

        def ended() -> list[dict] | None:
            pipelines, housekeepings = self.executions_of(key), self.executions_of(key, "Housekeeping")
            bad = sum(execution["status"] in ("FAILED", "ABORTED", "TIMED_OUT") for execution in pipelines)
            running = any(execution["status"] == "RUNNING" for execution in pipelines + housekeepings)
            return pipelines + housekeepings if pipelines and not running and len(housekeepings) >= bad else None

        return self.eventually(ended)

    def idle(self) -> None:
        """Wait until no execution of ImagePipeline is running."""
        running = {"stateMachineArn": self.outputs["ImagePipeline"], "statusFilter": "RUNNING"}
        self.eventually(lambda: not self.executions.list_executions(**running)["executions"])

    @contextmanager
    def without_events(self, rule: str) -> Iterator[None]:
        """Within the context, "UploadsRule" or "DeletionsRule" starts nothing, as before there was a stack."""
        events = self.stack.client("events")
        [name] = [found["Name"] for found in events.list_rules()["Rules"] if rule in found["Name"]]
        events.disable_rule(Name=name)
        try:
            yield
        finally:
            events.enable_rule(Name=name)

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
        url, arn = self.queue_for_sns(name)
        self.stack.client("sns").subscribe(
            TopicArn=self.outputs[topic],
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        return url

    def queue_for_sns(self, name: str) -> tuple[str, str]:
        """The URL and the ARN of a new queue to which SNS can send."""
        url = self.queues.create_queue(QueueName=name)["QueueUrl"]
        arn = self.queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]}
        self.queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        return url, arn

    @staticmethod
    def eventually[Answer](ask: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
        """The first truthy result. Fails if there is none in time."""
        deadline = time.monotonic() + patience
        while not (answer := ask()):
            assert time.monotonic() < deadline, f"the condition was not met within {patience} s"
            time.sleep(0.05)
        return answer


def named(record: dict) -> set[str]:
    """The keys of the renditions that a record names."""
    return {rendition["Key"] for rendition in record.get("Renditions", {}).values()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of long listings last: with their records, the emulator takes half a second for each query.

    On a busy machine that is longer than the functions wait for DynamoDB, and the API answers 503.
    """
    items.sort(key=lambda item: item.path.name == "test_listing.py")


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
def prefix() -> str:
    return f"uploads/{uuid4().hex}/"


@pytest.fixture
def command(deployed, monkeypatch, capsys) -> Command:
    """Runs `image-pipeline … --json`; gives the exit status and what it printed."""
    return command_for(deployed, monkeypatch, capsys)


def command_for(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Command:
    """The same for another stack."""
    for name, value in deployed.stack.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, list[dict]]:
        capsys.readouterr()
        status = main([*arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run

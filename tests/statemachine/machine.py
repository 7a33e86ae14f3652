"""A state machine as it stands in statemachine/, run in this process.

MiniStack's interpreter walks the real definition; DynamoDB and SNS are moto's, called through botocore, which holds
every call against the service's model; functions and other state machines answer what a test specifies.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import uuid4

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.services import stepfunctions
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from imagepipeline import image_events, models, ordering, quarantine, records
from imagepipeline.errors import Superseded
from imagepipeline.items import from_item, to_item
from imagepipeline.models import Upload
from imagepipeline.printable import printable
from tests.template.stack import Deployment, folder_of, source

DEFINITIONS = Path(__file__).parents[2] / "statemachine"
REGION = "us-east-1"
TABLE = "images"
EXECUTIONS_TABLE = "executions"
THUMBNAILS_BUCKET = "thumbnails"


@dataclass(frozen=True)
class Fault:
    """How a task fails: the error's name and its cause, as Step Functions sees them."""

    error: str
    cause: str = ""
    response_lost: bool = False  # the call succeeded, and its response was lost


# What a task does at one attempt: answer, fail as a function does (by an exception), fail otherwise, or act.
# None leaves an AWS call to moto.
Outcome = dict | Exception | Fault | Callable[[dict], dict] | None


@dataclass(frozen=True)
class Call:
    """One attempt of a task: the function's name or `service:action`, and what was sent."""

    task: str
    arguments: dict


@dataclass(frozen=True)
class Execution:
    """One execution that has ended."""

    arn: str
    status: str  # "SUCCEEDED" or "FAILED"
    error: str | None
    cause: str | None
    states: tuple[str, ...]  # in the order they were entered
    calls: tuple[Call, ...]  # in the order they were made
    announcements: tuple[dict, ...]  # arguments of every sns:publish that SNS accepted

    def calls_of(self, task: str) -> list[Call]:
        """Every attempt of a task."""
        return [call for call in self.calls if call.task == task]

    @property
    def events(self) -> tuple[dict, ...]:
        """The document of each announcement."""
        return tuple(json.loads(json.loads(announcement["Message"])["sqs"]) for announcement in self.announcements)

    @property
    def outcomes_announced(self) -> tuple[str, ...]:
        """The `processing_status` of every announcement."""
        return tuple(
            announcement["MessageAttributes"]["processing_status"]["StringValue"] for announcement in self.announcements
        )


class StateMachine:
    """One deployed state machine with an empty table; needs moto's mock, and `perform` in the interpreter's place."""

    def __init__(self, logical_id: str, answers: dict[str, Outcome], **parameters: str) -> None:
        """`answers` holds what each function answers by default, by its folder's name."""
        self.holds = False  # whether `store` does as with Moderation=quarantine
        self._answers = answers
        self._dynamodb = _client("dynamodb")
        self._sns = _client("sns")
        self._sqs = _client("sqs")
        # As moto's CloudFormation creates them, without requests, which take longer than most executions.
        for name, logical in ((TABLE, "ImagesTable"), (EXECUTIONS_TABLE, "ExecutionsTable")):
            Table.create_from_cloudformation_json(name, source()["Resources"][logical], DEFAULT_ACCOUNT_ID, REGION)
        sqs_backends[DEFAULT_ACCOUNT_ID][REGION].create_queue("undelivered", region=REGION)
        self._queue = f"https://sqs.{REGION}.amazonaws.com/{DEFAULT_ACCOUNT_ID}/undelivered"
        topic = sns_backends[DEFAULT_ACCOUNT_ID][REGION].create_topic("notifications").arn
        self._arn = _create(logical_id, topic, self._queue, **parameters)

    def run(self, event: dict, outcomes: dict[str, list[Outcome]] | None = None) -> Execution:
        """Run an execution to its end.

        `outcomes` lists what a function (`validate`) or an AWS call (`dynamodb:putItem`) does at its first attempts.
        After these, a function gives its default answer, and a call reaches moto.
        """
        self._outcomes = {task: list(listed) for task, listed in (outcomes or {}).items()}
        self._calls: list[Call] = []
        self._announcements: list[dict] = []
        ended = call_step_functions("StartSyncExecution", stateMachineArn=self._arn, input=json.dumps(event))
        history = call_step_functions("GetExecutionHistory", executionArn=ended["executionArn"], maxResults=1000)[
            "events"
        ]
        entered = [entry["stateEnteredEventDetails"] for entry in history if "stateEnteredEventDetails" in entry]
        return Execution(
            arn=ended["executionArn"],
            status=ended["status"],
            error=ended.get("error"),
            cause=ended.get("cause"),
            states=tuple(state["name"] for state in entered),
            calls=tuple(self._calls),
            announcements=tuple(self._announcements),
        )

    def record(self, key: str) -> dict | None:
        """The record of an upload, without a request, which takes longer than a step of an execution."""
        item = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_item(TABLE, {"ImageKey": {"S": key}})
        return from_item(item.to_json()["Attributes"]) if item else None

    def registered(self) -> list[dict]:
        """The items of the executions that have not succeeded."""
        return self._dynamodb.scan(TableName=EXECUTIONS_TABLE)["Items"]

    def undelivered(self) -> list[dict]:
        """The messages in the queue of undelivered events."""
        received = self._sqs.receive_message(QueueUrl=self._queue, MessageAttributeNames=["All"])
        return received.get("Messages", [])

    def put(self, **record: object) -> None:
        """Something else writes a record."""
        self._dynamodb.put_item(TableName=TABLE, Item=to_item(record))

    def delete(self, key: str) -> None:
        """Something else deletes a record."""
        self._dynamodb.delete_item(TableName=TABLE, Key={"ImageKey": {"S": key}})

    def store(self, payload: dict) -> dict:
        """Writes the result as the store function does, under its condition. Raises Superseded."""
        upload, execution = Upload.from_event(payload["Event"]), models.Execution.from_state(payload["Execution"])
        facts = (payload["Metadata"], payload["Renditions"], payload["Attempts"])
        record = records.completed(upload, execution, datetime.now(UTC), *facts)
        if quarantine.is_released(payload["Event"]):
            record["Decision"] = payload["Event"]["Decision"]
        elif self.holds and (reason := quarantine.reason_to_hold(record)):
            record = records.held(record, reason)
        try:
            self._dynamodb.put_item(
                TableName=TABLE,
                Item=to_item(record),
                ConditionExpression=ordering.MAY_COMPLETE,
                ExpressionAttributeNames={"#status": "Status"},
                ExpressionAttributeValues={":execution": {"S": execution.arn}, ":failed": {"S": "FAILED"}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise Superseded from error
        event = image_events.stored(record, upload.bucket, THUMBNAILS_BUCKET)
        key = printable(upload.key)
        return {"Status": record["Status"], "PrintableKey": key, "Message": "An image is ready.", "Event": event}

    def perform(self, resource: str, arguments: dict) -> dict:
        """Stands in for the interpreter's own calls of functions and services."""
        service, action = resource.removeprefix("arn:aws:states:::").split(":")
        if service == "lambda":
            task, sent = arguments["FunctionName"].rsplit(":", 1)[-1], arguments["Payload"]
        else:
            task, sent = f"{service}:{action}", arguments
        self._calls.append(Call(task, sent))
        outcome = self._outcomes[task].pop(0) if self._outcomes.get(task) else self._answers.get(task)
        if isinstance(outcome, Fault):
            if outcome.response_lost:
                self._call_aws(service, action, arguments)
            raise stepfunctions._ExecutionError(outcome.error, outcome.cause)
        if service == "lambda":
            return {"StatusCode": 200, "Payload": _answer(outcome, sent)}
        return self._call_aws(service, action, arguments) if outcome is None else _answer(outcome, sent)

    def _call_aws(self, service: str, action: str, arguments: dict) -> dict:
        client = {"dynamodb": self._dynamodb, "sns": self._sns, "sqs": self._sqs}[service]
        prefix = {"dynamodb": "DynamoDB", "sns": "SNS", "sqs": "SQS"}[service]
        try:
            answer = getattr(client, xform_name(action))(**arguments)
        except ClientError as error:
            name = f"{prefix}.{error.response['Error']['Code']}"
            raise stepfunctions._ExecutionError(name, error.response["Error"]["Message"]) from error
        if action == "publish":
            self._announcements.append(arguments)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def definition(file: str, substitutions: dict[str, object], topic: str, queue: str, **parameters: str) -> str:
    """A definition as CloudFormation would deploy it with these parameters of the stack."""
    values = {
        name: f"arn:aws:lambda:{REGION}:123456789012:function:{folder_of(name.removesuffix('Arn'))}"
        for name in substitutions
        if name.endswith("FunctionArn")
    }
    values |= {name: value for name, value in substitutions.items() if isinstance(value, str)}
    values |= {
        "Partition": "aws",
        "ExecutionsTable": EXECUTIONS_TABLE,
        "UndeliveredEventsQueue": queue,
        "ImagesTable": TABLE,
        "ThumbnailsBucket": THUMBNAILS_BUCKET,
        "NotificationsTopic": topic,
        "ImagePipelineArn": f"arn:aws:states:{REGION}:123456789012:stateMachine:pipeline",
    }
    values |= {name: str(parameter["Default"]) for name, parameter in source()["Parameters"].items()} | parameters
    text = (DEFINITIONS.parent / file).read_text()
    return re.sub(r"\$\{(\w+)}", lambda found: values[found[1]], text)


@cache  # MiniStack parses every expression, which takes longer than most tests
def _create(logical_id: str, topic: str, queue: str, **parameters: str) -> str:
    """Creates a state machine of the template, and returns its ARN."""
    machine = Deployment(**parameters).resources[logical_id]
    text = definition(machine["DefinitionUri"], machine["DefinitionSubstitutions"], topic, queue, **parameters)
    name = f"{logical_id}-{uuid4().hex}"
    return call_step_functions("CreateStateMachine", name=name, type=machine["Type"], definition=text)[
        "stateMachineArn"
    ]


def _answer(outcome: Outcome, payload: dict) -> dict:
    """What a function returns, or the error that Step Functions makes of its exception."""
    try:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome(payload) if callable(outcome) else outcome
    except Exception as error:
        name = type(error).__name__
        report = {"errorMessage": str(error), "errorType": name, "requestId": str(uuid4()), "stackTrace": []}
        raise stepfunctions._ExecutionError(name, json.dumps(report)) from error


@cache
def _client(service: str):
    return boto3.client(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


@cache  # creating one takes a tenth of an execution
def _event_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def call_step_functions(action: str, **arguments: object) -> dict:
    """Call MiniStack's Step Functions as its HTTP server would."""
    headers = {"x-amz-target": f"AWSStepFunctions.{action}"}
    request = stepfunctions.handle_request("POST", "/", headers, json.dumps(arguments), {})
    status, _, body = _event_loop().run_until_complete(request)
    assert status == 200, body
    return json.loads(body)

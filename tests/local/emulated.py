"""A running emulator, with helpers that create what tests need."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import boto3
from botocore.config import Config

from local.emulator.__main__ import settings

REPOSITORY = Path(__file__).parents[2]
ACCOUNT = "000000000000"
REGION = "us-east-1"
# Every service can assume every role: the tests are about what a role allows, not about who assumes it.
TRUST = {"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}


class Emulated:
    """A running emulator, with its clients and short ways to create resources."""

    def __init__(self, url: str, state_dir: Path, patience: float) -> None:
        self.url = url
        self.state_dir = state_dir
        self.patience = patience  # seconds to wait for a condition
        self._session = boto3.Session("test", "test", region_name=REGION)

    def client(self, service: str):
        """A boto3 client of the emulator's root user."""
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=50)
        return self._session.client(service, endpoint_url=self.url, config=config)

    def eventually(self, ask: Callable[[], object]) -> object:
        """The first truthy result. Fails if there is none in time."""
        deadline = time.monotonic() + self.patience
        while not (answer := ask()):
            assert time.monotonic() < deadline, f"the condition was not met within {self.patience} s"
            time.sleep(0.05)
        return answer

    def role(self, *statements: dict) -> str:
        """The ARN of a new role that allows only the statements."""
        name = f"role-{uuid4().hex}"
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=policy(*statements))
        return arn

    def function(self, code: str, **settings: object) -> str:
        """The ARN of a new Python function whose module is `code` and whose handler is `handler`."""
        created = self.client("lambda").create_function(
            FunctionName=f"function-{uuid4().hex}",
            Runtime="python3.13",
            Handler="app.handler",
            Role=settings.pop("Role", None) or self.role(),
            Code={"ZipFile": archive({"app.py": code})},
            **settings,
        )
        return created["FunctionArn"]

    def layer(self, files: dict[str, str]) -> str:
        """The ARN of a new layer version with these files."""
        published = self.client("lambda").publish_layer_version(
            LayerName=f"layer-{uuid4().hex}", Content={"ZipFile": archive(files)}
        )
        return published["LayerVersionArn"]

    def invoke(self, function: str, event: object = None) -> dict | list | str | int | None:
        """A function's result, or the payload of its error."""
        response = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(response["Payload"].read())

    def state_machine(self, definition: dict, *statements: dict, workflow: str = "STANDARD") -> str:
        """The ARN of a new state machine whose role allows the statements."""
        created = self.client("stepfunctions").create_state_machine(
            name=f"machine-{uuid4().hex}",
            definition=json.dumps(definition),
            roleArn=self.role(*statements),
            type=workflow,
        )
        return created["stateMachineArn"]

    def start(self, machine: str, data: object = None) -> str:
        """The ARN of a new execution."""
        started = self.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(data or {}))
        return started["executionArn"]

    def run(self, machine: str, data: object = None) -> dict:
        """The description of a new execution, after it has ended."""
        return self.ended(self.start(machine, data))

    def ended(self, execution: str) -> dict:
        """The description of an execution, after it has ended."""
        describe = self.client("stepfunctions").describe_execution

        def outcome() -> dict | None:
            description = describe(executionArn=execution)
            return None if description["status"] == "RUNNING" else description

        return self.eventually(outcome)

    def stack(self, resources: dict) -> dict[str, str]:
        """Physical ids of a new stack's resources, by logical id."""
        cloudformation = self.client("cloudformation")
        name = f"stack-{uuid4().hex}"
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

        def complete() -> bool:
            status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            assert "ROLLBACK" not in status and "FAILED" not in status, status  # noqa: PT018 (one condition)
            return status == "CREATE_COMPLETE"

        self.eventually(complete)
        listed = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}

    def queue(self, *senders: str) -> str:
        """The URL of a new queue to which these services can send."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=f"queue-{uuid4().hex}")["QueueUrl"]
        allow = {"Effect": "Allow", "Principal": {"Service": list(senders)}, "Action": "sqs:SendMessage"}
        if senders:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow | {"Resource": queue_arn(url)})})
        return url

    def watch(self, pattern: dict) -> str:
        """The URL of a new queue that receives EventBridge's events of a pattern."""
        queue, events, rule = self.queue("events.amazonaws.com"), self.client("events"), f"rule-{uuid4().hex}"
        events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue_arn(queue)}])
        return queue

    def table(self, **settings: object) -> dict:
        """The description of a new table with the key ImageKey."""
        created = self.client("dynamodb").create_table(
            TableName=f"table-{uuid4().hex}",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "ImageKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "ImageKey", "AttributeType": "S"}],
            **settings,
        )
        return created["TableDescription"]

    def received(self, queue: str) -> dict:
        """The next message of a queue."""
        receive = self.client("sqs").receive_message
        return self.eventually(lambda: receive(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages"))[0]


NOTHING = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


def waiting(seconds: int) -> dict:
    """The definition of a state machine that waits."""
    return {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}}


def policy(*statements: dict) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def queue_arn(url: str) -> str:
    """The ARN of a queue of this account."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rsplit('/', 1)[-1]}"


def archive(files: dict[str, str]) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return buffer.getvalue()


def launch(state_dir: Path, *, port: int = 0) -> subprocess.Popen:
    """Start the patched emulator. Its output goes to `state_dir`.log, where `url_of` reads that it is ready."""
    command = ["-m", "local.emulator", "--port", str(port), "--state-dir", str(state_dir)]
    return _start(command, state_dir, {"AWS_SECRET_ACCESS_KEY": "the developer's"})


def launch_ministack(state_dir: Path) -> subprocess.Popen:
    """Start MiniStack with settings but without patches. Its output goes to `state_dir`.log."""
    state_dir.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = settings(port, state_dir, state_dir) | {"BIND_HOST": "127.0.0.1"}
    return _start(["-c", "from ministack.app import main; main()"], state_dir, variables)


def _start(arguments: list[str], state_dir: Path, variables: dict[str, str]) -> subprocess.Popen:
    with state_dir.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=os.environ | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def url_of(process: subprocess.Popen, log: Path) -> str:
    """The URL of a starting emulator, once it is ready."""
    deadline = time.monotonic() + 60
    while not (ready := re.search(r"Running on (http://\S+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return ready[1]


class Launched:
    """An emulator that can be killed and started again with the same state."""

    def __init__(self, state: Path, launch: Callable[[Path], subprocess.Popen] = launch, patience: float = 30) -> None:
        self.state = state
        self.process = launch(state)
        self._launch = launch
        self._patience = patience

    def emulated(self) -> Emulated:
        return Emulated(url_of(self.process, self.state.with_suffix(".log")), self.state, self._patience)

    def wait_until_saved(self, **texts: str) -> None:
        """Wait until the file of each service contains the text."""

        def saved(service: str, text: str) -> bool:
            file = self.state / "services" / f"{service.rstrip('_')}.json"
            return file.exists() and text in file.read_text()

        self.emulated().eventually(lambda: all(saved(service, text) for service, text in texts.items()))

    def restart_after_kill(self) -> Emulated:
        self.process.kill()
        self.process.wait()
        self.process = self._launch(self.state)
        return self.emulated()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

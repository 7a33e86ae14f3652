"""The whole system on this machine: emulator, Rekognition stand-in and the deployed stack.

with LocalStack(state_dir) as stack:
    stack.client("s3").upload_file("cat.jpg", stack.outputs["UploadsBucket"], "uploads/cat.jpg")
"""

import fcntl
import os
import shlex
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import boto3

from local.daemons import Daemon, DaemonFailed
from local.deployment import ARTIFACTS_BUCKET, PROJECT, Sam, stack_name
from local.inbox import Inbox

HOST = "127.0.0.1"
REGION = "us-east-1"
LAMBDA_PYTHON = PROJECT / ".venv-lambda" / "bin" / "python"
START_SECONDS = 60  # a slow laptop under load; usually it is one or two


class PortTaken(Exception):
    """Something that isn't ours answers on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is taken by another program: end that one, or choose another port: make local PORT=4600"
        )


class AlreadyRunning(Exception):
    """The state directory's system runs on another port than the one asked for."""

    def __init__(self, state_dir: Path, port: int) -> None:
        super().__init__(
            f"{state_dir} is in use on port {port}: end that run first: "
            f"python -m local down --state-dir {shlex.quote(str(state_dir))}"
        )


class Busy(Exception):
    """Another command is starting or deploying the same system."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(f"another command is at work on {state_dir}: wait until it is done")


class LocalStack:
    """One local run, held in its state directory: its port, logs and processes, and all that was stored.

    It outlives this object and this process: another `LocalStack` of the same directory finds it as it is. As a
    context manager it is a system of one's own: started and deployed at the beginning, gone at the end.
    """

    def __init__(self, state_dir: Path, port: int = 0) -> None:
        """`port` 0 is the one of this directory's last run, or else a free one."""
        self.state_dir = state_dir.resolve()
        self.port = port or self._remembered_port("port") or _free_port()
        self._run_dir = self.state_dir / "run"
        self._emulator = Daemon("emulator", self._run_dir)
        self._rekognition = Daemon("rekognition", self._run_dir)

    def __enter__(self) -> "LocalStack":
        try:
            self.start()
            self.build()
            self.deploy()
        except BaseException:
            self.purge()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.purge()

    # ------------------------------------------------------------------------------------------------ using the system

    @property
    def endpoint(self) -> str:
        """The URL at which every AWS service answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead any AWS client here, and ours to the stack."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "IMAGE_PIPELINE_STACK": stack_name(),
        }

    @cached_property
    def session(self) -> boto3.Session:
        """A session whose clients and resources call this system, whatever the environment says."""
        return _Session(self.endpoint)

    def client(self, service: str):
        """A boto3 client of this system."""
        return self.session.client(service)

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        description = self.client("cloudformation").describe_stacks(StackName=stack_name())["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}

    @property
    def inbox(self) -> Inbox:
        """What the notifications topic sent."""
        return Inbox(self.client("sqs"), self.client("sns"), self.state_dir / "inbox.jsonl")

    @property
    def emulator_pid(self) -> int | None:
        """None when it isn't running."""
        return self._emulator.pid

    @property
    def rekognition_url(self) -> str:
        """Where the stand-in answers."""
        return f"http://{HOST}:{self._remembered_port('rekognition-port')}"

    # ------------------------------------------------------------------------------------------- starting and stopping

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep every other command that asks for the same out. Raises Busy when one was first."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with (self.state_dir / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(self.state_dir) from None
            yield

    def start(self) -> None:
        """Start what isn't running, and return when it answers. Raises PortTaken, AlreadyRunning and DaemonFailed."""
        if self._emulator.pid is None:
            if _answers(self.port):
                raise PortTaken(self.port)
        elif self.port != (running := self._remembered_port("port")):
            raise AlreadyRunning(self.state_dir, running)
        try:
            self._start_rekognition()
            self._start_emulator()
            self._rekognition.wait_until(lambda: _answers(self._remembered_port("rekognition-port")), START_SECONDS)
            self._emulator.wait_until(self._is_healthy, START_SECONDS)
        except DaemonFailed:
            self.stop()
            raise

    def build(self) -> None:
        """`sam build`. Raises SamFailed."""
        self._sam().build()

    def deploy(self) -> None:
        """`sam deploy`, into a new stack or over the old one, and an inbox for its mail. Raises SamFailed."""
        self.client("s3").create_bucket(Bucket=ARTIFACTS_BUCKET)
        self._sam().deploy()
        self.inbox.subscribe(self.outputs["NotificationsTopic"])

    def stop(self) -> None:
        """End every process and remove what only they needed. What was stored stays."""
        self._emulator.stop()
        self._rekognition.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def purge(self) -> None:
        """Stop, and forget everything."""
        self.stop()
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def _start_rekognition(self) -> None:
        if self._rekognition.pid is not None:
            return
        port = self._remembered_port("rekognition-port")
        # A running emulator's functions know the port and can't be told of another.
        if port is None or (self._emulator.pid is None and _answers(port)):
            port = _free_port()
            self._remember_port("rekognition-port", port)
        self._start(self._rekognition, "--port", str(port), "--endpoint", self.endpoint)

    def _start_emulator(self) -> None:
        if self._emulator.pid is not None:
            return
        self._remember_port("port", self.port)
        self._start(
            self._emulator,
            *("--port", str(self.port)),
            *("--state-dir", self.state_dir / "data"),
            *("--rekognition", self.rekognition_url),
            *("--lambda-python", LAMBDA_PYTHON),
        )

    def _start(self, daemon: Daemon, *options: str | Path) -> None:
        temporary = self._run_dir / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", f"local.{daemon.name}", *options]
        daemon.start(command, _environment() | {"TMPDIR": str(temporary)}, PROJECT)

    def _sam(self) -> Sam:
        return Sam(self.state_dir / "sam", _environment() | self.environment)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1) as answer:  # noqa: S310
                return answer.status == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def _remembered_port(self, name: str) -> int | None:
        file = self.state_dir / name
        return int(file.read_text()) if file.exists() else None

    def _remember_port(self, name: str, port: int) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        (self.state_dir / name).write_text(str(port))


class _Session(boto3.Session):
    def __init__(self, endpoint: str) -> None:
        super().__init__(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106
        self._endpoint = endpoint

    def client(self, *arguments, **options):
        return super().client(*arguments, **{"endpoint_url": self._endpoint, **options})


def _environment() -> dict[str, str]:
    """This process's environment without what would lead elsewhere, or make every start of Python a slow one."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name != "PYTHONDONTWRITEBYTECODE"
    }


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]

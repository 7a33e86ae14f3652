"""One local run: the emulator, the Rekognition stand-in and the deployed stack.

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
from collections.abc import Iterator, Mapping
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
START_SECONDS = 60  # usually one or two; this is for a slow machine under load


class PortTaken(Exception):
    """Another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use by another program. Stop that program, or choose another port: "
            f"make local PORT={port + 1}"
        )


class AlreadyRunning(Exception):
    """The local run in the state directory uses another port than the requested one."""

    def __init__(self, state_dir: Path, port: int) -> None:
        super().__init__(
            f"the local run in {state_dir} is running on port {port}. Stop it first: "
            f".venv/bin/python -m local down --state-dir {shlex.quote(str(state_dir))}"
        )


class Busy(Exception):
    """Another command is starting or deploying the same local run."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"another command is starting or deploying the local run in {state_dir}. Wait until it is finished."
        )


class LocalStack:
    """One local run. Its state directory holds its ports, logs, processes and everything that was stored.

    The run outlives this object and this process: another `LocalStack` with the same directory controls it. As a
    context manager, it starts and deploys a run, and removes it at the end.
    """

    def __init__(self, state_dir: Path, port: int = 0, parameters: Mapping[str, str] | None = None) -> None:
        """Port 0 is the port of this directory's last run, or a free one. `parameters` are the stack's.

        A parameter that is not given keeps the value that the deployed stack has.
        """
        self.state_dir = state_dir.resolve()
        self.port = port or self._remembered_port("port") or _free_port()
        self._parameters = parameters or {}
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

    # -------------------------------------------------------------------------------------------------------------- use

    @property
    def endpoint(self) -> str:
        """The endpoint URL of every AWS service."""
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that direct any AWS client to this run, and the image-pipeline command to the stack."""
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
        """A session whose clients call this run, whatever the environment variables are."""
        return _Session(self.endpoint)

    def client(self, service: str):
        """A boto3 client for this run."""
        return self.session.client(service)

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        description = self.client("cloudformation").describe_stacks(StackName=stack_name())["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}

    @property
    def inbox(self) -> Inbox:
        """The notifications that the stack has sent."""
        return Inbox(self.client("sqs"), self.client("sns"), self.state_dir / "inbox.jsonl")

    @property
    def emulator_pid(self) -> int | None:
        """The emulator's process id, or None if it is not running."""
        return self._emulator.pid

    @property
    def logs(self) -> Path:
        """The folder with the logs of the running processes."""
        return self._run_dir

    @property
    def rekognition_url(self) -> str:
        """The URL of the Rekognition stand-in."""
        return f"http://{HOST}:{self._remembered_port('rekognition-port')}"

    # --------------------------------------------------------------------------------------------------- start and stop

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Hold the run's lock. Raises Busy if another command holds it."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with (self.state_dir / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(self.state_dir) from None
            yield

    def start(self) -> None:
        """Start the processes that are not running, and wait for them.

        Raises PortTaken, AlreadyRunning and DaemonFailed.
        """
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
        """Build the functions and layers. Raises SamFailed."""
        self._sam().build()

    def deploy(self) -> None:
        """Create or update the stack, and subscribe the inbox to its notifications. Raises SamFailed."""
        self.client("s3").create_bucket(Bucket=ARTIFACTS_BUCKET)
        self._sam().deploy(self._parameters)
        self.inbox.subscribe(self.outputs["NotificationsTopic"])

    def stop(self) -> None:
        """Stop every process and remove its temporary files. Stored data remains."""
        self._emulator.stop()
        self._rekognition.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def purge(self) -> None:
        """Stop every process and remove the state directory."""
        self.stop()
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def _start_rekognition(self) -> None:
        if self._rekognition.pid is not None:
            return
        port = self._remembered_port("rekognition-port")
        # The functions of a running emulator have this port in their environment, so it cannot change.
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
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1) as answer:
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
        super().__init__(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        self._endpoint = endpoint

    def client(self, *arguments, **options):
        return super().client(*arguments, **{"endpoint_url": self._endpoint, **options})


def _environment() -> dict[str, str]:
    """This process's environment without AWS settings, which could direct a client to AWS."""
    # Without PYTHONDONTWRITEBYTECODE, which would slow down every start of Python.
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

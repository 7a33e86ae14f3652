"""One local run: the emulator and the deployed stack.

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

from local import inbox
from local.daemons import Daemon, DaemonFailed
from local.deployment import ARTIFACTS_BUCKET, PROJECT, Sam, stack_name
from local.faults import Faults

HOST = "127.0.0.1"
REGION = "us-east-1"
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


class OlderData(Exception):
    """An earlier version stored the data of the local run in another form."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"an earlier version stored the data in {state_dir}, and this version cannot read its records. "
            f"Remove the data: .venv/bin/python -m local down --purge --state-dir {shlex.quote(str(state_dir))}"
        )


class LocalStack:
    """One local run. Its state directory holds its port, log, process and everything that was stored.

    The run outlives this object and this process: another `LocalStack` with the same directory controls it. As a
    context manager, it starts and deploys a run, and removes it at the end.
    """

    def __init__(self, state_dir: Path, port: int = 0, parameters: Mapping[str, str] | None = None) -> None:
        """Port 0 is the port of this directory's last run, or a free one. `parameters` are the stack's.

        A parameter that is not given keeps the value that the deployed stack has.
        """
        self.state_dir = state_dir.resolve()
        self.port = port or self._remembered_port() or _free_port()
        self._parameters = parameters or {}
        self._run_dir = self.state_dir / "run"
        self._emulator = Daemon("emulator", self._run_dir)

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

    def mails(self) -> list[inbox.Mail]:
        """The notifications that the stack has sent, oldest first."""
        return inbox.read(self.state_dir / "data")

    @property
    def faults(self) -> Faults:
        """The faults that tests ask for."""
        return Faults(self.endpoint)

    @property
    def emulator_pid(self) -> int | None:
        """The emulator's process id, or None if it is not running."""
        return self._emulator.pid

    @property
    def log(self) -> Path:
        """The emulator's log."""
        return self._emulator.log

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
        """Start the emulator, unless it is running, and wait for it.

        Raises PortTaken, AlreadyRunning, OlderData and DaemonFailed.
        """
        if self._emulator.pid is not None:
            if self.port != (running := self._remembered_port()):
                raise AlreadyRunning(self.state_dir, running)
        elif _answers(self.port):
            raise PortTaken(self.port)
        elif (self.state_dir / "data" / "services" / "items.jsonl").exists():  # since then, records are in SQLite
            raise OlderData(self.state_dir)
        else:
            self._start_emulator()
        try:
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
        topic = self.outputs["NotificationsTopic"]
        self.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=inbox.ADDRESS)

    def stop(self) -> None:
        """Stop the emulator and remove its temporary files. Stored data remains."""
        self._emulator.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def purge(self) -> None:
        """Stop the emulator and remove the state directory."""
        self.stop()
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def _start_emulator(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(self.port))
        options = ["--port", str(self.port), "--state-dir", self.state_dir / "data"]
        self._emulator.start([sys.executable, "-m", "local.emulator", *options], _environment(), PROJECT)

    def _sam(self) -> Sam:
        return Sam(self.state_dir / "sam", _environment() | self.environment)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    @property
    def _port_file(self) -> Path:
        return self.state_dir / "port"

    def _remembered_port(self) -> int | None:
        return int(self._port_file.read_text()) if self._port_file.exists() else None


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

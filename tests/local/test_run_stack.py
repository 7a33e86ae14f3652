"""The commands of the local run, on one real deployment."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.samples import PHOTOS
from local.stack import LocalStack
from tests.local.emulated import REPOSITORY

KEYS = sorted(f"uploads/{path.name}" for path in PHOTOS.iterdir() if path.suffix != ".md")

pytestmark = pytest.mark.xdist_group("local-run")


def local(command: str, state_dir: Path, *options: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "local", command, "--state-dir", state_dir, *options],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """The TMPDIR of the first run."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, temporary):
    """A new state directory, and the result of the command that started a run in it."""
    state_dir = tmp_path_factory.mktemp("a run") / "state"
    started = local("up", state_dir, TMPDIR=str(temporary))
    yield state_dir, started
    LocalStack(state_dir).purge()


@pytest.fixture
def state_dir(first_run):
    return first_run[0]


@pytest.fixture
def stack(state_dir):
    stack = LocalStack(state_dir)
    stack.start()  # the previous test may have stopped it
    return stack


@pytest.fixture
def unused_dir(tmp_path):
    """A state directory in which nothing has run yet."""
    yield tmp_path / "state"
    LocalStack(tmp_path / "state").purge()


def record(stack: LocalStack, key: str) -> dict:
    return stack.client("dynamodb").get_item(TableName=stack.outputs["ImagesTable"], Key={"ImageKey": {"S": key}})[
        "Item"
    ]


def processes_of(folder: Path) -> list[str]:
    everything = subprocess.run(
        ["ps", "-A", "-ww", "-o", "stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in everything.splitlines() if str(folder) in line and not line.startswith("Z")]


def test_the_first_run_completes_every_photo(first_run):
    _, started = first_run

    assert started.returncode == 0, started.stdout + started.stderr
    completed = [line for line in started.stdout.splitlines() if line.startswith("COMPLETED")]
    assert len(completed) == len(KEYS)
    assert all(any(key in line for line in completed) for key in KEYS)


def test_starting_leaves_no_temporary_file(first_run, temporary):
    assert list(temporary.iterdir()) == []


def test_the_first_run_prints_the_next_steps(first_run, stack):
    _, started = first_run

    assert f"s3://{stack.outputs['UploadsBucket']}/uploads/" in started.stdout
    assert f"curl {stack.outputs['ImageStatusApiEndpoint']}/images/uploads/cat.png/status" in started.stdout
    assert "-m local inbox" in started.stdout
    assert "-m local down" in started.stdout


def test_the_exports_direct_any_client_to_the_run(stack, state_dir):
    ask = "import boto3; print(boto3.client('s3').list_buckets()['Buckets'])"

    answer = subprocess.run(
        [
            "sh",
            "-c",
            'eval "$("$0" -m local env --state-dir "$1")" && exec "$0" -c "$2"',
            sys.executable,
            state_dir,
            ask,
        ],
        cwd=REPOSITORY,
        env={**os.environ, "AWS_PROFILE": "nobody", "AWS_SESSION_TOKEN": "of-somebody-else"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert stack.outputs["UploadsBucket"] in answer.stdout, answer.stderr


def test_the_inbox_has_a_notification_for_every_photo(stack, state_dir):
    lines = local("inbox", state_dir, "--json").stdout.splitlines()

    announced = {json.loads(line)["attributes"]["imageId"] for line in lines}
    assert announced >= set(KEYS)
    assert "processing_status: SUCCESS" in local("inbox", state_dir).stdout


def test_starting_again_updates_in_place_with_new_parameters(stack, state_dir):
    bucket, emulator = stack.outputs["UploadsBucket"], stack.emulator_pid
    stack.client("s3").put_object(Bucket=bucket, Key="elsewhere/kept.txt", Body=b"kept")

    again = local("up", state_dir, "--parameters", 'Renditions="small=100x100 card=40x40:cover"')

    assert again.returncode == 0, again.stdout + again.stderr
    assert "card 40×40" in again.stdout
    assert (stack.outputs["UploadsBucket"], stack.emulator_pid) == (bucket, emulator)
    assert stack.client("s3").get_object(Bucket=bucket, Key="elsewhere/kept.txt")["Body"].read() == b"kept"


def test_stopping_leaves_no_process_port_or_temporary_file(stack, state_dir):
    assert processes_of(state_dir)

    ended = local("down", state_dir)

    assert ended.returncode == 0, ended.stderr
    assert processes_of(state_dir) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", stack.port)) != 0
    assert not (state_dir / "run").exists()
    assert not (state_dir / "data" / "run").exists()


def test_all_data_survives_a_stop_and_a_start(stack, state_dir):
    before, outputs = record(stack, "uploads/cat.png"), stack.outputs

    local("down", state_dir)
    stack.start()

    assert stack.outputs == outputs
    assert record(stack, "uploads/cat.png") == before
    photo = stack.client("s3").get_object(Bucket=outputs["UploadsBucket"], Key="uploads/cat.png")["Body"].read()
    assert photo == (PHOTOS / "cat.png").read_bytes()


def test_another_port_for_a_running_system_is_refused(stack, state_dir):
    result = local("up", state_dir, "--port", str(stack.port + 1))

    assert result.returncode == 1
    assert f"is running on port {stack.port}" in result.stderr


def test_a_port_in_use_is_named_with_a_remedy(unused_dir):
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", 0))
        other_program.listen()
        port = other_program.getsockname()[1]

        result = local("up", unused_dir, "--port", str(port))

    assert result.returncode == 1
    assert f"port {port} is in use" in result.stderr
    assert "make local PORT=" in result.stderr
    assert not (unused_dir / "run").exists()


@pytest.mark.parametrize(("parameters", "problem"), [("MaxPixel=9", 'no parameter "MaxPixel"'), ("a b", "NAME=VALUE")])
def test_invalid_parameters_are_refused_before_anything_starts(unused_dir, parameters, problem):
    result = local("up", unused_dir, "--parameters", parameters)

    assert result.returncode == 2
    assert problem in result.stderr
    assert not unused_dir.exists()


def test_a_second_concurrent_start_is_refused(unused_dir):
    with LocalStack(unused_dir).exclusively():
        result = local("up", unused_dir)

    assert result.returncode == 1
    assert "another command is starting or deploying" in result.stderr


@pytest.mark.parametrize("command", ["env", "inbox"])
def test_commands_that_need_a_running_system_name_the_remedy(unused_dir, command):
    result = local(command, unused_dir)

    assert result.returncode == 1
    assert "is not running" in result.stderr
    assert "-m local up --state-dir" in result.stderr


def test_stopping_what_never_ran_succeeds(unused_dir):
    result = local("down", unused_dir)

    assert result.returncode == 0
    assert not unused_dir.exists()


def test_data_of_an_earlier_version_is_not_silently_replaced(unused_dir):
    records = unused_dir / "data" / "services" / "items.jsonl"
    records.parent.mkdir(parents=True)
    records.write_text("[]\n")

    result = local("up", unused_dir)

    assert result.returncode == 1
    assert f"-m local down --purge --state-dir {unused_dir}" in result.stderr
    assert records.read_text() == "[]\n"
    assert not (unused_dir / "run").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_closes_the_output_causes_no_traceback(unused_dir, unbuffered):
    read_end, write_end = os.pipe()
    os.close(read_end)

    result = subprocess.run(
        [sys.executable, "-m", "local", "down", "--state-dir", unused_dir],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write_end)

    assert (result.returncode, result.stderr) == (1, "")

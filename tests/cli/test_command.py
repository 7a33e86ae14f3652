"""The command as a separate process, against moto's server."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import boto3
import pytest

from cli.stack import Stack
from tests.cli.stand_in import REGION, STACK_NAME, STACK_TEMPLATE, PipelineStandIn, silence, wait_until

CHECKOUT = Path(__file__).parents[2]

UV_FOLDERS = os.pathsep.join([str(CHECKOUT / ".tools" / "bin"), os.environ["PATH"]])
pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def endpoint(aws_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Moto's server on a free port of 127.0.0.1, configured as the endpoint of every AWS client."""
    from moto.server import ThreadedMotoServer  # imports a web framework

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = HTTPConnection(host, port)
    connection.request("POST", "/moto-api/reset")  # all servers in one process share their state
    connection.getresponse().read()
    connection.close()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    yield url
    server.stop()


@pytest.fixture
def stack(endpoint: str) -> Stack:
    session = boto3.Session(region_name=REGION)
    session.client("cloudformation").create_stack(StackName=STACK_NAME, TemplateBody=STACK_TEMPLATE)
    return Stack.find(session, STACK_NAME)


@pytest.fixture
def start(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    """Starts `image-pipeline` with arguments, in an empty folder; processes still running at the end are killed."""
    processes = []

    def start(*arguments: str | Path, **options: object) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "IMAGE_PIPELINE_STACK": STACK_NAME}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        command = [sys.executable, "-m", "cli", *map(str, arguments)]
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **streams))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `uv tool install .` and `pipx install .` build from a clone."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(CHECKOUT / name, clone)
    for name in ("cli", "layers/pipeline/src"):
        shutil.copytree(CHECKOUT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The programs of an environment that has the wheel and, without the network, this environment's other packages."""
    environment, uv = wheel.parent / "environment", shutil.which("uv", path=UV_FOLDERS)
    install = ("pip", "install", "--offline", "--no-cache", "--no-deps", "--python", environment, wheel)
    for arguments in (("venv", "--no-project", "--python", sys.executable, environment), install):
        subprocess.run([uv, *arguments], check=True, capture_output=True)
    [packages] = environment.glob("lib/python*/site-packages")
    # Python does not process the .pth files of a folder that a .pth file names: the editable install stays hidden.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat [red]😀\x9b31m.jpg"  # a terminal takes \\x9b for the start of a command, as ESC [
    path.write_bytes(b"cat")
    return path


def test_an_upload_is_followed_and_then_found_by_status(pipeline: PipelineStandIn, start: Start, cat: Path) -> None:
    upload = start("upload", cat, "--json")
    document = json.loads(upload.communicate(timeout=60)[0])
    status = start("status", document["ImageKey"])
    known = status.communicate(timeout=60)[0]

    assert (upload.returncode, status.returncode) == (0, 0)
    assert (document["ImageKey"], document["Status"]) == (f"uploads/{cat.name}", "COMPLETED")
    assert known.startswith("COMPLETED\tuploads/cat [red]😀%C2%9B31m.jpg\t3 bytes\tsmall 100×75\t")


def test_a_rejection_sets_the_exit_status(pipeline: PipelineStandIn, start: Start, cat: Path) -> None:
    pipeline.answers[f"uploads/{cat.name}"] = lambda: [{"Status": "REJECTED"}]

    upload = start("upload", cat)
    upload.communicate(timeout=60)

    assert upload.returncode == 1


def test_ctrl_c_lists_uploads_that_are_not_finished(pipeline: PipelineStandIn, start: Start, cat: Path) -> None:
    pipeline.answers[f"uploads/{cat.name}"] = silence

    upload = start("upload", cat)
    wait_until(pipeline.stored_keys)
    upload.send_signal(signal.SIGINT)
    out, err = upload.communicate(timeout=60)

    assert upload.returncode == 130
    assert out.startswith("UNFINISHED\tuploads/cat")
    assert err == "image-pipeline: 1 file: 1 unfinished\n"


def test_after_a_kill_the_same_upload_continues(stack: Stack, start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number}.jpg").write_bytes(b"photo %d" % number)
    bucket = {"Bucket": stack.uploads_bucket}
    stack.s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})

    def stored() -> list[str]:
        return [version["Key"] for version in stack.s3.list_object_versions(**bucket).get("Versions", [])]

    killed = start("upload", folder, "--no-follow")
    wait_until(lambda: len(stored()) >= 20)
    killed.kill()
    killed.wait()
    before = len(stored())
    again = start("upload", folder, "--no-follow")
    out, _ = again.communicate(timeout=60)

    unchanged = out.count("UNCHANGED\t")
    assert 20 <= before <= unchanged < 150  # the server may have stored what was on its way to it
    assert out.count("UPLOADED\t") == 150 - unchanged
    assert again.returncode == 0
    assert sorted(stored()) == sorted(f"uploads/trip/{number}.jpg" for number in range(150))


def test_a_terminal_shows_a_table_that_no_name_can_break(pipeline: PipelineStandIn, start: Start, cat: Path) -> None:
    ours, theirs = pty.openpty()
    upload = start("upload", cat, stdin=theirs, stdout=theirs, stderr=theirs, text=False)
    os.close(theirs)

    shown = read_all(ours)

    assert upload.wait(timeout=60) == 0
    assert "renditions" in shown
    assert "of 1 finished" in shown
    assert "uploads/cat [red]😀%C2%9B31m.jpg" in shown


def test_a_closed_pipe_ends_the_command_silently(pipeline: PipelineStandIn, start: Start, cat: Path) -> None:
    upload = start("upload", cat)
    upload.stdout.close()
    err = upload.stderr.read()

    assert upload.wait(timeout=60) == 1
    assert "Traceback" not in err


def test_an_endpoint_that_does_not_answer_is_named_in_one_line(
    start: Start, cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    upload = start("upload", cat)
    out, err = upload.communicate(timeout=60)

    assert (upload.returncode, out) == (2, "")
    [complaint] = err.splitlines()
    assert "http://127.0.0.1:1" in complaint


def read_all(terminal: int) -> str:
    """Everything written to a terminal until its last writer is gone."""
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # how Linux says that nobody writes there any more
        pass
    os.close(terminal)
    return b"".join(parts).decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_closes_the_output_causes_no_traceback(unbuffered: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    settings = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "cli", "cost"]
    ended = subprocess.run(command, cwd=CHECKOUT, env=settings, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)

    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_wheel_alone_provides_the_command(stack: Stack, installed: Path, tmp_path: Path) -> None:
    settings = {"IMAGE_PIPELINE_STACK": STACK_NAME, "PYTHONPATH": ""}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [installed / "image-pipeline", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True)

    usage, redrive, cost = run("--help"), run("redrive", "uploads/none.jpg"), run("cost", "--json")

    assert usage.stdout.startswith("usage: image-pipeline ")
    assert json.loads(cost.stdout)["Total"] > 0, cost.stderr
    assert redrive.stdout.startswith("NOT_FOUND\tuploads/none.jpg\t"), redrive.stderr


def test_the_wheel_holds_what_the_command_imports(wheel: Path, installed: Path) -> None:
    ours = "name.split('.')[0] in ('cli', 'imagepipeline')"
    code = f"import sys, cli.api, cli.main; print(*(module.__file__ for name, module in sys.modules.items() if {ours}))"
    loaded = subprocess.run([installed / "python", "-I", "-c", code], capture_output=True, text=True, check=True).stdout

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    data = {"cli/__main__.py", "cli/prices.toml", "cli/usage.json"}
    assert packed == {file.split("/site-packages/")[1] for file in loaded.split()} | data

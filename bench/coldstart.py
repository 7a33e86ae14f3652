"""`python -m bench.coldstart`: the init of each function, against a function that imports the usual things plainly.

An init is what AWS Lambda does before the first invocation: it starts an interpreter, imports `app` from the function's
folder, then /opt and the runtime's boto3, and so makes the clients. Layers are those of `sam build`. Rounds go through
all contestants in turn on one core; times are CPU milliseconds, user's and kernel's, of the whole process.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import ROOT

FOLDER = ROOT / ".local" / "bench" / "coldstart"
PYTHON = ROOT / ".venv-lambda" / "bin" / "python"
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".tools" / "bin"), os.environ["PATH"]])
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": str(FOLDER),  # no ~/.aws
    "LANG": "en_US.UTF-8",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "POWERTOOLS_SERVICE_NAME": "image-pipeline",
    "POWERTOOLS_METRICS_NAMESPACE": "ImagePipeline",
    "PYTHONDONTWRITEBYTECODE": "1",  # /opt is read-only
}

PLAIN = """
import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from PIL import Image
s3 = boto3.client("s3")
logger, metrics = Logger(), Metrics()
"""
BOTOCORE = """
import botocore.session
botocore.session.get_session().create_client("s3")
"""


@dataclass(frozen=True, slots=True)
class Init:
    """A function as it is deployed: its folder, with an `app.py`, and /opt/python."""

    name: str
    code: Path
    layer: Path

    def run(self) -> float:
        """CPU milliseconds of a process that only imports it."""
        process = subprocess.Popen(
            [PYTHON, "-P", "-c", "import app"],
            env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, (self.code, self.layer)))},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.name} does not start; its error is above")
        return (usage.ru_utime + usage.ru_stime) * 1000


def functions() -> list[Init]:
    """This project's functions, with the layers that `sam build` makes."""
    build = FOLDER / "build"
    command = ["samcli", "build", "--cached", "--build-dir", str(build), "--cache-dir", str(FOLDER / "cache")]
    _run(sys.executable, "-m", *command)
    machine = "Arm64" if platform.machine() in ("arm64", "aarch64") else "X86"
    layer = _new_folder("opt")
    for built in (f"RuntimeLayer{machine}", "PipelineLayer"):
        shutil.copytree(build / built / "python", layer, dirs_exist_ok=True)
    sources = sorted((ROOT / "functions").glob("*/app.py"))
    return [Init(app.parent.name, _function(app.parent.name, app.read_text()), layer) for app in sources]


def rivals() -> list[Init]:
    """The plain function in three degrees, and what no function that uses S3 can do without."""
    plain = _new_folder("plain")
    requirements = ROOT / "requirements" / "coldstart.txt"
    options = ["--quiet", "--no-deps", "--require-hashes", "--python", str(PYTHON), "--target", str(plain)]
    _run("uv", "pip", "install", *options, "-r", str(requirements))
    compiled = _new_folder("compiled")
    shutil.copytree(plain, compiled, dirs_exist_ok=True)
    _run(str(PYTHON), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(compiled))
    traced = _function("traced", PLAIN + "tracer = Tracer()\n")
    return [
        Init("plain", traced, plain),
        Init("plain, .pyc", traced, compiled),
        Init("plain, .pyc, no X-Ray SDK", _function("untraced", PLAIN), compiled),
        Init("botocore, S3 client", _function("botocore", BOTOCORE), compiled),
        Init("nothing", _function("nothing", ""), compiled),
    ]


def measure(inits: list[Init], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round, by name."""
    for init in inits:
        init.run()  # once for the disk's cache
    times = {init.name: [] for init in inits}
    for _ in range(rounds):
        for init in inits:
            times[init.name].append(init.run())
    return times


def report(times: dict[str, list[float]], baselines: list[str]) -> None:
    """The table. Ratios are medians of each round's own, so that what slows a whole round down cancels out."""
    width = max(map(len, times)) + 2
    print("".join([f"{'CPU ms':{width}}{'median':>8}{'min':>8}{'max':>8}", *(f"  × {name}" for name in baselines)]))
    for name, values in times.items():
        ratios = [
            statistics.median(one / other for one, other in zip(values, times[baseline], strict=True))
            for baseline in baselines
        ]
        print(
            f"{name:{width}}{statistics.median(values):8.0f}{min(values):8.0f}{max(values):8.0f}"
            + "".join(f"{ratio:{len(baseline) + 4}.2f}" for ratio, baseline in zip(ratios, baselines, strict=True))
        )


def _function(name: str, source: str) -> Path:
    folder = _new_folder(f"functions/{name}")
    (folder / "app.py").write_text(source)
    return folder


def _new_folder(name: str) -> Path:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(*command: str) -> None:
    environment = os.environ | {"PATH": TOOLS, "SAM_CLI_TELEMETRY": "0"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stdout.decode(errors='replace')}")


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="bench.coldstart", description="Measure the init of each function.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    options = parser.parse_args()

    ours, others = functions(), rivals()
    os.sched_setaffinity(0, {options.cpu})
    report(measure([*others, *ours], options.rounds), [other.name for other in others[:3]])


if __name__ == "__main__":
    main()

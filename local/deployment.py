"""`sam build` and `sam deploy` of this repository, directed to a local endpoint."""

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).resolve().parent.parent
CONFIG_ENV = "local"  # the section of samconfig.toml
ARTIFACTS_BUCKET = "image-pipeline-artifacts"


class SamFailed(Exception):
    """`sam` failed. The message contains the end of its output."""


class InvalidParameter(ValueError):
    """A parameter that the template does not have, or text that is not NAME=VALUE."""


def stack_name() -> str:
    """The stack's name, from samconfig.toml."""
    return _samconfig("global")["stack_name"]


def architecture() -> str:
    """This machine's architecture, as Lambda names it. Functions run on it."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def parse_parameters(text: str) -> dict[str, str]:
    """The stack parameters in text like `MaxPixels=1000000 Renditions="small=100x100 large=900x900"`.

    Raises InvalidParameter. Values are left to CloudFormation, which validates them against the template.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidParameter(f"{text}: {error}") from None
    parameters = {}
    for word in words:
        name, equals, parameters[name] = word.partition("=")
        if not equals:
            raise InvalidParameter(f'"{word}" is not NAME=VALUE; a value with spaces needs quotes')
    require_known(parameters)
    return parameters


def require_known(parameters: Iterable[str]) -> None:
    """Raise InvalidParameter for a name that the template does not have. SAM would ignore it."""
    known = yaml_parse((PROJECT / "template.yaml").read_text())["Parameters"]
    for name in parameters:
        if name not in known:
            raise InvalidParameter(f'template.yaml has no parameter "{name}"; it has {", ".join(known)}')


class Sam:
    """SAM CLI with its own folder, so that several local runs can build and deploy at the same time."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "sam.log"
        self._build_dir = folder / "build"
        self._cache_dir = folder / "cache"
        home = folder / "home"
        tools = [
            Path(sys.executable).parent,
            PROJECT / ".tools" / "bin",
        ]  # the layers' Makefiles need uv and python3.13
        self._environment = environment | {
            "PATH": os.pathsep.join([*map(str, tools), environment["PATH"]]),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.2",  # seconds; the emulator deploys faster than AWS
            "__SAM_CLI_APP_DIR": str(home),
        }
        home.mkdir(parents=True, exist_ok=True)
        # Without a recent check for updates, SAM would connect to the internet.
        (home / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))

    def build(self) -> None:
        """Build the functions and layers that have changed since the last build."""
        self._run("build", "--cached", "--parallel", "--build-dir", self._build_dir, "--cache-dir", self._cache_dir)

    def deploy(self, parameters: Mapping[str, str]) -> None:
        """Create or update the stack from the last build. The artifacts bucket must exist."""
        # SAM ignores samconfig.toml's overrides if the command line has any.
        configured = parse_parameters(" ".join(_samconfig("deploy")["parameter_overrides"]))
        overrides = {**configured, "Architecture": architecture(), **parameters}
        require_known(overrides)
        self._run(
            "deploy",
            *("--config-env", CONFIG_ENV, "--config-file", PROJECT / "samconfig.toml"),
            *("--template-file", self._build_dir / "template.yaml"),
            *("--no-resolve-s3", "--s3-bucket", ARTIFACTS_BUCKET),  # SAM would deploy another stack for one
            *(
                "--parameter-overrides",
                *(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in overrides.items()),
            ),
        )

    def _run(self, subcommand: str, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "samcli", subcommand, *arguments]
        # SAM does not remove the temporary folders it creates for packaging.
        with self.log.open("w") as log, tempfile.TemporaryDirectory() as temporary:
            environment = self._environment | {"TMPDIR": temporary}
            ended = subprocess.run(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        if ended.returncode != 0:
            lines = self.log.read_text(errors="replace").splitlines()
            output = "\n".join([line for line in lines if line.strip() and "Uploading to" not in line][-40:])
            raise SamFailed(f"sam {subcommand} failed. The end of {self.log}:\n{output}")


def _samconfig(command: str) -> dict:
    with (PROJECT / "samconfig.toml").open("rb") as file:
        return tomllib.load(file)[CONFIG_ENV][command]["parameters"]

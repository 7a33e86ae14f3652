"""The real `sam build` and `sam deploy` of this repository, towards a local endpoint."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CONFIG_ENV = "local"  # the section of samconfig.toml
ARTIFACTS_BUCKET = "image-pipeline-artifacts"


class SamFailed(Exception):
    """`sam` ended with an error. The message has the end of what it said."""


def stack_name() -> str:
    """The stack's name, from samconfig.toml."""
    return _samconfig("global")["stack_name"]


def architecture() -> str:
    """This machine's, in Lambda's words: functions run on it."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


class Sam:
    """SAM CLI with a folder of its own, so that several can build and deploy at once."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "sam.log"
        self._build_dir = folder / "build"
        self._cache_dir = folder / "cache"
        home = folder / "home"
        tools = [
            Path(sys.executable).parent,
            PROJECT / ".tools" / "bin",
        ]  # the layers' Makefiles call uv and python3.13
        self._environment = environment | {
            "PATH": os.pathsep.join([*map(str, tools), environment["PATH"]]),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.2",  # seconds; the emulator answers at once and doesn't mind being asked often
            "__SAM_CLI_APP_DIR": str(home),
        }
        home.mkdir(parents=True, exist_ok=True)
        # A recent check for a newer version spares the next one, which needs the internet.
        (home / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))

    def build(self) -> None:
        """Build every function and layer for this machine; what is unchanged comes from the cache."""
        self._run("build", "--cached", "--parallel", "--build-dir", self._build_dir, "--cache-dir", self._cache_dir)

    def deploy(self) -> None:
        """Create or update the stack from what was built. The artifacts bucket has to exist."""
        self._run(
            "deploy",
            *("--config-env", CONFIG_ENV, "--config-file", PROJECT / "samconfig.toml"),
            *("--template-file", self._build_dir / "template.yaml"),
            *("--no-resolve-s3", "--s3-bucket", ARTIFACTS_BUCKET),  # SAM would deploy a stack of its own for one
            # On the command line they replace samconfig.toml's, which therefore come along.
            *("--parameter-overrides", *_samconfig("deploy")["parameter_overrides"], f"Architecture={architecture()}"),
        )

    def _run(self, subcommand: str, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "samcli", subcommand, *arguments]
        # SAM forgets an empty folder for everything it packages.
        with self.log.open("w") as log, tempfile.TemporaryDirectory() as temporary:
            environment = self._environment | {"TMPDIR": temporary}
            ended = subprocess.run(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        if ended.returncode != 0:
            output = "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
            raise SamFailed(f"sam {subcommand} failed:\n{output}")


def _samconfig(command: str) -> dict:
    with (PROJECT / "samconfig.toml").open("rb") as file:
        return tomllib.load(file)[CONFIG_ENV][command]["parameters"]

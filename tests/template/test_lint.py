"""What the tools of the trade say about the template."""

import subprocess
from pathlib import Path

import pytest

from tests.template.stack import REPOSITORY

TOOLS = REPOSITORY / ".venv" / "bin"


@pytest.mark.parametrize("command", [("cfn-lint", "template.yaml"), ("sam", "validate", "--lint")], ids=" ".join)
def test_the_linters_find_nothing(command: tuple[str, ...], tmp_path: Path):
    tool, *arguments = command
    environment = {
        "PATH": str(TOOLS),
        "HOME": str(tmp_path),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
    }

    linted = subprocess.run([TOOLS / tool, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True)

    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "W" not in [line[:1] for line in linted.stdout.splitlines()]
